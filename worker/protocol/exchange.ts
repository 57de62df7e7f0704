// The bulk-synchronous exchange of one parameter server: which contributions count, in which order they are summed,
// which version of a chunk is sent to whom. Knows no sockets, no clock and no gradient: arithmetic is an effect.
import type { Chunk } from './chunks.ts';
import type { RuntimeErrorCode } from './errors.ts';

export interface ExchangeOptions {
  readonly workers: number;
  readonly chunks: readonly Chunk[];
  /** The update of trainable chunks waits for the norm of the whole gradient. */
  readonly clipByNorm: boolean;
}

/** Who speaks: a rank under the epoch that its session was given. Epochs only grow; the newest one seen is the rank's session. */
interface Speaker {
  readonly rank: number;
  readonly epoch: number;
}

export type ExchangeMessage =
  /** Parameters of `step` are in place (from a checkpoint). Sessions below `epoch` end. */
  | { readonly kind: 'load'; readonly epoch: number; readonly step: number }
  /** No parameters anywhere: rank 0 will bring the initial values. */
  | { readonly kind: 'clear'; readonly epoch: number }
  | ({ readonly kind: 'initialize'; readonly chunk: number } & Speaker)
  | ({ readonly kind: 'attend' } & Speaker)
  | ({
      readonly kind: 'push';
      readonly step: number;
      readonly chunk: number;
      /** Samples / batch size; 0 carries no data. */
      readonly weight: number;
      readonly learningRate: number;
    } & Speaker)
  /** Send every chunk at `step`, then every update as it happens. */
  | ({ readonly kind: 'pull'; readonly step: number } & Speaker)
  /** `factor` scales the gradient of `step` so that its norm keeps the limit. */
  | { readonly kind: 'norm'; readonly step: number; readonly factor: number };

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
  /** Make version step + 1 of the chunk from version `step` and the sum times `scale`. */
  | {
      readonly kind: 'update';
      readonly chunk: number;
      readonly step: number;
      readonly scale: number;
      readonly learningRate: number;
    }
  /** All trainable chunks are summed: tell the coordinator their sums of squares. */
  | { readonly kind: 'reportNorm'; readonly step: number; readonly scale: number }
  | {
      readonly kind: 'send';
      readonly ranks: readonly number[];
      readonly chunk: number;
      readonly step: number;
    }
  /** Every chunk of the shard stands at `step`: the moment for a consistent cut. */
  | { readonly kind: 'complete'; readonly step: number };

interface ChunkState {
  readonly chunk: Chunk;
  /** Updates applied. Invariant: all clocks of a job lie within one of each other, so two versions are enough. */
  clock: number;
  /** Weight of each rank's contribution to step `clock`, or undefined while it is missing. */
  readonly weights: (number | undefined)[];
  /** Ranks below this one are in the sum. */
  summed: number;
  learningRate: number;
}

type Phase = 'unloaded' | 'empty' | 'ready';

