// The layers of model.layers: Keras' names, options and defaults in camelCase. What they compute is worker/model's business.
import { z } from 'zod';
import { fraction, positive, rate, real, size, text, whole } from './fields.ts';
import { oneOf } from './rules.ts';

export const ACTIVATIONS = [
  'linear',
  'relu',
  'leakyRelu',
  'elu',
  'gelu',
  'sigmoid',
  'tanh',
  'softmax',
] as const;
export const INITIALIZERS = [
  'glorotUniform',
  'glorotNormal',
  'heUniform',
  'heNormal',
  'lecunUniform',
  'lecunNormal',
  'randomUniform',
  'randomNormal',
  'truncatedNormal',
  'zeros',
  'ones',
] as const;

const activation = () => z.enum(ACTIVATIONS);
const initializer = () => z.enum(INITIALIZERS);
const padding = () =>
  z
    .enum(['valid', 'same'])
    .default('valid')
    .describe('`same` pads with zeros so that the output has ceil(input / strides) rows and columns');

/** A layer's options; every layer may have a name. */
function layer<S extends z.core.$ZodLooseShape>(description: string, shape: S) {
  const named = {
    name: text(63)
      .regex(/^[A-Za-z][A-Za-z0-9_.-]*$/, "expected letters, digits, '_', '.', '-', starting with a letter")
      .exactOptional()
      .describe('Unique name of the layer; default: its kind and a number'),
    ...shape,
  };
  return z.strictObject(named).describe(description).exactOptional();
}

const convolution = {
  kernelSize: size().describe('Rows and columns of the square kernel'),
  strides: size().default(1).describe('Step of the window in both directions'),
  padding: padding(),
  dilationRate: size().default(1).describe('Distance between the points of the kernel'),
  activation: activation().default('linear').describe('Applied to the result'),
  useBias: z.boolean().default(true).describe('Whether to add one learned number per output channel'),
  biasInitializer: initializer().default('zeros').describe('First values of the bias'),
};

const pooling = {
  poolSize: size().default(2).describe('Rows and columns of the square window'),
  strides: size().exactOptional().describe('Step of the window; default: poolSize'),
  padding: padding(),
};

const affine = {
  center: z.boolean().default(true).describe('Whether to add a learned offset (beta)'),
  scale: z.boolean().default(true).describe('Whether to multiply by a learned factor (gamma)'),
};

