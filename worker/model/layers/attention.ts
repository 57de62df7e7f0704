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

type AttentionOptions = FullOptions<'multiHeadAttention'>;

/** A sequence that the layer reads: its length, its channels and which input it is. */
interface Sequence {
  readonly length: number;
  readonly channels: number;
  readonly input: number;
}

/** Query, value and key as in Keras: one input is all three, of two the second is value and key. */
function sequences(inputs: readonly TensorSpec[], refuse: Refuse): readonly [Sequence, Sequence, Sequence] {
  if (inputs.length < 1 || inputs.length > 3)
    return refuse('inputs', 'query, value, key: one to three tensors', `${inputs.length}`);
  const all = inputs.map(({ shape }, input): Sequence => {
    const [length, channels] = shape;
    if (shape.length !== 2 || length === undefined || channels === undefined)
      return refuse('input shape', '(length, channels)', formatShape(shape));
    return { length, channels, input };
  });
  const [query, value = query, key = value] = all as [Sequence, Sequence?, Sequence?];
  if (key.length !== value.length)
    return refuse('length of the key', `${value.length} as of the value`, `${key.length}`);
  return [query, value, key];
}

/** A dense node with its parameters `<name>/kernel` and `<name>/bias`. */
function projection(
  options: AttentionOptions,
  name: string,
  [from, to]: readonly [number, number],
  reads: number | string,
): { node: NodePlan; parameters: readonly ParameterPlan[] } {
  const { useBias, kernelInitializer, biasInitializer } = options;
  const kernel = { name: `${name}/kernel`, shape: [from, to], initializer: kernelInitializer };
  const bias = { name: `${name}/bias`, shape: [to], initializer: biasInitializer };
  const parameters = (useBias ? [kernel, bias] : [kernel]).map((plan) => ({ ...plan, trainable: true }));
  return {
    node: { op: 'dense', as: name, reads: [reads], uses: parameters.map((plan) => plan.name) },
    parameters,
  };
}

/** Vaswani et al. 2017, "Attention Is All You Need": three projections, attention in each head, and a projection back to the query's channels. */
export const multiHeadAttention: Lower<AttentionOptions> = (options, inputs, refuse) => {
  const [query, value, key] = sequences(inputs, refuse);
  const { numHeads: heads, keyDim, valueDim = keyDim, causal } = options;
  const q = projection(options, 'query', [query.channels, heads * keyDim], query.input);
  const k = projection(options, 'key', [key.channels, heads * keyDim], key.input);
  const v = projection(options, 'value', [value.channels, heads * valueDim], value.input);
  const o = projection(options, 'attentionOutput', [heads * valueDim, query.channels], 'attention');
  const attention: NodePlan = { op: 'attention', reads: ['query', 'key', 'value'], heads, causal };
  return {
    shape: [query.length, query.channels],
    parameters: [q, k, v, o].flatMap(({ parameters }) => parameters),
    nodes: [q.node, k.node, v.node, attention, o.node],
  };
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
