// The steps of a job: carries out what the ledger decides, from the begin of a step to the end of the last, and keeps whoever leaves
// until its work is safe. Knows nobody who takes part: that is membership's.
import { RuntimeError } from '../protocol/errors.ts';
import type { Begun, Directive, Ending } from '../protocol/gather.ts';
import type { Ledger, LedgerEffect, LedgerMessage, LedgerState } from '../protocol/ledger.ts';
import type { Log } from './log.ts';
import type { ProgressBoard } from './progress-board.ts';

export interface StepsOptions {
  readonly log: Log;
  readonly nowMs: () => number;
  readonly board: ProgressBoard;
  /** The present one. */
  readonly ledger: () => Ledger | undefined;
  readonly announce: (begun: Begun) => void;
  /** A step has ended, and the next is not announced yet. */
  readonly keep: (ledger: LedgerState) => void;
  readonly tell: (rank: number, begun: Begun) => void;
  /** The step is made of these ranks. */
  readonly quorum: (step: number, ranks: readonly number[]) => void;
  /** A worker listens. */
  readonly hears: (rank: number) => boolean;
  readonly cut: (step: number) => void;
  readonly boundary: (workers: number) => void;
  /** Writes the results. */
  readonly finish: () => Promise<void>;
  readonly ended: (phase: 'Succeeded' | 'Stopped') => void;
  readonly failed: (error: unknown) => void;
}

export class Steps {
  readonly #options: StepsOptions;
  readonly #held = Promise.withResolvers<void>();
  #holding = false;
  /** Since when training stands still for a checkpoint. */
  #cutSinceMs: number | undefined;
  #over = false;

  constructor(options: StepsOptions) {
    this.#options = options;
  }

  /** Nothing is carried out any more. */
  close(): void {
    this.#over = true;
  }

  /** There is a ledger from the first worker on. */
  apply(message: LedgerMessage): void {
    if (this.#over) return;
    const { position } = this.#ledger;
    const effects = this.#ledger.step(message);
    if (this.#ledger.position !== position) this.#options.keep(this.state());
    for (const effect of effects) this.#carryOut(effect);
  }

  state(): LedgerState {
    return this.#ledger.state(this.#options.nowMs());
  }

  /** Resolves when a checkpoint of the next boundary is committed, or there can be none: somebody whose share is awaited is gone. */
  hold(): Promise<void> {
    this.#holding = true;
    this.apply({ kind: 'hold' });
    if (this.#ledger.awaited.some((rank) => !this.#options.hears(rank))) this.#held.resolve();
    return this.#held.promise;
  }

  /** Even when the job is over: there may be something left to say. */
  workerListens(rank: number): void {
    for (const effect of this.#options.ledger()?.step({ kind: 'listen', rank }) ?? []) this.#carryOut(effect);
  }

  workerLeft(rank: number): void {
    if (this.#options.ledger()) this.apply({ kind: 'leave', rank });
    if (this.#holding && this.#options.ledger()?.awaited.includes(rank)) this.#held.resolve();
  }

  /** The step in progress does not end: everybody goes back. */
  halt(): void {
    this.#cutSinceMs = undefined;
    this.#held.resolve();
  }

  get #ledger(): Ledger {
    return this.#options.ledger()!;
  }

  #carryOut(effect: LedgerEffect): void {
    const { log, nowMs, cut, boundary, failed, tell, quorum } = this.#options;
    switch (effect.kind) {
      case 'refuse':
        throw new RuntimeError(effect.code, effect.message);
      case 'cut':
        this.#cutSinceMs = nowMs();
        cut(effect.step);
        break;
      case 'begin':
        this.#begin(effect.step, effect.directive);
        break;
      case 'goOn':
        this.#goOn();
        break;
      case 'tell':
        tell(effect.rank, { step: effect.step, directive: effect.directive });
        break;
      case 'lease':
        tell(effect.rank, { step: effect.batch, directive: 'train' });
        break;
      case 'quorum':
        quorum(effect.step, effect.ranks);
        break;
      case 'epochEnded':
      case 'evaluated':
        log('info', effect.kind === 'evaluated' ? 'epoch evaluated' : 'epoch trained', {
          epoch: effect.record.epoch,
          step: effect.record.step,
        });
        break;
      case 'boundary':
        boundary(effect.workers);
        break;
      case 'held':
        this.#held.resolve();
        break;
      case 'ended':
        this.#finish(effect.directive).catch(failed);
        break;
    }
  }

  #begin(step: number, directive: Directive): void {
    const { board, announce } = this.#options;
    this.#goOn();
    if (directive === 'finish') board.enter('Evaluating');
    announce({ step, directive });
  }

  #goOn(): void {
    const { board, nowMs } = this.#options;
    if (this.#cutSinceMs !== undefined) board.checkpointTaken(nowMs() - this.#cutSinceMs);
    this.#cutSinceMs = undefined;
  }

  async #finish(directive: Ending): Promise<void> {
    const { board, nowMs, finish, ended } = this.#options;
    if (directive === 'finish') {
      board.ledger(this.state(), nowMs());
      await finish();
    }
    ended(directive === 'finish' ? 'Succeeded' : 'Stopped');
  }
}
