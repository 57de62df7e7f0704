// What the rest of Lepton sees of data: batches by sample index. No formats, no files.
import type { InputSpec } from '../../native/graph.ts';

export type BatchArray = Float32Array | Int32Array;

/** Row-major arrays, batch first; `inputs` and `targets` stand in the order of the dataset's specs. */
export interface Batch {
  readonly size: number;
  readonly inputs: readonly BatchArray[];
  readonly targets: readonly BatchArray[];
}

/** Random access to samples by index; the same (seed, epoch, index) always gives the same sample. */
export interface Dataset extends AsyncDisposable {
  readonly length: number;
  readonly inputs: readonly InputSpec[];
  /** Empty where the source has no labels. */
  readonly targets: readonly InputSpec[];
  /** Class i of the targets is called classNames[i]; absent for regression and for unnamed classes. */
  readonly classNames?: readonly string[];
  /** Number of classes of class targets; absent for regression. */
  readonly classCount?: number;
  /** The same samples without augmentation; absent where nothing is augmented. */
  readonly plain?: Dataset;
  /**
   * The samples at `indices`, in that order. `epoch` keys augmentation. Arrays of `reuse` (an earlier batch that
   * nobody reads any more) are filled again where their sizes fit.
   * @throws DataError where the bytes behind a sample cannot be read or decoded.
   */
  read(indices: Uint32Array, epoch: number, reuse?: Batch): Promise<Batch>;
}
