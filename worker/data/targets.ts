// From labels to what the loss wants: one-hot rows, class indices or plain numbers. No files.
import type { InputSpec } from '../../native/graph.ts';
import type { BatchArray } from './dataset.ts';
import { DataError } from './errors.ts';
import { type Labels, sizeOf } from './samples.ts';

export interface TargetEncoder {
  readonly spec: InputSpec;
  readonly width: number;
  allocate(samples: number): BatchArray;
  /** Targets of the samples at `indices` (of the source), in that order. */
  write(indices: Uint32Array, into: BatchArray): void;
}

/**
 * Decides by the loss: categoricalCrossentropy takes one-hot float32 (classes), sparseCategoricalCrossentropy int32 (),
 * binaryCrossentropy and regression float32 (1). Without a loss, class labels are indices.
 * @throws DataError UNSUPPORTED_DTYPE where the labels cannot serve the loss.
 */
export function encodeTargets(
  labels: Labels,
  loss: string | undefined,
  classCount: number | undefined,
  where: string,
): TargetEncoder {
  if (labels.kind === 'value') return valueTargets(labels.values, labels.shape, loss, where);
  if (loss === 'categoricalCrossentropy') return oneHotTargets(labels.values, classCount ?? 0);
  if (loss === undefined || loss === 'sparseCategoricalCrossentropy') return indexTargets(labels.values);
  if (loss === 'binaryCrossentropy' && (classCount ?? 0) > 2) {
    const what = `${where}: binaryCrossentropy expects 2 classes, got ${classCount}`;
    throw new DataError(
      'LABEL_OUT_OF_RANGE',
      `${what} (choose two with \`classes\`, or use categoricalCrossentropy)`,
    );
  }
  return valueTargets(Float32Array.from(labels.values), [1], undefined, where);
}

function oneHotTargets(values: Int32Array, classes: number): TargetEncoder {
  return {
    spec: { name: 'target', shape: [classes], type: 'float32' },
    width: classes,
    allocate: (samples) => new Float32Array(samples * classes),
    write(indices, into) {
      into.fill(0);
      for (let i = 0; i < indices.length; i++) into[i * classes + values[indices[i]!]!] = 1;
    },
  };
}

function indexTargets(values: Int32Array): TargetEncoder {
  return {
    spec: { name: 'target', shape: [], type: 'int32' },
    width: 1,
    allocate: (samples) => new Int32Array(samples),
    write(indices, into) {
      for (let i = 0; i < indices.length; i++) into[i] = values[indices[i]!]!;
    },
  };
}

function valueTargets(
  values: Float32Array,
  shape: readonly number[],
  loss: string | undefined,
  where: string,
): TargetEncoder {
  const width = sizeOf(shape);
  if (loss === 'sparseCategoricalCrossentropy' || (loss === 'categoricalCrossentropy' && width === 1)) {
    const what = `${where}: ${loss} expects class labels (whole numbers from 0, or names)`;
    throw new DataError('UNSUPPORTED_DTYPE', `${what}, got numbers of shape (${shape.join(', ')})`);
  }
  return {
    spec: { name: 'target', shape, type: 'float32' },
    width,
    allocate: (samples) => new Float32Array(samples * width),
    write(indices, into) {
      for (let i = 0; i < indices.length; i++) {
        const from = indices[i]! * width;
        for (let j = 0; j < width; j++) into[i * width + j] = values[from + j]!;
      }
    },
  };
}
