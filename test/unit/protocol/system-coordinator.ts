// The coordinator of the system: membership, ledger, cut and norm, and the checkpoints that come of them.
import { Cut, type CutMessage } from '../../../worker/protocol/cut.ts';
import {
  Ledger,
  type LedgerMessage,
  type LedgerState,
  type Totals,
} from '../../../worker/protocol/ledger.ts';
import { Membership, type MembershipMessage } from '../../../worker/protocol/membership.ts';
import { NormSum } from '../../../worker/protocol/norm.ts';
import type { Checkpoint, System } from './system.ts';

export class Coordinator {
  readonly #system: System;
  readonly #membership: Membership;
  #ledger: Ledger;
  /** Workers of each step that has begun. */
  #trail: number[] = [];
  readonly #cut: Cut;
  readonly #norm: NormSum | undefined;
  #restorePoint: Checkpoint | undefined;
  #cutLedger = new Map<number, LedgerState>();
  /** `step:server` -> values by chunk. */
  #saved = new Map<string, (readonly [number, number])[]>();

  constructor(system: System) {
    const { job, shards } = system;
    this.#system = system;
    this.#membership = new Membership({
      workers: system.present,
      servers: shards.length,
      attempt: system.coordinatorLives,
      silentMs: Number.POSITIVE_INFINITY,
    });
    this.#ledger = this.#openLedger();
    this.#cut = new Cut(shards.length);
    const owners = shards
      .filter(({ chunks }) => chunks.some(({ state }) => !state))
      .map(({ server }) => server);
    this.#norm = job.clipNorm === undefined ? undefined : new NormSum(owners, job.clipNorm);
  }

  #openLedger(): Ledger {
    const { job } = this.#system;
    const { workers } = this.#membership;
    return new Ledger({ ...job, workers, checkpointEvery: 3, evaluates: false });
  }

  resize(workers: number): void {
    this.membership({ kind: 'resize', workers, gone: false });
  }

  #tellNext(): void {
    // The steps of the plain implementation keep their numbers.
    this.#ledgerStep({
      kind: 'resize',
      workers: this.#membership.nextWorkers,
      samplesPerStep: 1,
      fixed: true,
    });
  }

  begun(): Ledger['begun'] {
    return this.#ledger.begun;
  }

  membership(message: MembershipMessage): void {
    const system = this.#system;
    if (system.coordinator !== this) return;
    const before = this.#membership.phase;
    for (const effect of this.#membership.step(message)) {
      switch (effect.kind) {
        case 'findRestorePoint': {
          this.#restorePoint = system.checkpoints.at(-1);
          const step = this.#restorePoint?.step;
          this.membership({ kind: 'restorePoint', epoch: effect.epoch, step, foreign: false });
          break;
        }
        case 'load': {
          const point = this.#restorePoint;
          const { server, epoch } = effect;
          const { workers } = this.#membership;
          system.send(`server ${server}`, () => system.servers[server]!.load(epoch, point, workers));
          break;
        }
        case 'restored':
          this.#ledger = this.#openLedger();
          this.#ledger.step({ kind: 'restore', state: this.#restorePoint?.ledger, nowMs: 0 });
          this.#trail = [...(this.#restorePoint?.trail ?? [])];
          this.#cut.step({ kind: 'reset' });
          this.#norm?.reset();
          break;
        case 'anchor':
          this.#cutStep({ kind: 'begin', step: effect.step });
          break;
        case 'askInitial':
          system.workers[effect.rank]!.answered(effect.epoch, true);
          break;
        case 'admit':
          system.workers[effect.rank]!.answered(effect.epoch, false);
          break;
        case 'resizeAtBoundary':
          if (this.#membership.phase === 'ready') this.#tellNext();
          break;
        case 'resized':
          system.present = effect.workers;
          break;
      }
    }
    if (before !== 'ready' && this.#membership.phase === 'ready') {
      const { step } = this.#ledger.state(0);
      this.#tellNext();
      this.#ledgerStep({ kind: 'committed', step });
      if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'cutTaken', step });
    }
  }

  record(rank: number, epoch: number, step: number, totals: Totals): void {
    if (this.#system.coordinator !== this || !this.#membership.isCurrent(rank, epoch)) return;
    this.#ledgerStep({ kind: 'record', rank, step, totals, nowMs: 0 });
  }

  normPart(server: number, step: number, blocks: readonly number[], epoch: number): void {
    if (epoch !== this.#membership.baseEpoch) return;
    const factor = this.#norm!.step({ server, step, blocks });
    if (!factor) return;
    for (const target of this.#system.servers)
      this.#system.send(`server ${target.index}`, () => target.norm(factor.step, factor.factor, epoch));
  }

  cutReport(message: CutMessage, epoch: number): void {
    if (epoch === this.#membership.baseEpoch) this.#cutStep(message);
  }

  saved(server: number, step: number, content: (readonly [number, number])[], epoch: number): void {
    const system = this.#system;
    system.send('coordinator', () => {
      if (epoch !== this.#membership.baseEpoch) return;
      if (system.diskFails()) {
        this.#cutStep({ kind: 'unsaved', server, step, reason: 'full' });
        return;
      }
      this.#saved.set(`${step}:${server}`, content);
      const file = { name: `${server}`, sizeBytes: 0, sha256: '', from: 0, to: 0 };
      this.#cutStep({ kind: 'saved', server, step, file });
    });
  }

  #ledgerStep(message: LedgerMessage): void {
    for (const effect of this.#ledger.step(message)) {
      if (effect.kind === 'refuse') throw new Error(`ledger: ${effect.message}`);
      if (effect.kind === 'cut') this.#cutStep({ kind: 'begin', step: effect.step });
      if (effect.kind === 'boundary') this.membership({ kind: 'boundary', workers: effect.workers });
      if (effect.kind === 'begin') this.#trail[effect.step] = this.#membership.workers;
      if (effect.kind === 'begin')
        for (const worker of this.#system.workers)
          worker.receive({ kind: 'begin', step: effect.step, directive: effect.directive }, 0);
      if (effect.kind === 'ended') this.#system.ended = effect.directive;
    }
  }

  #cutStep(message: CutMessage): void {
    const system = this.#system;
    for (const effect of this.#cut.step(message)) {
      if (effect.kind === 'copy') {
        const epoch = this.#membership.baseEpoch;
        this.#cutLedger.set(effect.step, this.#ledger.state(0));
        const server = system.servers[effect.server]!;
        system.send(`server ${effect.server}`, () => server.copy(effect.step, epoch));
      } else if (effect.kind === 'taken') {
        if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'cutTaken', step: effect.step });
      } else if (effect.kind === 'abandoned') this.#abandoned(effect.step);
      else this.#commit(effect.step);
    }
  }

  /** Where nobody goes on without it, it is tried again later. */
  #abandoned(step: number): void {
    if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'abandoned', step });
    const epoch = this.#membership.baseEpoch;
    this.#system.send('coordinator', () => {
      const awaited = this.#membership.phase === 'anchoring' || this.#ledger.awaitsCommit;
      if (epoch === this.#membership.baseEpoch && awaited && this.#ledger.state(0).step === step)
        this.#cutStep({ kind: 'begin', step });
    });
  }

  #commit(step: number): void {
    const parameters: number[] = [];
    for (const { server } of this.#system.shards)
      for (const [chunk, value] of this.#saved.get(`${step}:${server}`)!) parameters[chunk] = value;
    const trail = this.#trail.slice(0, step);
    this.#system.checkpoints.push({ step, ledger: this.#cutLedger.get(step)!, parameters, trail });
    this.#cutStep({ kind: 'committed', step });
    const epoch = this.#membership.baseEpoch;
    if (this.#membership.phase === 'anchoring') this.membership({ kind: 'anchored', epoch });
    else this.#ledgerStep({ kind: 'committed', step });
  }
}
