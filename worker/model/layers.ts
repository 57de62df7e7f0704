// Every layer by name, as the API (`layers.dense({units: 10})`) and as the manifest ({dense: {units: 10}}).
import { type LayerKind, type LayerSpec, onlyEntry } from '../../crds/leptonjob.ts';
import type { Shape } from '../../native/graph.ts';
import { ModelError } from './errors.ts';
import { multiHeadAttention, positionEmbedding } from './layers/attention.ts';
import * as convolution from './layers/convolution.ts';
import * as core from './layers/core.ts';
import { transformerEncoder } from './layers/encoder.ts';
import {
  type AnyKind,
  completeOptions,
  type FullOptions,
  Layer,
  type LayerOptions,
  type Lower,
  type MergeKind,
  type SymbolicTensor,
} from './layers/layer.ts';
import { concatenate, merge } from './layers/merge.ts';
import { batchNormalization, layerNormalization } from './layers/normalization.ts';

const KINDS: { readonly [K in LayerKind]: Lower<FullOptions<K>> } = {
  conv2d: convolution.conv2d,
  depthwiseConv2d: convolution.depthwiseConv2d,
  maxPooling2d: convolution.pooling('maxPooling2d'),
  averagePooling2d: convolution.pooling('averagePooling2d'),
  globalAveragePooling2d: convolution.globalAveragePooling2d,
  globalAveragePooling1d: convolution.globalAveragePooling1d,
  batchNormalization,
  layerNormalization,
  dropout: core.elementwise(({ rate }) => [{ op: 'dropout', rate }]),
  embedding: core.embedding,
  positionEmbedding,
  multiHeadAttention,
  transformerEncoder,
  flatten: core.flatten,
  reshape: core.reshape,
  permute: core.permute,
  dense: core.dense,
  activation: core.elementwise(({ activation }) => core.activationNodes(activation)),
  relu: core.elementwise(() => [{ op: 'relu' }]),
  leakyRelu: core.elementwise(({ negativeSlope }) => [{ op: 'leakyRelu', negativeSlope }]),
  elu: core.elementwise(({ alpha }) => [{ op: 'elu', alpha }]),
  gelu: core.elementwise(({ approximate }) => [{ op: 'gelu', approximate }]),
  softmax: core.elementwise(() => [{ op: 'softmax' }]),
};

const MERGES: { readonly [K in MergeKind]: Lower<{ axis: number }> } = {
  add: merge('add'),
  multiply: merge('multiply'),
  concatenate,
};

type Factories = {
  readonly [K in LayerKind]: object extends LayerOptions<K>
    ? (options?: LayerOptions<K>) => Layer
    : (options: LayerOptions<K>) => Layer;
} & {
  readonly add: (options?: { name?: string }) => Layer;
  readonly multiply: (options?: { name?: string }) => Layer;
  readonly concatenate: (options?: { axis?: number; name?: string }) => Layer;
};

const isMerge = (kind: string): kind is MergeKind => Object.hasOwn(MERGES, kind);

/** A layer of any kind from its options. @throws ModelError LAYER_INVALID for an unknown kind or option. */
export function makeLayer(kind: AnyKind, options: object = {}): Layer {
  if (isMerge(kind))
    return new Layer(kind, kind === 'concatenate' ? { axis: -1, ...options } : options, MERGES[kind]);
  if (!Object.hasOwn(KINDS, kind)) {
    const known = [...Object.keys(KINDS), ...Object.keys(MERGES)].join(', ');
    throw new ModelError('LAYER_INVALID', `layer kind: expected one of ${known}, got '${kind}'`);
  }
  return new Layer(kind, completeOptions(kind, options as never), KINDS[kind] as Lower<never>);
}

/** `layers.conv2d({filters: 32, kernelSize: 3, activation: 'relu'})`: options and defaults are Keras 3's. */
export const layers = Object.fromEntries(
  [...Object.keys(KINDS), ...Object.keys(MERGES)].map((kind) => [
    kind,
    (options?: object) => makeLayer(kind as AnyKind, options),
  ]),
) as unknown as Factories;

/** One entry of `model.layers` of a manifest. */
export function layerFromSpec(spec: LayerSpec): Layer {
  const [kind, options] = onlyEntry(spec);
  return makeLayer(kind, options);
}

/** An input of a functional net: `input({shape: [32, 32, 3]})`, shape without batch. */
export function input(options: { shape: Shape; type?: 'float32' | 'int32'; name?: string }): SymbolicTensor {
  const { shape, type = 'float32', name } = options;
  return { kind: 'input', spec: { shape, type }, ...(name === undefined ? {} : { name }) };
}