export const layerSchema = oneOf(
  {
    conv2d: layer('Convolution over images (height, width, channels)', {
      filters: size().describe('Number of output channels'),
      ...convolution,
      groups: size().default(1).describe('Number of groups that input and output channels are split into'),
      kernelInitializer: initializer().default('glorotUniform').describe('First values of the kernel'),
    }),
    depthwiseConv2d: layer('Convolution of each input channel on its own', {
      ...convolution,
      depthMultiplier: size().default(1).describe('Output channels per input channel'),
      depthwiseInitializer: initializer().default('glorotUniform').describe('First values of the kernel'),
    }),
    maxPooling2d: layer('Largest value of each window', pooling),
    averagePooling2d: layer('Mean of each window; padding is not counted', pooling),
    globalAveragePooling2d: layer(
      'Mean over rows and columns: (height, width, channels) becomes (channels)',
      {},
    ),
    globalAveragePooling1d: layer('Mean over positions: (length, channels) becomes (channels)', {}),
    batchNormalization: layer('Normalizes each channel over the batch', {
      momentum: fraction().default(0.99).describe('moving = momentum * moving + (1 - momentum) * batch'),
      epsilon: positive().default(0.001).describe('Added to the variance'),
      ...affine,
    }),
    layerNormalization: layer('Normalizes the last dimension of each sample', {
      epsilon: positive().default(0.001).describe('Added to the variance'),
      ...affine,
    }),
    dropout: layer('Sets values to zero at random while training and scales the others up', {
      rate: rate().describe('Share of values set to zero'),
    }),
    embedding: layer('Looks up a vector for each whole number', {
      inputDim: whole(1, 2_147_483_647).describe('Size of the vocabulary: inputs are 0 to inputDim - 1'),
      outputDim: size().describe('Length of each vector'),
      embeddingsInitializer: initializer().default('randomUniform').describe('First values of the vectors'),
    }),
    positionEmbedding: layer('Adds a learned vector to each position of (length, channels)', {
      maxLength: size().describe('Number of vectors: the longest sequence'),
      embeddingsInitializer: initializer().default('glorotUniform').describe('First values of the vectors'),
    }),
    multiHeadAttention: layer('Every position of (length, channels) reads all others, in several heads', {
      numHeads: size().describe('Number of heads'),
      keyDim: size().describe('Length of the query and key of each head'),
      valueDim: size().exactOptional().describe('Length of the value of each head; default: keyDim'),
      causal: z
        .boolean()
        .default(false)
        .describe('Whether a position reads only itself and those before it (useCausalMask in Keras)'),
      useBias: z.boolean().default(true).describe('Whether the four projections add learned numbers'),
      kernelInitializer: initializer().default('glorotUniform').describe('First values of the kernels'),
      biasInitializer: initializer().default('zeros').describe('First values of the biases'),
    }),
    transformerEncoder: layer('Self-attention and two dense layers, each added to what it reads', {
      intermediateDim: size().describe('Number of outputs of the first dense layer'),
      numHeads: size().describe('Number of heads; a divisor of the channels'),
      causal: z.boolean().default(false).describe('Whether a position reads only itself and those before it'),
      dropout: rate().default(0).describe('Share of what attention and the dense layers add set to zero'),
      activation: activation().default('relu').describe('Of the first dense layer'),
      layerNormEpsilon: positive().default(0.00001).describe('Added to the variance'),
      normalizeFirst: z
        .boolean()
        .default(false)
        .describe('Whether to normalize what attention and the dense layers read, not the sums'),
      kernelInitializer: initializer().default('glorotUniform').describe('First values of the kernels'),
      biasInitializer: initializer().default('zeros').describe('First values of the biases'),
    }),
    flatten: layer('All values of a sample in one row', {}),
    reshape: layer('The same values in another shape', {
      targetShape: z
        .array(z.int().min(-1).max(2_147_483_647))
        .min(1)
        .max(8)
        .describe('New shape of a sample; one entry may be -1: what is left'),
    }),
    permute: layer('Exchanges the dimensions of a sample', {
      dims: z
        .array(whole(1, 8))
        .min(1)
        .max(8)
        .describe('The new order of the dimensions, counted from 1 as in Keras'),
    }),
    dense: layer('Fully connected layer over the last dimension', {
      units: size().describe('Number of outputs'),
      activation: activation().default('linear').describe('Applied to the result'),
      useBias: z.boolean().default(true).describe('Whether to add one learned number per output'),
      kernelInitializer: initializer().default('glorotUniform').describe('First values of the kernel'),
      biasInitializer: initializer().default('zeros').describe('First values of the bias'),
    }),
    activation: layer('Applies a function to every value', {
      activation: activation().describe('The function'),
    }),
    relu: layer('max(x, 0)', {}),
    leakyRelu: layer('x where x > 0, otherwise negativeSlope * x', {
      negativeSlope: real().default(0.3).describe('Slope below zero'),
    }),
    elu: layer('x where x > 0, otherwise alpha * (exp(x) - 1)', {
      alpha: real().default(1).describe('Limit below zero, negated'),
    }),
    gelu: layer('x times the normal distribution function of x', {
      approximate: z.boolean().default(false).describe('Whether to use the tanh form'),
    }),
    softmax: layer('exp(x) / sum(exp(x)) over the last dimension', {}),
  },
  'One layer: one key, its kind, with its options',
);

export type LayerSpec = z.output<typeof layerSchema>;
export type LayerKind = keyof LayerSpec;
export type ActivationName = (typeof ACTIVATIONS)[number];
export type InitializerName = (typeof INITIALIZERS)[number];
