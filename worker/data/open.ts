// From a data source of a manifest to a dataset: format, selection, scaling, augmentation, targets. No decoding.
import type { DataSource } from '../../crds/leptonjob.ts';
import type { InputSpec } from '../../native/graph.ts';
import { type Augmentation, copyMoved, moveOf, requireImages } from './augment.ts';
import { openLocation } from './bytes/location.ts';
import type { Batch, BatchArray, Dataset } from './dataset.ts';
import { openFormat } from './formats/formats.ts';
import { type RawSamples, rawSamples } from './resident.ts';
import { type SampleSource, sizeOf } from './samples.ts';
import { createScaler, type Scaler } from './scale.ts';
import { select } from './selection.ts';
import { encodeTargets, type TargetEncoder } from './targets.ts';

export interface OpenOptions {
  readonly seed: number;
  /** Augment only while training. */
  readonly training: boolean;
  /** Decides whether targets are one-hot rows, class numbers or plain numbers. */
  readonly loss?: string;
  /** Samples that take more memory than this are read from their file each time. Default 1 GiB. */
  readonly memoryBytes?: number;
}

const MEMORY_BYTES = 2 ** 30;

/** @throws DataError naming the file, the place in it, what was expected and what was found. */
export async function openDataset(source: DataSource, options: OpenOptions): Promise<Dataset> {
  const location = await openLocation(source.uri, source.endpoint);
  const samples = await openFormat(location, source);
  const { indices, labels, classCount, classNames } = select(samples, source.classes, source.limit);
  const scale = source.scale ?? (samples.element === 'uint8' && samples.shape.length === 3 ? 1 / 255 : 1);
  const scaler = createScaler(samples.element, samples.shape, { scale, ...source.normalize }, samples.name);
  const raw = await rawSamples(samples, indices, options.memoryBytes ?? MEMORY_BYTES);
  const encoder = labels && encodeTargets(labels, options.loss, classCount, samples.name);
  const parts: Parts = {
    samples,
    indices,
    raw,
    scaler,
    encoder,
    seed: options.seed,
    ...describe(samples, source),
  };
  const names = {
    ...(classNames ? { classNames } : {}),
    ...(encoder && classCount !== undefined ? { classCount } : {}),
  };
  const plain = { ...datasetOf(parts, undefined), ...names };
  if (!options.training || !source.augment) return plain;
  requireImages(samples.shape, samples.name);
  return { ...datasetOf(parts, source.augment as Augmentation), ...names, plain };
}

interface Parts {
  readonly samples: SampleSource;
  /** Sample i of the dataset is sample indices[i] of the source. */
  readonly indices: Uint32Array;
  readonly raw: RawSamples;
  readonly scaler: Scaler;
  readonly encoder: TargetEncoder | undefined;
  readonly seed: number;
  readonly input: InputSpec;
}

/** Whole numbers stay whole (indices of embeddings) unless they are to be scaled. */
function describe({ element, shape }: SampleSource, source: DataSource): { input: InputSpec } {
  const whole = element === 'int32' && source.scale === undefined && source.normalize === undefined;
  return { input: { name: 'input', shape, type: whole ? 'int32' : 'float32' } };
}

function datasetOf(parts: Parts, augmentation: Augmentation | undefined): Dataset {
  const { indices, raw, encoder, input } = parts;
  const size = sizeOf(input.shape);
  return {
    length: indices.length,
    inputs: [input],
    targets: encoder ? [encoder.spec] : [],
    async read(wanted, epoch, reuse): Promise<Batch> {
      const chosen = wanted.map((i) => indices[i] as number);
      const { data, starts } = await raw.read(chosen);
      const values = sized(reuse?.inputs[0], chosen.length * size, input.type);
      for (let i = 0; i < chosen.length; i++) {
        const from = starts[i] as number;
        if (values instanceof Int32Array) values.set(data.subarray(from, from + size), i * size);
        else if (!augmentation) parts.scaler.copy(data, from, values, i * size, size);
        else {
          const move = moveOf(augmentation, parts.seed, epoch, chosen[i] as number);
          copyMoved(data, from, values, i * size, input.shape, move, parts.scaler);
        }
      }
      return {
        size: chosen.length,
        inputs: [values],
        targets: encoder ? [targetsOf(encoder, chosen, reuse)] : [],
      };
    },
    [Symbol.asyncDispose]: () => raw[Symbol.asyncDispose](),
  };
}

function sized(reuse: BatchArray | undefined, length: number, type: InputSpec['type']): BatchArray {
  if (type === 'int32')
    return reuse instanceof Int32Array && reuse.length === length ? reuse : new Int32Array(length);
  return reuse instanceof Float32Array && reuse.length === length ? reuse : new Float32Array(length);
}

function targetsOf(encoder: TargetEncoder, chosen: Uint32Array, reuse: Batch | undefined): BatchArray {
  const old = reuse?.targets[0];
  const targets = old?.length === chosen.length * encoder.width ? old : encoder.allocate(chosen.length);
  encoder.write(chosen, targets);
  return targets;
}
