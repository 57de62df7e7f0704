// Stale-synchronous and asynchronous order: batches are leased to workers one by one, and a contribution becomes a new version of its
// chunk as it comes. Stale Synchronous Parallel (Ho et al. 2013); learning rates by staleness as in Zhang et al. 2016.
import type { Chunk } from './chunks.ts';
import { type Contribution, type ExchangeEffect, type Order, refuse } from './exchange-messages.ts';

interface ChunkState {
  readonly chunk: Chunk;
  /** Contributions applied since the beginning are `version - start`. */
  version: number;
  /** Every batch below it is applied. */
  next: number;
  /** Batches beyond `next` that are applied. */
  readonly beyond: Set<number>;
  /** Rank -> the version that was sent to it last. */
  readonly read: number[];
}

export interface StreamOptions {
  readonly workers: number;
  readonly chunks: readonly Chunk[];
  /** Steps by which a contribution may be ahead of the oldest one that is missing. */
  readonly bound: number;
  /** Learning rates are divided by the staleness plus one, otherwise by the number of workers. */
  readonly stalenessAware: boolean;
}

export class Stream implements Order {
  readonly #options: StreamOptions;
  readonly #first: number;
  readonly #start: number;
  readonly #chunks: readonly ChunkState[];
  readonly #pulling = new Set<number>();
  /** Contributions applied, over all chunks. */
  #applied = 0;

  constructor(options: StreamOptions, step: number) {
    const { workers, chunks } = options;
    this.#options = options;
    this.#first = chunks[0]?.index ?? 0;
    this.#start = step;
    this.#chunks = chunks.map((chunk) => ({
      chunk,
      version: step,
      next: step * workers,
      beyond: new Set(),
      read: new Array<number>(workers).fill(step),
    }));
  }

  get clock(): number {
    const next = Math.min(...this.#chunks.map((state) => state.next));
    return this.#chunks.length === 0 ? this.#start : Math.floor(next / this.#options.workers);
  }

  get version(): number {
    return this.#chunks[0]?.version ?? this.#start;
  }

  isComplete(step: number): boolean {
    const next = step * this.#options.workers;
    return this.#chunks.every((state) => state.next === next && state.beyond.size === 0);
  }

  push(rank: number, contribution: Contribution, { index }: Chunk): ExchangeEffect[] {
    const { workers, bound } = this.#options;
    const { step: batch } = contribution;
    const state = this.#chunks[index - this.#first]!;
    const [step, oldest] = [Math.floor(batch / workers), Math.floor(state.next / workers)];
    if (step - oldest > bound)
      return [
        refuse(
          'STEP_AHEAD',
          `push of chunk ${index}: expected step ${oldest + bound} at most, got batch ${batch} of step ${step}`,
        ),
      ];
    // A batch counts once, whoever computes it; who did it again goes on with what there is.
    if (batch < state.next || state.beyond.has(batch)) return this.#answer(state, rank, batch);
    return [
      { kind: 'hold', chunk: index, rank },
      { kind: 'accumulate', chunk: index, rank, weight: contribution.weight, first: true },
      this.#update(state, rank, contribution),
      ...this.#answer(state, rank, batch),
      ...this.#maybeComplete(state),
    ];
  }

  #update(state: ChunkState, rank: number, { step: batch, weight, learningRate }: Contribution) {
    const { workers, stalenessAware } = this.#options;
    const version = state.version++;
    const staleness = version - state.read[rank]!;
    const iteration = this.#start * workers + state.version - this.#start;
    state.beyond.add(batch);
    while (state.beyond.delete(state.next)) state.next++;
    this.#applied++;
    return {
      kind: 'update',
      chunk: state.chunk.index,
      version,
      iteration,
      scale: weight > 0 ? 1 / weight : 0,
      learningRate: learningRate / (stalenessAware ? staleness + 1 : workers),
      share: 1 / workers,
    } as const;
  }

  /** The chunk as it is now, where the rank listens. */
  #answer(state: ChunkState, rank: number, step: number): ExchangeEffect[] {
    const { chunk, version } = state;
    if (!this.#pulling.has(rank)) return [];
    state.read[rank] = version;
    return [{ kind: 'send', ranks: [rank], chunk: chunk.index, version, step }];
  }

  /** A shard can stand at a step only where the contributions to all chunks are so many; whether it does is then looked at. */
  #maybeComplete({ next }: ChunkState): ExchangeEffect[] {
    const { workers, chunks } = this.#options;
    const step = Math.floor(next / workers);
    if (this.#applied !== chunks.length * (step - this.#start) * workers || !this.isComplete(step)) return [];
    return [{ kind: 'complete', step }];
  }

  pull(rank: number, step: number): ExchangeEffect[] {
    this.listen(rank);
    return this.refresh(rank, step);
  }

  listen(rank: number): void {
    this.#pulling.add(rank);
  }

  isListening(rank: number): boolean {
    return this.#pulling.has(rank);
  }

  refresh(rank: number, step: number): ExchangeEffect[] {
    return this.#chunks.flatMap((state) => this.#answer(state, rank, step));
  }

  forget(rank: number): void {
    this.#pulling.delete(rank);
  }

  norm(): ExchangeEffect[] {
    return [];
  }

  quorum(): ExchangeEffect[] {
    return [];
  }
}
