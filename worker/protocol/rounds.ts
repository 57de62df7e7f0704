// Bulk-synchronous order: version s + 1 of a chunk is made of version s and the contributions of all workers to step s, summed in the
// order of their ranks, whatever comes first. With backup workers, of those that the coordinator names.
import type { Chunk } from './chunks.ts';
import { type Contribution, type ExchangeEffect, type Order, refuse } from './exchange-messages.ts';

interface ChunkState {
  readonly chunk: Chunk;
  /** Updates applied. Invariant: all clocks of a job lie within one of each other, so two versions are enough. */
  clock: number;
  /** Weight of each rank's contribution to step `clock`, or undefined while it is missing. */
  readonly weights: (number | undefined)[];
  /** So many of the ranks of the step are in the sum. */
  summed: number;
  learningRate: number;
}

export interface RoundsOptions {
  readonly workers: number;
  readonly chunks: readonly Chunk[];
  /** The update of trainable chunks waits for the norm of the whole gradient. */
  readonly clipByNorm: boolean;
  /** Steps are made of those that the coordinator names. */
  readonly byQuorum: boolean;
}

export class Rounds implements Order {
  readonly #options: RoundsOptions;
  readonly #first: number;
  readonly #everybody: readonly number[];
  readonly #pulling = new Set<number>();
  readonly #chunks: readonly ChunkState[];
  /** Step whose norm was reported and not yet answered. */
  #normStep: number | undefined;
  /** Of which ranks the step is made. */
  #quorum: { readonly step: number; readonly ranks: readonly number[] } | undefined;
  /** Chunks that still stand at `completed` while others are one ahead; 0: all stand there. */
  #behind = 0;
  /** The oldest step of any chunk. */
  #completed: number;
  /** Versions below this one were never here. */
  readonly #loadedStep: number;

