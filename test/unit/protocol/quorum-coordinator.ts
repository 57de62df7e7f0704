// The coordinator of the world where steps do without the slowest workers: the real Ledger, who speaks for each rank, and what was
// decided. Holds the samples that are counted to the quorums.
import assert from 'node:assert/strict';
import type { Begun } from '../../../worker/protocol/gather.ts';
import {
  Ledger,
  type LedgerEffect,
  type LedgerMessage,
  type LedgerState,
} from '../../../worker/protocol/ledger.ts';
import { NormSum } from '../../../worker/protocol/norm.ts';
import type { Decision, Quorum } from './quorum-server.ts';

export interface CoordinatorOptions {
  readonly workers: number;
  readonly servers: number;
  readonly steps: number;
  /** Everybody meets after every step. */
  readonly evaluates: boolean;
  readonly checkpointEvery: number;
  readonly announce: (begun: Begun) => void;
  readonly tell: (rank: number, begun: Begun) => void;
  readonly decided: (decision: Decision) => void;
}

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #ledger: Ledger;
  readonly #norm: NormSum;
  /** Servers whose part of the norm of the step has come. */
  #parts: number[] = [];
  readonly #quorums = new Map<number, Quorum>();
  /** By rank: the newest epoch that was given. */
  readonly #sessions: number[];
  /** By rank: steps that it has evaluated. */
  readonly #evaluated: number[][];
  /** Before which step; undefined where none is due. */
  #cut: number | undefined;
  #kept: LedgerState | undefined;
  #hasEnded = false;

  constructor(options: CoordinatorOptions) {
    const { workers, servers, steps, evaluates, checkpointEvery } = options;
    this.#options = options;
    this.#norm = new NormSum([...new Array(servers).keys()], 1);
    this.#ledger = new Ledger({
      workers,
      steps,
      evaluates,
      stepsPerEpoch: evaluates ? 1 : steps,
      checkpointEvery,
      backupWorkers: 1,
    });
    this.#sessions = new Array<number>(workers).fill(0);
    this.#evaluated = Array.from({ length: workers }, () => []);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get begun(): Begun | undefined {
    return this.#ledger.begun;
  }

  get cut(): number | undefined {
    return this.#cut;
  }

  /** Of the newest checkpoint. */
  get kept(): number {
    return this.#kept?.step ?? 0;
  }

  quorumOf(step: number): Quorum | undefined {
    return this.#quorums.get(step);
  }

  /** Everybody goes back to the newest checkpoint. */
  restore(): void {
    const step = this.kept;
    for (const at of this.#quorums.keys()) if (at >= step) this.#quorums.delete(at);
    for (const steps of this.#evaluated) steps.length = 0;
    this.#sessions.fill(0);
    this.#norm.reset();
    this.#parts = [];
    this.#cut = undefined;
    this.#apply({ kind: 'restore', state: this.#kept, nowMs: 0 });
    this.takeCut(step);
  }

  takeCut(step: number): void {
    this.#cut = undefined;
    this.#kept = this.#ledger.state(0);
    this.#apply({ kind: 'committed', step });
    this.#apply({ kind: 'cutTaken', step });
  }

  join(rank: number, epoch: number): void {
    this.#sessions[rank] = epoch;
  }

  listens(rank: number): void {
    this.#apply({ kind: 'listen', rank });
  }

  record(rank: number, epoch: number, step: number): void {
    if (epoch !== this.#sessions[rank]) return;
    this.#apply({
      kind: 'record',
      rank,
      step,
      totals: { samples: this.#samplesOf(rank, step), sums: [] },
      nowMs: 0,
    });
    const { train, history, step: done } = this.#ledger.state(0);
    const counted = history.reduce((sum, epoch) => sum + epoch.train.samples, train.samples);
    let due = 0;
    for (let at = 0; at < done; at++)
      for (const other of this.#quorums.get(at)!.ranks) due += this.#samplesOf(other, at);
    assert.equal(counted, due, `the samples of ${done} steps are not those of their quorums`);
  }

  /** Of every share another power of two, so that their sum says which are in it. */
  #samplesOf(rank: number, step: number): number {
    return 2 ** (step * this.#options.workers + rank);
  }

  addNorm(server: number, step: number): void {
    const factor = this.#norm.step({ server, step, blocks: [0] });
    this.#parts = factor ? [] : [...this.#parts, server];
    if (factor) this.#options.decided({ kind: 'norm', ...factor });
  }

  evaluation(rank: number, step: number): void {
    if (!this.#options.evaluates || step === 0) return;
    this.#evaluated[rank]!.push(step);
    this.#apply({ kind: 'evaluation', rank, step, totals: { samples: 1, sums: [] } });
  }

  #apply(message: LedgerMessage): void {
    for (const effect of this.#ledger.step(message)) this.#carryOut(effect);
  }

  #carryOut(effect: LedgerEffect): void {
    const { announce, tell } = this.#options;
    if (effect.kind === 'refuse') assert.fail(effect.message);
    if (effect.kind === 'cut') this.#cut = effect.step;
    if (effect.kind === 'begin') announce({ step: effect.step, directive: effect.directive });
    if (effect.kind === 'tell') tell(effect.rank, { step: effect.step, directive: effect.directive });
    if (effect.kind === 'quorum') this.#decided({ step: effect.step, ranks: effect.ranks });
    if (effect.kind === 'ended') this.#hasEnded = true;
  }

  #decided(quorum: Quorum): void {
    assert.ok(!this.#quorums.has(quorum.step), `step ${quorum.step} is decided twice`);
    const { step, ranks } = quorum;
    assert.equal(ranks.length, this.#options.workers - 1, `step ${step} is of too many or too few`);
    assert.deepEqual(
      ranks,
      [...ranks].sort((a, b) => a - b),
    );
    this.#quorums.set(quorum.step, quorum);
    this.#options.decided({ kind: 'quorum', ...quorum });
  }

  /** What can make a difference later, besides what there is of each rank. */
  key(): unknown {
    const { position, begun } = this.#ledger;
    return [position, begun, this.#cut, this.kept, this.#parts, this.#hasEnded];
  }

  /** Quorums before the step `oldest` are carried out everywhere. */
  keyOf(rank: number, oldest: number): { readonly epoch: number; readonly share: unknown } {
    const quorums = [...this.#quorums.values()].filter(({ step }) => step >= oldest);
    const within = quorums.map(({ step, ranks }) => [step, ranks.includes(rank)]);
    const share = [within, this.#ledger.awaited.includes(rank), this.#evaluated[rank]];
    return { epoch: this.#sessions[rank]!, share };
  }
}
