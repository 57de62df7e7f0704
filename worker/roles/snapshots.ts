// The coordinator's side of snapshots in memory: keeps the ledger of each step, and finds the step that all servers still hold when they have
// changed. What is done with it is the course's.
import type { RoleConfig } from '../../protos/role-config.ts';
import { type Holding, Recall } from '../protocol/recall.ts';
import type { ServerCommand } from '../transport/messages.ts';
import type { KeptLedger, LedgerSnapshot } from './ledger-snapshot.ts';
import { identityOf } from './plan.ts';

export interface SnapshotsOptions {
  readonly config: RoleConfig;
  /** Undefined where nothing outlives this process. */
  readonly kept: LedgerSnapshot | undefined;
  /** What servers must agree on. */
  readonly job: () => { readonly plan: string; readonly workers: number };
  readonly command: (server: number, command: ServerCommand) => void;
  /** All hold this step. */
  readonly found: (epoch: number, step: number) => void;
  /** There is no such step. */
  readonly missing: (epoch: number) => void;
}

/** What everybody goes back to. */
export interface Found extends KeptLedger {
  /** Had ended since. */
  readonly lostSteps: number;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #kept: LedgerSnapshot | undefined;
  /** Servers that work in memory which outlives them. */
  readonly #recalls = new Set<number>();
  #recall: Recall | undefined;
  #found: Found | undefined;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#kept = options.kept;
  }

  /** The newest epoch that a coordinator has given. */
  get epoch(): number {
    return this.#kept?.epoch ?? 0;
  }

  /** Before anybody is told it. */
  keepEpoch(epoch: number): void {
    this.#kept?.keepEpoch(epoch);
  }

  /** Undefined where everybody goes back to a checkpoint. */
  get found(): Found | undefined {
    return this.#found;
  }

  /** A server has come, maybe another process than before. */
  enlisted(server: number, recalls: boolean): void {
    if (recalls) this.#recalls.add(server);
    else this.#recalls.delete(server);
  }

  /** Servers stop and say what they hold. Where no ledger is kept, or some server cannot answer, there is nothing to ask for. */
  find(epoch: number): void {
    const { config, job, command, missing } = this.#options;
    const { plan, workers } = job();
    const steps = this.#kept?.steps(this.#identity) ?? [];
    this.#found = undefined;
    this.#recall = undefined;
    if (steps.length === 0 || this.#recalls.size < config.servers.length) {
      missing(epoch);
      return;
    }
    const recall = new Recall(config.servers.length, steps);
    this.#recall = recall;
    // The server in this process answers at once: not before whoever asked has done with what it was about.
    queueMicrotask(() => {
      if (this.#recall !== recall) return;
      for (let server = 0; server < config.servers.length; server++)
        command(server, { recall: { epoch, plan, workers } });
    });
  }

  /** A server's answer, of the epoch that `find` was asked in last. */
  held(server: number, epoch: number, holding: Holding): void {
    const { found, missing } = this.#options;
    const answer = this.#recall?.add(server, holding);
    if (!answer || answer.kind === 'waiting') return;
    this.#recall = undefined;
    if (answer.kind === 'nothing') {
      missing(epoch);
      return;
    }
    const { step } = answer;
    const lostSteps = Math.max(...this.#kept!.steps(this.#identity)) - step;
    this.#found = { ...this.#kept!.at(step)!, lostSteps };
    found(epoch, step);
  }

  /** Before anybody can hear that this step begins. */
  keep(kept: KeptLedger): void {
    this.#kept?.keep(this.#identity, kept);
  }

  /** Everybody is at this step. */
  keepOnly(kept: KeptLedger): void {
    this.#kept?.keepOnly(this.#identity, kept);
  }

  get #identity(): string {
    const { config, job } = this.#options;
    const { plan, workers } = job();
    return identityOf(config.job.run, plan, workers);
  }
}
