// What the engine understands: a net as plain data. No behaviour, no memory; model.json stores exactly this.

/** Shapes leave the batch dimension out; images are channels-last (height, width, channels), as in Keras. */
export type Shape = readonly number[];

export interface InputSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly type: 'float32' | 'int32';
}

/**
 * A named array in the parameter arena, in Keras' layout: dense kernel (in, out), conv2d kernel
 * (height, width, in/groups, out), embedding table (vocabulary, dimension).
 * `trainable: false` is state that a training step replaces (the moving statistics of batchNormalization).
 */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: Shape;
  readonly trainable: boolean;
}

/** Two numbers: height (rows), width (columns). */
export type Pair = readonly [number, number];
/** `same` pads as TensorFlow does (the odd pixel goes to the bottom and right); explicit is [[top, bottom], [left, right]]. */
export type Padding = 'valid' | 'same' | readonly [Pair, Pair];

/** Every operation of a graph with its attributes. `parameters` names arena entries, in the order given beside each. */
export type Operation =
  | { readonly op: 'dense' } // kernel, bias?; acts on the last dimension
  | {
      readonly op: 'conv2d'; // kernel, bias?
      readonly strides: Pair;
      readonly padding: Padding;
      readonly dilation: Pair;
      readonly groups: number; // groups = input channels is a depthwise convolution
    }
  | {
      readonly op: 'maxPooling2d';
      readonly poolSize: Pair;
      readonly strides: Pair;
      readonly padding: Padding;
    }
  | {
      readonly op: 'averagePooling2d';
      readonly poolSize: Pair;
      readonly strides: Pair;
      readonly padding: Padding;
    } // padding is not counted
  | { readonly op: 'globalAveragePooling2d' } // (h, w, c) -> (c)
  | {
      readonly op: 'batchNormalization'; // gamma?, beta?, movingMean, movingVariance; over all but the last dimension
      readonly momentum: number; // moving = momentum * moving + (1 - momentum) * batch
      readonly epsilon: number;
      readonly scale: boolean;
      readonly center: boolean;
    }
  | {
      readonly op: 'layerNormalization';
      readonly epsilon: number;
      readonly scale: boolean;
      readonly center: boolean;
    } // gamma?, beta?; last dimension
  | { readonly op: 'dropout'; readonly rate: number } // identity outside training; mask = Philox(seed, step, rank, node index)
  | { readonly op: 'embedding' } // table; int32 input (...) -> (..., dimension)
  | { readonly op: 'positionEmbedding' } // table (positions, dimension); adds row i to position i of (length, dimension)
  | {
      readonly op: 'attention'; // inputs query (t, heads * d), key (s, heads * d), value (s, heads * e); gives (t, heads * e)
      readonly heads: number; // softmax(query key^T / sqrt(d)) value, each head on its own slice of the last dimension
      readonly causal: boolean; // query i sees keys 0 to i
    }
  | { readonly op: 'flatten' }
  | { readonly op: 'reshape'; readonly shape: Shape }
  | { readonly op: 'transpose'; readonly permutation: readonly number[] } // of the dimensions after batch, counted from 0
  | { readonly op: 'add' } // two or more inputs of one shape
  | { readonly op: 'multiply' }
  | { readonly op: 'concat'; readonly axis: number } // counted after batch; negative counts from the end
  | { readonly op: 'relu' }
  | { readonly op: 'leakyRelu'; readonly negativeSlope: number }
  | { readonly op: 'elu'; readonly alpha: number }
  | { readonly op: 'gelu'; readonly approximate: boolean } // approximate: the tanh form
  | { readonly op: 'sigmoid' }
  | { readonly op: 'tanh' }
  | { readonly op: 'softmax' }; // last dimension

/** One node; its name is the name of its only output. Inputs name graph inputs or earlier nodes. */
export type NodeSpec = Operation & {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly parameters?: readonly string[];
};

/** A net. Nodes stand in an order in which every input is defined before it is used. */
export interface GraphSpec {
  readonly inputs: readonly InputSpec[];
  readonly parameters: readonly ParameterSpec[];
  readonly nodes: readonly NodeSpec[];
  readonly outputs: readonly string[];
}

export type LossKind =
  | 'categoricalCrossentropy' // targets: one-hot float32, shape of the output
  | 'sparseCategoricalCrossentropy' // targets: int32 class index, shape of the output without its last dimension
  | 'binaryCrossentropy'
  | 'meanSquaredError'
  | 'meanAbsoluteError'
  | 'huber';

/**
 * One loss on one output, averaged over the batch ("sum_over_batch_size" in Keras). Cross-entropies take
 * probabilities unless `fromLogits`; a softmax or sigmoid right before them is differentiated together with
 * the loss, so that small probabilities keep their gradient.
 */
export interface LossSpec {
  readonly output: string;
  readonly loss: LossKind;
  readonly fromLogits?: boolean;
  readonly delta?: number; // huber, default 1
  readonly labelSmoothing?: number; // categorical and binary cross-entropy, default 0
  readonly weight?: number; // default 1
}
