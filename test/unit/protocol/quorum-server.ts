// A server of the world where steps do without the slowest workers: the real Exchange, and of its arrays which step lies where. Holds
// every version to what it has to be made of.
import assert from 'node:assert/strict';
import { consistencyOf } from '../../../crds/leptonjob.ts';
import { Exchange } from '../../../worker/protocol/exchange.ts';
import type { ExchangeEffect, ExchangeMessage } from '../../../worker/protocol/exchange-messages.ts';
import type { Gradient } from './quorum-worker.ts';

/** The ranks that a step is made of. */
export interface Quorum {
  readonly step: number;
  readonly ranks: readonly number[];
}

/** What the coordinator tells all servers. */
export type Decision = Extract<ExchangeMessage, { kind: 'quorum' | 'norm' }>;

export interface ServerOptions {
  readonly workers: number;
  readonly clips: boolean;
  readonly chunks: readonly number[];
  readonly epoch: number;
  /** Where it begins. */
  readonly step: number;
  /** What the coordinator has decided. */
  readonly quorumOf: (step: number) => Quorum | undefined;
  readonly send: (rank: number, chunk: number, step: number) => void;
  /** The gradient of the step is summed: its norm is wanted. */
  readonly reportNorm: (step: number) => void;
}

interface ChunkState {
  clock: number;
  /** Step s lies in place s mod 2. */
  readonly places: [number | undefined, number | undefined];
  readonly held: Map<number, Gradient>;
  sum: number[];
}

export class Server {
  readonly #options: ServerOptions;
  readonly #exchange: Exchange;
  readonly #chunks = new Map<number, ChunkState>();
  /** By rank: the newest epoch that has attended, and that whose pull is open. */
  readonly #sessions: number[];
  readonly #pulls: number[];
  /** Decisions that are under way. */
  readonly #commands: Decision[] = [];

  constructor(options: ServerOptions) {
    const { workers, clips, chunks, epoch, step } = options;
    this.#options = options;
    const consistency = consistencyOf({ mode: 'bulkSynchronous', bulkSynchronous: { backupWorkers: 1 } });
    const ranges = chunks.map((index) => ({ index, from: index, to: index + 1, state: false }));
    this.#exchange = new Exchange({ workers, chunks: ranges, clipByNorm: clips, consistency });
    this.#exchange.step({ kind: 'load', epoch, step });
    for (const chunk of chunks) {
      const places: ChunkState['places'] = [undefined, undefined];
      places[step % 2] = step;
      this.#chunks.set(chunk, { clock: step, places, held: new Map(), sum: [] });
    }
    this.#sessions = new Array<number>(workers).fill(epoch);
    this.#pulls = new Array<number>(workers).fill(0);
  }

  /** The oldest step of a chunk. */
  get clock(): number {
    return Math.min(...[...this.#chunks.values()].map(({ clock }) => clock));
  }

  get isAwaited(): boolean {
    return this.#commands.length > 0;
  }

  isComplete(step: number): boolean {
    return this.#exchange.isComplete(step);
  }

  /** The session's pull is open. */
  sendsTo(rank: number, epoch: number): boolean {
    return this.#pulls[rank] === epoch;
  }

  /** What lies where version `step` of a chunk is to lie. */
  at(chunk: number, step: number): number | undefined {
    return this.#chunks.get(chunk)!.places[step % 2];
  }

  attend(rank: number, epoch: number): number {
    const attended = this.#exchange.step({ kind: 'attend', rank, epoch }).at(-1)!;
    assert.ok(attended.kind === 'attended', `attend was answered with ${attended.kind}`);
    this.#sessions[rank] = epoch;
    return attended.step;
  }

  /** Sessions that have ended are refused, and no others. */
  hear(message: Extract<ExchangeMessage, { kind: 'push' | 'pull' | 'refresh' }>, gradient?: Gradient): void {
    const effects = this.#exchange.step(message);
    const [refusal] = effects;
    const isRefused = effects.length === 1 && refusal?.kind === 'refuse' && refusal.code === 'OLD_EPOCH';
    const hasEnded = message.epoch < this.#sessions[message.rank]!;
    assert.equal(isRefused, hasEnded, hasEnded ? 'an ended session was heard' : 'a session was refused');
    if (hasEnded) return;
    if (message.kind === 'pull') this.#pulls[message.rank] = message.epoch;
    this.#carryOut(effects, gradient);
  }

  command(decision: Decision): void {
    this.#commands.push(decision);
  }

  decide(): void {
    this.#carryOut(this.#exchange.step(this.#commands.shift()!));
  }

  #carryOut(effects: readonly ExchangeEffect[], gradient?: Gradient): void {
    for (const effect of effects) {
      if (effect.kind === 'refuse') assert.fail(effect.message);
      if (effect.kind === 'hold') this.#hold(effect.chunk, effect.rank, gradient!);
      if (effect.kind === 'accumulate') this.#accumulate(effect.chunk, effect.rank, effect.first);
      if (effect.kind === 'update') this.#update(effect.chunk, effect.version);
      if (effect.kind === 'reportNorm') this.#options.reportNorm(effect.step);
      if (effect.kind === 'send')
        for (const rank of effect.ranks) this.#options.send(rank, effect.chunk, effect.step);
    }
  }

  #hold(index: number, rank: number, gradient: Gradient): void {
    const { clock, held } = this.#chunks.get(index)!;
    assert.equal(gradient.step, clock, 'a gradient of another step was taken');
    assert.ok(!held.has(rank), 'a gradient was taken twice');
    held.set(rank, gradient);
  }

  #accumulate(index: number, rank: number, first: boolean): void {
    const chunk = this.#chunks.get(index)!;
    const gradient = chunk.held.get(rank);
    assert.ok(gradient, 'a gradient was summed that never came');
    assert.ok(gradient.isSound, `a gradient of step ${gradient.step} is not what it was said to be`);
    if (first) chunk.sum = [];
    chunk.sum.push(rank);
  }

  #update(index: number, step: number): void {
    const chunk = this.#chunks.get(index)!;
    assert.equal(step, chunk.clock);
    assert.deepEqual(chunk.sum, this.#options.quorumOf(step)?.ranks, `step ${step} is not of its quorum`);
    chunk.clock++;
    chunk.places[chunk.clock % 2] = chunk.clock;
    chunk.held.clear();
    chunk.sum = [];
  }

  /** What can make a difference later, besides what there is of each rank. */
  key(): unknown {
    const chunks = [...this.#chunks.values()].map(({ clock, places }) => [clock, places]);
    return [chunks, this.#commands.map(({ kind, step }) => [kind, step])];
  }

  keyOf(rank: number): { readonly epochs: readonly number[]; readonly held: unknown } {
    const held = [...this.#chunks.values()].map((chunk) => chunk.held.get(rank));
    return { epochs: [this.#sessions[rank]!, this.#pulls[rank]!], held };
  }
}
