// The exchange of one parameter server: who may speak, what is initial, and what becomes of contributions in the order that the job's
// consistency asks for. Knows no sockets, no clock and no gradient: arithmetic is an effect.
import type { Consistency } from '../../crds/leptonjob.ts';
import type { Chunk } from './chunks.ts';
import {
  type ExchangeEffect,
  type ExchangeMessage,
  type Order,
  refuse,
  type Speaker,
} from './exchange-messages.ts';
import { Rounds } from './rounds.ts';
import { Stream } from './stream.ts';

export interface ExchangeOptions {
  readonly workers: number;
  readonly chunks: readonly Chunk[];
  /** The update of trainable chunks waits for the norm of the whole gradient. */
  readonly clipByNorm: boolean;
  readonly consistency: Consistency;
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
  #missing = new Set<number>();
  /** Rank -> step of a refresh that waits for the rank to listen. */
  #asked = new Map<number, number>();
  #order: Order;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#first = options.chunks[0]?.index ?? 0;
    this.#order = orderOf(options, 0);
  }

  /** The oldest step that this shard still works on. */
  get clock(): number {
    return this.#order.clock;
  }

  /** Of every chunk, where `isComplete`. */
  get version(): number {
    return this.#order.version;
  }

  /** True when every chunk stands at `step`. */
  isComplete(step: number): boolean {
    if (this.#options.chunks.length === 0) return true;
    return this.#phase === 'ready' && this.#order.isComplete(step);
  }

  step(message: ExchangeMessage): ExchangeEffect[] {
    switch (message.kind) {
      case 'load':
        this.#become('ready', message.epoch, message.step);
        return [{ kind: 'complete', step: message.step }];
      case 'clear':
        this.#become('empty', message.epoch, 0);
        return this.#maybeInitialized();
      case 'norm':
        return this.#order.norm(message.step, message.factor);
      case 'quorum':
        return this.#order.quorum(message.step, message.ranks);
      default:
        return this.#refusal(message) ?? this.#stepSpeaker(message);
    }
  }

  #stepSpeaker(
    message: Extract<ExchangeMessage, { kind: 'initialize' | 'attend' | 'push' | 'pull' | 'refresh' }>,
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
      case 'refresh':
        return this.#refresh(message);
    }
  }

  #become(phase: Phase, epoch: number, step: number): void {
    const { workers, chunks } = this.#options;
    this.#phase = phase;
    this.#baseEpoch = epoch;
    this.#sessions = new Array<number>(workers).fill(0);
    this.#missing = new Set(phase === 'empty' ? chunks.map(({ index }) => index) : []);
    this.#asked = new Map();
    this.#order = orderOf(this.#options, step);
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
    if (!this.#chunk(index)) return [this.#foreign(index)];
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
      this.#order.forget(rank);
      this.#asked.delete(rank);
      effects.push({ kind: 'supersede', rank });
    }
    effects.push({ kind: 'attended', step: this.clock });
    return effects;
  }

  #push(push: Extract<ExchangeMessage, { kind: 'push' }>): ExchangeEffect[] {
    const chunk = this.#chunk(push.chunk);
    if (!chunk) return [this.#foreign(push.chunk)];
    if (!(push.weight >= 0) || !Number.isFinite(push.weight) || !Number.isFinite(push.learningRate))
      return [
        refuse(
          'BAD_MESSAGE',
          `push: expected finite weight and learning rate, got ${push.weight} and ${push.learningRate}`,
        ),
      ];
    return this.#order.push(push.rank, push, chunk);
  }

  #pull({ rank, epoch, step, onRequest }: Extract<ExchangeMessage, { kind: 'pull' }>): ExchangeEffect[] {
    if (epoch !== this.#sessions[rank])
      return [
        refuse('OLD_EPOCH', `pull of rank ${rank}: expected epoch ${this.#sessions[rank]}, got ${epoch}`),
      ];
    if (!onRequest) return this.#order.pull(rank, step);
    this.#order.listen(rank);
    const asked = this.#asked.get(rank);
    return asked === undefined ? [] : this.#refresh({ rank, step: asked });
  }

  /** It comes on another connection than the pull, so maybe before it. */
  #refresh({ rank, step }: { readonly rank: number; readonly step: number }): ExchangeEffect[] {
    const listens = this.#order.isListening(rank);
    if (listens) this.#asked.delete(rank);
    else this.#asked.set(rank, step);
    return listens ? this.#order.refresh(rank, step) : [];
  }

  #chunk(index: number): Chunk | undefined {
    return this.#options.chunks[index - this.#first];
  }

  #foreign(index: number): ExchangeEffect {
    const { chunks } = this.#options;
    const own = chunks.length === 0 ? 'none' : `${this.#first} to ${this.#first + chunks.length - 1}`;
    return refuse('BAD_MESSAGE', `chunk ${index}: this server owns ${own}`);
  }
}

function orderOf(options: ExchangeOptions, step: number): Order {
  const { consistency } = options;
  switch (consistency.mode) {
    case 'bulkSynchronous':
      return new Rounds({ ...options, byQuorum: consistency.backupWorkers > 0 }, step);
    case 'localSteps':
      return new Rounds({ ...options, byQuorum: false }, step);
    case 'staleSynchronous':
      return new Stream({ ...options, bound: consistency.bound, stalenessAware: false }, step);
    case 'asynchronous':
      return new Stream(
        { ...options, bound: Number.POSITIVE_INFINITY, stalenessAware: consistency.stalenessAware },
        step,
      );
  }
}
