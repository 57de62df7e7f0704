// Parts of a dataset: some of its samples, or two random parts of it. No copies.
import { Random } from '../random/philox.ts';
import type { Dataset } from './dataset.ts';
import { DataError } from './errors.ts';

/** The samples at `indices`, in that order; closing it closes nothing: the whole stays its owner's. */
export function subset(dataset: Dataset, indices: Uint32Array): Dataset {
  const { plain } = dataset;
  return {
    ...dataset,
    length: indices.length,
    ...(plain ? { plain: subset(plain, indices) } : {}),
    read: (wanted, epoch, reuse) =>
      dataset.read(
        wanted.map((i) => indices[i] as number),
        epoch,
        reuse,
      ),
    [Symbol.asyncDispose]: async () => {},
  };
}

/**
 * [the rest, a random share of `fraction`], drawn by seed; both keep the order of the data. The share is read without augmentation.
 * @throws DataError EMPTY_DATASET where one part would be empty.
 */
export function splitDataset(dataset: Dataset, fraction: number, seed: number): [Dataset, Dataset] {
  const order = Uint32Array.from({ length: dataset.length }, (_, i) => i);
  new Random(seed, 'split').shuffle(order);
  const held = Math.round(dataset.length * fraction);
  if (held === 0 || held === dataset.length) {
    throw new DataError(
      'EMPTY_DATASET',
      `validation split of ${fraction}: expected samples on both sides, got ${dataset.length - held} and ${held}`,
    );
  }
  const rest = subset(dataset, order.slice(held).sort());
  return [rest, subset(dataset.plain ?? dataset, order.slice(0, held).sort())];
}
