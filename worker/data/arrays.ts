// A dataset over arrays in memory.
import type { InputSpec } from '../../native/graph.ts';
import type { Batch, BatchArray, Dataset } from './dataset.ts';
import { DataError } from './errors.ts';

/** Row-major values with their shape, the first dimension counting samples. */
export interface SampleArray {
  readonly data: BatchArray;
  readonly shape: readonly number[];
}

interface Column extends InputSpec {
  readonly data: BatchArray;
  readonly width: number;
}

/**
 * All arrays must count the same samples. Names are input, input_1, ... and target, target_1, ...
 * @throws DataError COUNT_MISMATCH, EMPTY_DATASET
 */
export function fromArrays(inputs: readonly SampleArray[], targets: readonly SampleArray[] = []): Dataset {
  const length = inputs[0]?.shape[0] ?? 0;
  if (length === 0) throw new DataError('EMPTY_DATASET', 'arrays: expected at least one sample, got none');
  const column =
    (kind: string) =>
    ({ data, shape }: SampleArray, i: number): Column => {
      if (shape[0] !== length) {
        throw new DataError(
          'COUNT_MISMATCH',
          `arrays: ${kind} ${i}: expected ${length} samples as in input 0, got ${shape[0]}`,
        );
      }
      const type = data instanceof Int32Array ? 'int32' : 'float32';
      return {
        name: i === 0 ? kind : `${kind}_${i}`,
        shape: shape.slice(1),
        type,
        data,
        width: data.length / length,
      };
    };
  const columns = { inputs: inputs.map(column('input')), targets: targets.map(column('target')) };
  return {
    length,
    inputs: columns.inputs.map(specOf),
    targets: columns.targets.map(specOf),
    read: async (indices, _epoch, reuse) => readColumns(columns, indices, reuse),
    [Symbol.asyncDispose]: async () => {},
  };
}

function specOf({ name, shape, type }: Column): InputSpec {
  return { name, shape, type };
}

function readColumns(
  { inputs, targets }: { inputs: readonly Column[]; targets: readonly Column[] },
  indices: Uint32Array,
  reuse: Batch | undefined,
): Batch {
  const gather = (column: Column, into: BatchArray | undefined) => gatherRows(column, indices, into);
  return {
    size: indices.length,
    inputs: inputs.map((column, i) => gather(column, reuse?.inputs[i])),
    targets: targets.map((column, i) => gather(column, reuse?.targets[i])),
  };
}

function gatherRows({ data, width }: Column, indices: Uint32Array, into: BatchArray | undefined): BatchArray {
  const needed = indices.length * width;
  const rows =
    into?.length === needed && into.constructor === data.constructor ? into : newLike(data, needed);
  for (let row = 0; row < indices.length; row++) {
    const from = (indices[row] as number) * width;
    rows.set(data.subarray(from, from + width) as never, row * width);
  }
  return rows;
}

function newLike(data: BatchArray, length: number): BatchArray {
  return data instanceof Int32Array ? new Int32Array(length) : new Float32Array(length);
}
