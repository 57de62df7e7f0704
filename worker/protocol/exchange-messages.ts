// What an exchange of gradients is told and what it answers with. Shapes only.
import type { Chunk } from './chunks.ts';
import type { RuntimeErrorCode } from './errors.ts';

/** Who speaks: a rank under the epoch that its session was given. Epochs only grow; the newest one seen is the rank's session. */
export interface Speaker {
  readonly rank: number;
  readonly epoch: number;
}

/** A worker's part of one chunk. */
export interface Contribution {
  readonly chunk: number;
  /** The step, or the batch where batches are leased. */
  readonly step: number;
  /** Samples / batch size; 0 carries no data. */
  readonly weight: number;
  readonly learningRate: number;
}

export type ExchangeMessage =
  /** Parameters of `step` are in place (from a checkpoint). Sessions below `epoch` end. */
  | { readonly kind: 'load'; readonly epoch: number; readonly step: number }
  /** No parameters anywhere: rank 0 will bring the initial values. */
  | { readonly kind: 'clear'; readonly epoch: number }
  | ({ readonly kind: 'initialize'; readonly chunk: number } & Speaker)
  | ({ readonly kind: 'attend' } & Speaker)
  | ({ readonly kind: 'push' } & Contribution & Speaker)
  /**
   * Send every chunk at `step`, unless `onRequest`, then every update that concerns the rank as it happens. A step that is gone is
   * refused; where there are backup workers, chunks are then sent as they are now.
   */
  | ({ readonly kind: 'pull'; readonly step: number; readonly onRequest?: boolean } & Speaker)
  /** Send every chunk as it is now; where batches are leased, as the answer to `step`. */
  | ({ readonly kind: 'refresh'; readonly step: number } & Speaker)
  /** `factor` scales the gradient of `step` so that its norm keeps the limit. */
  | { readonly kind: 'norm'; readonly step: number; readonly factor: number }
  /** The ranks that `step` is made of, in ascending order; where there are backup workers, nothing is summed before it is known. */
  | { readonly kind: 'quorum'; readonly step: number; readonly ranks: readonly number[] };

export type ExchangeEffect =
  | { readonly kind: 'refuse'; readonly code: RuntimeErrorCode; readonly message: string }
  /** Write the message's data into version 0 of the chunk. */
  | { readonly kind: 'write'; readonly chunk: number }
  | { readonly kind: 'initialized'; readonly epoch: number }
  /** A newer session of this rank began: end the streams of the older one. */
  | { readonly kind: 'supersede'; readonly rank: number }
  | { readonly kind: 'attended'; readonly step: number }
  /** Keep the message's data until it is accumulated. */
  | { readonly kind: 'hold'; readonly chunk: number; readonly rank: number }
  /** Add the held data of a rank to the chunk's sum; `first` overwrites what the sum held before. */
  | {
      readonly kind: 'accumulate';
      readonly chunk: number;
      readonly rank: number;
      readonly weight: number;
      readonly first: boolean;
    }
  /** Make version + 1 of the chunk from `version` and the sum times `scale`. */
  | {
      readonly kind: 'update';
      readonly chunk: number;
      readonly version: number;
      /** Counted from 1: of what the optimizer has made of this chunk. */
      readonly iteration: number;
      readonly scale: number;
      readonly learningRate: number;
      /** Of a chunk of state: how much of it the contribution replaces. */
      readonly share: number;
    }
  /** All trainable chunks are summed: tell the coordinator their sums of squares. */
  | { readonly kind: 'reportNorm'; readonly step: number; readonly scale: number }
  /** A version of a chunk, which workers know as that of `step`: the step, or the batch that it answers. */
  | {
      readonly kind: 'send';
      readonly ranks: readonly number[];
      readonly chunk: number;
      readonly version: number;
      readonly step: number;
    }
  /** Every chunk of the shard stands at `step`, in the same version: the moment for a consistent cut. */
  | { readonly kind: 'complete'; readonly step: number };

/** Which contributions make which version: what the modes of consistency differ in. Knows sessions only by their ranks. */
export interface Order {
  /** The oldest step that is still worked on. */
  readonly clock: number;
  /** Version of every chunk, where `isComplete`. */
  readonly version: number;
  isComplete(step: number): boolean;
  push(rank: number, contribution: Contribution, chunk: Chunk): ExchangeEffect[];
  pull(rank: number, step: number): ExchangeEffect[];
  /** The rank is sent what concerns it from now on. */
  listen(rank: number): void;
  isListening(rank: number): boolean;
  refresh(rank: number, step: number): ExchangeEffect[];
  /** The rank's session is over: nothing is sent to it any more. */
  forget(rank: number): void;
  norm(step: number, factor: number): ExchangeEffect[];
  quorum(step: number, ranks: readonly number[]): ExchangeEffect[];
}

export function refuse(code: RuntimeErrorCode, message: string): ExchangeEffect {
  return { kind: 'refuse', code, message };
}
