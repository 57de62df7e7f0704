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
import { type Holding, Recall } from '../../../worker/protocol/recall.ts';
import type { Checkpoint, KeptLedger, System } from './system.ts';

export class Coordinator {
  readonly #system: System;
  readonly #membership: Membership;
  #ledger: Ledger;
  /** Workers of each step that has begun. */
  #trail: number[] = [];
  readonly #cut: Cut;
  readonly #norm: NormSum | undefined;
  #restorePoint: Checkpoint | undefined;
  #recall: Recall | undefined;
  #recalled: KeptLedger | undefined;
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
        case 'findRestorePoint':
          this.#findRestorePoint(effect.epoch);
          break;
        case 'load': {
          const [point, recalled] = [this.#restorePoint, this.#recalled?.step];
          const { server, epoch } = effect;
          const { workers } = this.#membership;
          system.send(`server ${server}`, () =>
            system.servers[server]!.load(
              epoch,
              recalled === undefined ? point : undefined,
              workers,
              recalled,
            ),
          );
          break;
        }
        case 'restored': {
          const { ledger, trail } = this.#recalled ?? this.#restorePoint ?? { ledger: undefined, trail: [] };
          this.#ledger = this.#openLedger();
          this.#ledger.step({ kind: 'restore', state: ledger, nowMs: 0 });
          this.#trail = [...trail];
          this.#cut.step({ kind: 'reset' });
          this.#norm?.reset();
          system.keptLedgers = [undefined, undefined];
          this.#keep();
          break;
        }
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
      if (this.#recalled) {
        this.#ledgerStep({ kind: 'resume' });
        return;
      }
      this.#ledgerStep({ kind: 'committed', step });
      if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'cutTaken', step });
    }
  }

  #findRestorePoint(epoch: number): void {
    const { keptLedgers, servers } = this.#system;
    const { workers } = this.#membership;
    this.#recalled = undefined;
    this.#recall = undefined;
    const steps = keptLedgers.flatMap((kept) => (kept?.workers === workers ? [kept.step] : []));
    if (steps.length === 0) {
      this.#takeCheckpoint(epoch);
      return;
    }
    this.#recall = new Recall(servers.length, steps);
    for (const server of servers)
      this.#system.send(`server ${server.index}`, () => server.recall(epoch, workers));
  }

  held(server: number, holding: Holding, epoch: number): void {
    if (this.#system.coordinator !== this || epoch !== this.#membership.baseEpoch) return;
    const answer = this.#recall?.add(server, holding);
    if (!answer || answer.kind === 'waiting') return;
    this.#recall = undefined;
    const { keptLedgers, returns } = this.#system;
    if (answer.kind === 'nothing') {
      returns.toCheckpoint++;
      this.#takeCheckpoint(epoch);
      return;
    }
    const { step } = answer;
    returns.toMemory++;
    const newest = Math.max(...keptLedgers.map((kept) => kept?.step ?? 0));
    returns.lostSteps = Math.max(returns.lostSteps, newest - step);
    this.#recalled = keptLedgers[step % 2]!;
    this.membership({ kind: 'restorePoint', epoch, step, foreign: false });
  }

  #takeCheckpoint(epoch: number): void {
    this.#restorePoint = this.#system.checkpoints.at(-1);
    this.membership({ kind: 'restorePoint', epoch, step: this.#restorePoint?.step, foreign: false });
  }

  #keep(): void {
    const ledger = this.#ledger.state(0);
    const { step } = ledger;
    const trail = this.#trail.slice(0, step);
    this.#system.keptLedgers[step % 2] = { step, workers: this.#membership.workers, ledger, trail };
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
    const { position } = this.#ledger;
    const effects = this.#ledger.step(message);
    if (this.#ledger.position !== position) this.#keep();
    for (const effect of effects) {
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
