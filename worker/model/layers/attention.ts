// Attention over sequences (length, channels), and where in a sequence a position is.
import { formatShape } from '../errors.ts';
import {
  type FullOptions,
  type Lower,
  type NodePlan,
  onlyInput,
  type ParameterPlan,
  type Refuse,
  type TensorSpec,
} from './layer.ts';

/** Some nodes of a layer with their parameters. */
export interface Part {
  readonly nodes: readonly NodePlan[];
  readonly parameters: readonly ParameterPlan[];
}

export function joined(...parts: readonly Part[]): Part {
  return {
    nodes: parts.flatMap(({ nodes }) => nodes),
    parameters: parts.flatMap(({ parameters }) => parameters),
  };
}

type Initializers = Pick<
  FullOptions<'multiHeadAttention'>,
  'useBias' | 'kernelInitializer' | 'biasInitializer'
>;
type AttentionOptions = Initializers &
  Pick<FullOptions<'multiHeadAttention'>, 'numHeads' | 'keyDim' | 'valueDim' | 'causal'>;

/** A sequence that attention reads: its length, its channels, and which input or node of the layer it is. */
interface Sequence {
  readonly length: number;
  readonly channels: number;
  readonly from: number | string;
}

/** Query, value and key as in Keras: one input is all three, of two the second is value and key. */
function sequences(inputs: readonly TensorSpec[], refuse: Refuse): readonly [Sequence, Sequence, Sequence] {
  if (inputs.length < 1 || inputs.length > 3)
    return refuse('inputs', 'query, value, key: one to three tensors', `${inputs.length}`);
  const all = inputs.map(({ shape }, from): Sequence => {
    const [length, channels] = shape;
    if (shape.length !== 2 || length === undefined || channels === undefined)
      return refuse('input shape', '(length, channels)', formatShape(shape));
    return { length, channels, from };
  });
  const [query, value = query, key = value] = all as [Sequence, Sequence?, Sequence?];
  if (key.length !== value.length)
    return refuse('length of the key', `${value.length} as of the value`, `${key.length}`);
  return [query, value, key];
}

/** A dense node with its parameters `<name>/kernel` and `<name>/bias`; reads the node before it unless told. */
export function projection(
  options: Initializers,
  name: string,
  [from, to]: readonly [number, number],
  reads?: number | string,
): Part {
  const { useBias, kernelInitializer, biasInitializer } = options;
  const kernel = { name: `${name}/kernel`, shape: [from, to], initializer: kernelInitializer };
  const bias = { name: `${name}/bias`, shape: [to], initializer: biasInitializer };
  const parameters = (useBias ? [kernel, bias] : [kernel]).map((plan) => ({ ...plan, trainable: true }));
  const uses = parameters.map((plan) => plan.name);
  return {
    nodes: [{ op: 'dense', as: name, uses, ...(reads === undefined ? {} : { reads: [reads] }) }],
    parameters,
  };
}

/**
 * Vaswani et al. 2017, "Attention Is All You Need": three projections, attention in each head, and a projection back to the
 * query's channels. `prefix` begins the names; the last node is `<prefix>attentionOutput`.
 */
export function attend(
  options: AttentionOptions,
  prefix: string,
  [query, value, key]: readonly [Sequence, Sequence, Sequence],
): Part {
  const { numHeads: heads, keyDim, valueDim = keyDim, causal } = options;
  const project = (name: string, from: Sequence, size: number): Part =>
    projection(options, prefix + name, [from.channels, heads * size], from.from);
  const reads = ['query', 'key', 'value'].map((name) => prefix + name);
  const attention: NodePlan = { op: 'attention', as: `${prefix}attention`, reads, heads, causal };
  return joined(
    project('query', query, keyDim),
    project('key', key, keyDim),
    project('value', value, valueDim),
    { nodes: [attention], parameters: [] },
    projection(options, `${prefix}attentionOutput`, [heads * valueDim, query.channels]),
  );
}

export const multiHeadAttention: Lower<FullOptions<'multiHeadAttention'>> = (options, inputs, refuse) => {
  const read = sequences(inputs, refuse);
  const [{ length, channels }] = read;
  return { shape: [length, channels], ...attend(options, '', read) };
};

/** KerasHub's PositionEmbedding with the sum that follows it. */
export const positionEmbedding: Lower<FullOptions<'positionEmbedding'>> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse, ['length', 'channels']);
  const [length, channels] = shape as readonly [number, number];
  const { maxLength, embeddingsInitializer: initializer } = options;
  if (length > maxLength) return refuse('length', `at most maxLength (${maxLength})`, `${length}`);
  return {
    shape,
    parameters: [{ name: 'embeddings', shape: [maxLength, channels], trainable: true, initializer }],
    nodes: [{ op: 'positionEmbedding', uses: ['embeddings'] }],
  };
};