/**
 * `step(message)` answers with effects, to be carried out in order before the next message.
 * Same messages, same effects; any message may come twice or late.
 */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #first: number;
  #phase: Phase = 'unloaded';
  #baseEpoch = 0;
  #sessions: number[] = [];
  #pulling = new Set<number>();
  #chunks: ChunkState[] = [];
  #missing = new Set<number>();
  /** Step whose norm was reported and not yet answered. */
  #normStep: number | undefined;
  /** Chunks that still stand at `completed` while others are one ahead; 0: all stand there. */
  #behind = 0;
  /** The oldest step of any chunk. */
  #completed = 0;
  /** Versions below this one were never here. */
  #loadedStep = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#first = options.chunks[0]?.index ?? 0;
  }

  /** The oldest step that this shard still works on. */
  get clock(): number {
    return this.#completed;
  }

  /** True when every chunk stands at `step`. */
  isComplete(step: number): boolean {
    if (this.#options.chunks.length === 0) return true;
    return this.#phase === 'ready' && this.#behind === 0 && this.#completed === step;
  }

  step(message: ExchangeMessage): ExchangeEffect[] {
    switch (message.kind) {
      case 'load':
        this.#become('ready', message.epoch, message.step);
        return [{ kind: 'complete', step: message.step }];
      case 'clear':
        return this.#clear(message.epoch);
      case 'norm':
        return this.#applyNorm(message.step, message.factor);
      default:
        return this.#refusal(message) ?? this.#stepSpeaker(message);
    }
  }

  #stepSpeaker(
    message: Extract<ExchangeMessage, { kind: 'initialize' | 'attend' | 'push' | 'pull' }>,
  ): ExchangeEffect[] {
    switch (message.kind) {
      case 'initialize':
        return this.#initialize(message.chunk);
      case 'attend':
        return this.#attend(message);
      case 'push':
        return this.#push(message);
      case 'pull':
        return this.#pull(message);
    }
  }

  #become(phase: Phase, epoch: number, step: number): void {
    const { workers, chunks } = this.#options;
    this.#phase = phase;
    this.#baseEpoch = epoch;
    this.#sessions = new Array<number>(workers).fill(0);
    this.#pulling = new Set();
    this.#chunks = chunks.map((chunk) => ({
      chunk,
      clock: step,
      weights: new Array<number | undefined>(workers),
      summed: 0,
      learningRate: 0,
    }));
    this.#missing = new Set(phase === 'empty' ? chunks.map(({ index }) => index) : []);
    this.#normStep = undefined;
    this.#behind = 0;
    this.#completed = step;
    this.#loadedStep = step;
  }

  #clear(epoch: number): ExchangeEffect[] {
    this.#become('empty', epoch, 0);
    return this.#maybeInitialized();
  }

  /** A session of an older epoch is refused whatever it says; so is a rank that does not exist. */
  #refusal({ kind, rank, epoch }: Speaker & { kind: string }): ExchangeEffect[] | undefined {
    const { workers } = this.#options;
    if (this.#phase === 'unloaded')
      return [refuse('NOT_READY', `${kind}: this server has no parameters yet`)];
    // A rank that the job does without by now may still speak under its old epoch.
    if (epoch >= this.#baseEpoch && !(Number.isInteger(rank) && rank >= 0 && rank < workers))
      return [refuse('BAD_MESSAGE', `${kind}: expected a rank below ${workers}, got ${rank}`)];
    const session = Math.max(this.#baseEpoch, this.#sessions[rank] ?? 0);
    if (epoch < session)
      return [
        refuse('OLD_EPOCH', `${kind} of rank ${rank}: expected epoch ${session} or newer, got ${epoch}`),
      ];
    if (this.#phase === 'empty' && kind !== 'initialize')
      return [refuse('NOT_READY', `${kind}: the initial parameters are not complete`)];
    return undefined;
  }

  #initialize(index: number): ExchangeEffect[] {
    if (!this.#stateOf(index)) return [this.#foreign(index)];
    // Late repetitions must not overwrite parameters that training has moved.
    if (this.#phase === 'ready' || !this.#missing.delete(index)) return [];
    return [{ kind: 'write', chunk: index }, ...this.#maybeInitialized()];
  }

  #maybeInitialized(): ExchangeEffect[] {
    if (this.#missing.size > 0) return [];
    this.#phase = 'ready';
    return [
      { kind: 'initialized', epoch: this.#baseEpoch },
      { kind: 'complete', step: 0 },
    ];
  }

  #attend({ rank, epoch }: Speaker): ExchangeEffect[] {
    const effects: ExchangeEffect[] = [];
    if (epoch > this.#sessions[rank]!) {
      // What the older session contributed stays: a contribution is a function of (seed, step, rank), so its bits are the same.
      this.#sessions[rank] = epoch;
      this.#pulling.delete(rank);
      effects.push({ kind: 'supersede', rank });
    }
    effects.push({ kind: 'attended', step: this.#completed });
    return effects;
  }

  #push(push: Extract<ExchangeMessage, { kind: 'push' }>): ExchangeEffect[] {
    const state = this.#stateOf(push.chunk);
    if (!state) return [this.#foreign(push.chunk)];
    if (!(push.weight >= 0) || !Number.isFinite(push.weight) || !Number.isFinite(push.learningRate))
      return [
        refuse(
          'BAD_MESSAGE',
          `push: expected finite weight and learning rate, got ${push.weight} and ${push.learningRate}`,
        ),
      ];
    // A worker that has not seen every chunk at `step` cannot have computed it.
    if (push.step > this.#completed)
      return [
        refuse(
          'STEP_AHEAD',
          `push of chunk ${push.chunk}: expected step ${this.#completed} at most, got ${push.step}`,
        ),
      ];
    // Late or repeated: it is in the sum already.
    if (push.step < state.clock || state.weights[push.rank] !== undefined) return [];
    state.weights[push.rank] = push.weight;
    if (push.rank === 0) state.learningRate = push.learningRate;
    return [{ kind: 'hold', chunk: push.chunk, rank: push.rank }, ...this.#accumulate(state)];
  }

  /** Adds whatever has come, but only in rank order: the sum's bits must not depend on arrival. */
  #accumulate(state: ChunkState): ExchangeEffect[] {
    const effects: ExchangeEffect[] = [];
    const { workers } = this.#options;
    while (state.summed < workers && state.weights[state.summed] !== undefined) {
      const rank = state.summed++;
      effects.push({
        kind: 'accumulate',
        chunk: state.chunk.index,
        rank,
        weight: state.weights[rank]!,
        first: rank === 0,
      });
    }
    if (state.summed < workers) return effects;
    if (this.#options.clipByNorm && !state.chunk.state) effects.push(...this.#maybeReportNorm(state));
    else effects.push(...this.#update(state, 1));
    return effects;
  }

  #maybeReportNorm({ clock, weights }: ChunkState): ExchangeEffect[] {
    const { workers } = this.#options;
    const waiting = this.#chunks.some(
      ({ chunk, summed, clock: at }) => !chunk.state && (summed < workers || at !== clock),
    );
    if (waiting) return [];
    this.#normStep = clock;
    return [{ kind: 'reportNorm', step: clock, scale: scaleOf(weights) }];
  }

  #applyNorm(step: number, factor: number): ExchangeEffect[] {
    if (this.#normStep !== step) return [];
    this.#normStep = undefined;
    return this.#chunks.filter(({ chunk }) => !chunk.state).flatMap((state) => this.#update(state, factor));
  }

  #update(state: ChunkState, factor: number): ExchangeEffect[] {
    const { index } = state.chunk;
    const step = state.clock++;
    const scale = scaleOf(state.weights) * factor;
    state.weights.fill(undefined);
    state.summed = 0;
    const effects: ExchangeEffect[] = [
      { kind: 'update', chunk: index, step, scale, learningRate: state.learningRate },
    ];
    if (this.#pulling.size > 0)
      effects.push({
        kind: 'send',
        ranks: [...this.#pulling].sort((a, b) => a - b),
        chunk: index,
        step: step + 1,
      });
    return [...effects, ...this.#maybeComplete()];
  }

  /** Counts the chunks that are still at the shard's oldest step; when none is, the shard has moved on. */
  #maybeComplete(): ExchangeEffect[] {
    this.#behind = this.#behind === 0 ? this.#chunks.length - 1 : this.#behind - 1;
    if (this.#behind > 0) return [];
    this.#completed++;
    return [{ kind: 'complete', step: this.#completed }];
  }

  #pull({ rank, epoch, step }: Extract<ExchangeMessage, { kind: 'pull' }>): ExchangeEffect[] {
    if (epoch !== this.#sessions[rank])
      return [
        refuse('OLD_EPOCH', `pull of rank ${rank}: expected epoch ${this.#sessions[rank]}, got ${epoch}`),
      ];
    const gone = this.#chunks.find(
      ({ clock }) => step !== clock && (step !== clock - 1 || step < this.#loadedStep),
    );
    if (gone)
      return [
        refuse(
          'STEP_GONE',
          `pull of chunk ${gone.chunk.index}: it stands at step ${gone.clock}, asked for ${step}`,
        ),
      ];
    this.#pulling.add(rank);
    const send = (index: number, version: number): ExchangeEffect => ({
      kind: 'send',
      ranks: [rank],
      chunk: index,
      step: version,
    });
    return [
      ...this.#chunks.map(({ chunk }) => send(chunk.index, step)),
      ...this.#chunks.filter(({ clock }) => clock > step).map(({ chunk }) => send(chunk.index, step + 1)),
    ];
  }

  #stateOf(index: number): ChunkState | undefined {
    return this.#chunks[index - this.#first];
  }

  #foreign(index: number): ExchangeEffect {
    const { chunks } = this.#options;
    const own = chunks.length === 0 ? 'none' : `${this.#first} to ${this.#first + chunks.length - 1}`;
    return refuse('BAD_MESSAGE', `chunk ${index}: this server owns ${own}`);
  }
}

/** 1 / sum of weights, in rank order; a step without any sample leaves the sum (zero) as it is. */
function scaleOf(weights: readonly (number | undefined)[]): number {
  let total = 0;
  for (const weight of weights) total += weight ?? 0;
  return total > 0 ? 1 / total : 0;
}

function refuse(code: RuntimeErrorCode, message: string): ExchangeEffect {
  return { kind: 'refuse', code, message };
}
