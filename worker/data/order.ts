// Which sample is seen when: pure functions of (length, seed, epoch, step, rank). No data, no state.
import { Random } from '../random/philox.ts';
import { DataError } from './errors.ts';

/** All sample indices of one epoch, each once; the same (length, seed, epoch) gives the same order everywhere. */
export function epochOrder(length: number, seed: number, epoch: number, shuffle: boolean): Uint32Array {
  const order = new Uint32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  if (shuffle) new Random(seed, 'order', epoch).shuffle(order);
  return order;
}

/**
 * Samples of step `step` of an epoch for one worker. The global batch (batchSize * workers samples, the last one
 * smaller) is cut evenly in rank order, so its samples do not depend on how many workers share it. A view of `order`.
 */
export function workerSlice(
  order: Uint32Array,
  step: number,
  batchSize: number,
  rank: number,
  workers: number,
): Uint32Array {
  return sliceBetween(order, step, batchSize * workers, rank, rank + 1, workers);
}

/** As `workerSlice`, of a step of `samples` that is cut in the ratio of `shares`. A view of `order`. */
export function sliceOfShare(
  order: Uint32Array,
  step: number,
  samples: number,
  rank: number,
  shares: readonly number[],
): Uint32Array {
  const sum = (to: number): number => shares.slice(0, to).reduce((total, share) => total + share, 0);
  const total = sum(shares.length);
  return sliceBetween(order, step, samples, sum(rank), sum(rank + 1), total);
}

/** Of the samples of a step the parts from `from` to `to`, of `parts`. */
function sliceBetween(
  order: Uint32Array,
  step: number,
  samples: number,
  from: number,
  to: number,
  parts: number,
): Uint32Array {
  const start = Math.min(step * samples, order.length);
  const there = Math.min(samples, order.length - start);
  return order.subarray(start + Math.floor((there * from) / parts), start + Math.floor((there * to) / parts));
}

/** Steps that show every sample once: ceil(length / (batchSize * workers)). */
export function stepsPerEpoch(length: number, batchSize: number, workers: number): number {
  return Math.ceil(length / (batchSize * workers));
}

/**
 * Refuses a step that could never be full.
 * @throws DataError BATCH_TOO_LARGE
 */
export function checkBatchSize(length: number, batchSize: number, workers: number, where: string): void {
  const samples = batchSize * workers;
  if (samples <= length) return;
  const how = workers === 1 ? '' : ` (batchSize ${batchSize} x ${workers} workers)`;
  throw new DataError(
    'BATCH_TOO_LARGE',
    `${where}: expected at least ${samples} samples for one step${how}, got ${length}`,
  );
}