  constructor(options: RoundsOptions, step: number) {
    const { workers, chunks } = options;
    this.#options = options;
    this.#first = chunks[0]?.index ?? 0;
    this.#everybody = Array.from({ length: workers }, (_, rank) => rank);
    this.#chunks = chunks.map((chunk) => ({
      chunk,
      clock: step,
      weights: new Array<number | undefined>(workers),
      summed: 0,
      learningRate: 0,
    }));
    this.#completed = step;
    this.#loadedStep = step;
  }

  get clock(): number {
    return this.#completed;
  }

  get version(): number {
    return this.#completed;
  }

  isComplete(step: number): boolean {
    return this.#behind === 0 && this.#completed === step;
  }

  push(rank: number, { step, weight, learningRate }: Contribution, chunk: Chunk): ExchangeEffect[] {
    // A worker that has not seen every chunk at `step` cannot have computed it.
    if (step > this.#completed)
      return [
        refuse(
          'STEP_AHEAD',
          `push of chunk ${chunk.index}: expected step ${this.#completed} at most, got ${step}`,
        ),
      ];
    const state = this.#chunks[chunk.index - this.#first]!;
    // Late or repeated: it is in the sum already, or the step was made without it.
    if (step < state.clock || state.weights[rank] !== undefined) return [];
    state.weights[rank] = weight;
    // The same from every rank.
    if (rank === 0 || this.#options.byQuorum) state.learningRate = learningRate;
    return [{ kind: 'hold', chunk: chunk.index, rank }, ...this.#accumulate(state)];
  }

  quorum(step: number, ranks: readonly number[]): ExchangeEffect[] {
    if (step !== this.#completed || this.#quorum?.step === step) return [];
    this.#quorum = { step, ranks };
    return this.#chunks.flatMap((state) => this.#accumulate(state));
  }

  /** The ranks of a chunk's present step, where they are known. */
  #ranksOf({ clock }: ChunkState): readonly number[] | undefined {
    if (!this.#options.byQuorum) return this.#everybody;
    return this.#quorum?.step === clock ? this.#quorum.ranks : undefined;
  }

  /** Adds whatever has come, but only in rank order: the sum's bits must not depend on arrival. */
  #accumulate(state: ChunkState): ExchangeEffect[] {
    const ranks = this.#ranksOf(state);
    if (!ranks || state.summed === ranks.length) return [];
    const effects: ExchangeEffect[] = [];
    for (; state.summed < ranks.length; state.summed++) {
      const rank = ranks[state.summed]!;
      const weight = state.weights[rank];
      if (weight === undefined) return effects;
      effects.push({
        kind: 'accumulate',
        chunk: state.chunk.index,
        rank,
        weight,
        first: state.summed === 0,
      });
    }
    if (this.#options.clipByNorm && !state.chunk.state) effects.push(...this.#maybeReportNorm(state));
    else effects.push(...this.#update(state, 1));
    return effects;
  }

  #maybeReportNorm(summed: ChunkState): ExchangeEffect[] {
    const { clock } = summed;
    const waiting = this.#chunks.some((state) => !state.chunk.state && !this.#isSummed(state, clock));
    if (waiting) return [];
    this.#normStep = clock;
    return [{ kind: 'reportNorm', step: clock, scale: this.#scaleOf(summed) }];
  }

  #isSummed(state: ChunkState, step: number): boolean {
    return state.clock === step && state.summed === this.#ranksOf(state)?.length;
  }

  norm(step: number, factor: number): ExchangeEffect[] {
    if (this.#normStep !== step) return [];
    this.#normStep = undefined;
    return this.#chunks.filter(({ chunk }) => !chunk.state).flatMap((state) => this.#update(state, factor));
  }

  #update(state: ChunkState, factor: number): ExchangeEffect[] {
    const { index } = state.chunk;
    const scale = this.#scaleOf(state) * factor;
    const step = state.clock++;
    state.weights.fill(undefined);
    state.summed = 0;
    const { learningRate } = state;
    const effects: ExchangeEffect[] = [
      { kind: 'update', chunk: index, version: step, iteration: step + 1, scale, learningRate, share: 1 },
    ];
    if (this.#pulling.size > 0) {
      const ranks = [...this.#pulling].sort((a, b) => a - b);
      effects.push({ kind: 'send', ranks, chunk: index, version: step + 1, step: step + 1 });
    }
    return [...effects, ...this.#maybeComplete()];
  }

  /** 1 / sum of weights, in rank order; a step without any sample leaves the sum (zero) as it is. */
  #scaleOf(state: ChunkState): number {
    let total = 0;
    for (const rank of this.#ranksOf(state) ?? []) total += state.weights[rank] ?? 0;
    return total > 0 ? 1 / total : 0;
  }

  /** Counts the chunks that are still at the shard's oldest step; when none is, the shard has moved on. */
  #maybeComplete(): ExchangeEffect[] {
    this.#behind = this.#behind === 0 ? this.#chunks.length - 1 : this.#behind - 1;
    if (this.#behind > 0) return [];
    this.#completed++;
    return [{ kind: 'complete', step: this.#completed }];
  }

  pull(rank: number, step: number): ExchangeEffect[] {
    const gone = this.#chunks.find(
      ({ clock }) => step !== clock && (step !== clock - 1 || step < this.#loadedStep),
    );
    if (gone && !this.#options.byQuorum)
      return [
        refuse(
          'STEP_GONE',
          `pull of chunk ${gone.chunk.index}: it stands at step ${gone.clock}, asked for ${step}`,
        ),
      ];
    this.listen(rank);
    return gone ? this.refresh(rank) : this.#sendFrom(rank, step);
  }

  listen(rank: number): void {
    this.#pulling.add(rank);
  }

  isListening(rank: number): boolean {
    return this.#pulling.has(rank);
  }

  /** Where a step does without the slowest, they go on from wherever the others are. */
  refresh(rank: number): ExchangeEffect[] {
    return this.#sendFrom(rank, this.#completed);
  }

  #sendFrom(rank: number, step: number): ExchangeEffect[] {
    const send = ({ chunk }: ChunkState, version: number): ExchangeEffect => ({
      kind: 'send',
      ranks: [rank],
      chunk: chunk.index,
      version,
      step: version,
    });
    return [
      ...this.#chunks.map((state) => send(state, step)),
      ...this.#chunks.filter(({ clock }) => clock > step).map((state) => send(state, step + 1)),
    ];
  }

  forget(rank: number): void {
    this.#pulling.delete(rank);
  }
}
