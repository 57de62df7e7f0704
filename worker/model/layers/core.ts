// Dense, activations, dropout, embedding and changes of shape.
import type { ActivationName } from '../../../crds/layers.ts';
import type { Operation, Shape } from '../../../native/graph.ts';
import { formatShape } from '../errors.ts';
import { type FullOptions, type Lower, onlyInput, type ParameterPlan } from './layer.ts';

const count = (shape: Shape) => shape.reduce((product, size) => product * size, 1);

/** The node of an activation by name with Keras' default slopes; linear is none. */
export function activationNodes(activation: ActivationName): Operation[] {
  switch (activation) {
    case 'linear':
      return [];
    case 'leakyRelu':
      return [{ op: 'leakyRelu', negativeSlope: 0.2 }]; // keras.activations.leaky_relu; the layer's own default is 0.3
    case 'elu':
      return [{ op: 'elu', alpha: 1 }];
    case 'gelu':
      return [{ op: 'gelu', approximate: false }];
    default:
      return [{ op: activation }];
  }
}

/** The bias of a layer with `outputs` outputs, if it has one. */
export function biasPlan(
  options: { useBias: boolean; biasInitializer: ParameterPlan['initializer'] },
  outputs: number,
): ParameterPlan[] {
  const { useBias, biasInitializer: initializer } = options;
  return useBias ? [{ name: 'bias', shape: [outputs], trainable: true, initializer }] : [];
}

export const dense: Lower<FullOptions<'dense'>> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse);
  const width = shape.at(-1);
  if (width === undefined) return refuse('input shape', 'at least one dimension', formatShape(shape));
  const { units, kernelInitializer: initializer } = options;
  const parameters = [
    { name: 'kernel', shape: [width, units], trainable: true, initializer },
    ...biasPlan(options, units),
  ];
  return {
    shape: [...shape.slice(0, -1), units],
    parameters,
    nodes: [
      { op: 'dense', uses: parameters.map(({ name }) => name) },
      ...activationNodes(options.activation),
    ],
  };
};

/** A layer that is one node and keeps the shape. */
export function elementwise<Options>(operation: (options: Options) => readonly Operation[]): Lower<Options> {
  return (options, inputs, refuse) => ({
    shape: onlyInput(inputs, refuse).shape,
    parameters: [],
    nodes: operation(options),
  });
}

export const embedding: Lower<FullOptions<'embedding'>> = (options, inputs, refuse) => {
  const { shape, type } = onlyInput(inputs, refuse);
  if (type !== 'int32') return refuse('input type', 'int32 (whole numbers)', type);
  const { inputDim, outputDim, embeddingsInitializer: initializer } = options;
  return {
    shape: [...shape, outputDim],
    parameters: [{ name: 'embeddings', shape: [inputDim, outputDim], trainable: true, initializer }],
    nodes: [{ op: 'embedding', uses: ['embeddings'] }],
  };
};

export const flatten: Lower<FullOptions<'flatten'>> = (_options, inputs, refuse) => ({
  shape: [count(onlyInput(inputs, refuse).shape)],
  parameters: [],
  nodes: [{ op: 'flatten' }],
});

export const reshape: Lower<FullOptions<'reshape'>> = ({ targetShape }, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse);
  const known = targetShape.filter((size) => size !== -1);
  const left = count(shape) / count(known);
  const target = targetShape.map((size) => (size === -1 ? left : size));
  if (targetShape.length - known.length > 1)
    return refuse('targetShape', 'at most one -1', formatShape(targetShape));
  if (!target.every(Number.isInteger) || count(target) !== count(shape)) {
    return refuse(
      'targetShape',
      `${count(shape)} values as in the input ${formatShape(shape)}`,
      formatShape(targetShape),
    );
  }
  return { shape: target, parameters: [], nodes: [{ op: 'reshape', shape: target }] };
};

export const permute: Lower<FullOptions<'permute'>> = ({ dims }, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse);
  const permutation = dims.map((dim) => dim - 1);
  if ([...permutation].sort((a, b) => a - b).join() !== shape.map((_, i) => i).join()) {
    return refuse('dims', `each of 1 to ${shape.length} once`, formatShape(dims));
  }
  return {
    shape: permutation.map((i) => shape[i] as number),
    parameters: [],
    nodes: [{ op: 'transpose', permutation }],
  };
};
