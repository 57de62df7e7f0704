// Which samples a worker computes on, as batches that are read ahead of the engine. Functions of the seed alone; trains nothing.
import type { Batch, Dataset } from '../data/dataset.ts';
import { epochOrder, sliceOfShare, stepsPerEpoch, workerSlice } from '../data/order.ts';
import { type BatchRequest, prefetch, withDeadline } from '../data/prefetch.ts';

/** Batches that are decoded ahead of the engine. */
const DEPTH = 2;

export interface BatchesOptions {
  readonly train: Dataset;
  readonly shuffle: boolean;
  readonly seed: number;
  readonly rank: number;
  /** Of one batch. */
  readonly batchSize: number;
}

export class Batches {
  readonly #options: BatchesOptions;
  /** Leased batches that are being read. */
  readonly #prepared = new Map<number, Promise<Batch>>();
  #pass = -1;
  #order = new Uint32Array(0);

  constructor(options: BatchesOptions) {
    this.#options = options;
  }

  /** This rank's samples of every step from `first` on, a batch for each. */
  from(first: number, workers: number): AsyncIterator<Batch> {
    const { batchSize, rank } = this.#options;
    const slices = (step: number): BatchRequest => {
      const { order, at, pass } = this.#place(step, batchSize * workers);
      return { indices: workerSlice(order, at, batchSize, rank, workers), epoch: pass };
    };
    function* requests() {
      for (let step = first; ; step++) yield slices(step);
    }
    return this.#read(requests());
  }

  /** A batch that is leased to this rank is read from now on, until it is taken. */
  prepare(batch: number, workers: number): void {
    if (this.#prepared.has(batch)) return;
    const { batchSize, train } = this.#options;
    const { order, at, pass } = this.#place(Math.floor(batch / workers), batchSize * workers);
    const reading = train.read(workerSlice(order, at, batchSize, batch % workers, workers), pass);
    reading.catch(() => {}); // reported where it is taken
    this.#prepared.set(batch, reading);
  }

  take(batch: number, workers: number): Promise<Batch> {
    this.prepare(batch, workers);
    const reading = this.#prepared.get(batch)!;
    this.#prepared.delete(batch);
    return withDeadline(reading);
  }

  /** The batches of this rank's share of a round, by the shares of all. The last one may be smaller; a share may be empty. */
  ofRound(round: number, shares: readonly number[]): { count: number; batches: AsyncIterator<Batch> } {
    const { batchSize, rank } = this.#options;
    const samples = batchSize * shares.reduce((sum, share) => sum + share, 0);
    const { order, at, pass } = this.#place(round, samples);
    const indices = sliceOfShare(order, at, samples, rank, shares);
    const count = Math.ceil(indices.length / batchSize);
    function* requests() {
      for (let batch = 0; batch < count; batch++)
        yield { indices: indices.subarray(batch * batchSize, (batch + 1) * batchSize), epoch: pass };
    }
    return { count, batches: this.#read(requests()) };
  }

  /** The order of the pass over the data in which a step of so many samples lies, and which step of it that is. */
  #place(step: number, samples: number): { order: Uint32Array; at: number; pass: number } {
    const { train, seed, shuffle } = this.#options;
    const perPass = stepsPerEpoch(train.length, samples, 1);
    const pass = Math.floor(step / perPass);
    if (pass !== this.#pass)
      this.#order = epochOrder(train.length, seed, pass, shuffle) as Uint32Array<ArrayBuffer>;
    this.#pass = pass;
    return { order: this.#order, at: step % perPass, pass };
  }

  #read(requests: Iterable<BatchRequest>): AsyncIterator<Batch> {
    return prefetch(this.#options.train, requests, DEPTH)[Symbol.asyncIterator]();
  }
}
