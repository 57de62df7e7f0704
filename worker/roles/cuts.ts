// The coordinator's checkpoints: finds the one to start from, has the servers write their shards, commits. Decides nothing
// about membership or steps: it is told, and tells.

import type { RoleConfig } from '../../protos/role-config.ts';
import { type Checkpoints, type Found, folderOf } from '../checkpoint/checkpoints.ts';
import { atPace } from '../checkpoint/cursor.ts';
import type { Manifest } from '../checkpoint/manifest.ts';
import { Cut, type CutMessage, type ShardFile } from '../protocol/cut.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { LedgerState } from '../protocol/ledger.ts';
import type { MembershipMessage } from '../protocol/membership.ts';
import type { Pace } from '../protocol/pace.ts';
import type { CopyCommand } from '../transport/messages.ts';
import type { NewestCheckpoint } from './ledger-snapshot.ts';
import type { Log } from './log.ts';
import { digestOf, type Plan } from './plan.ts';

export interface CutsOptions {
  readonly config: RoleConfig;
  readonly checkpoints: Checkpoints;
  readonly log: Log;
  readonly now: () => {
    readonly plan: Plan;
    readonly pace: Pace;
    readonly epoch: number;
    readonly ledger: LedgerState;
  };
  readonly command: (server: number, copy: CopyCommand) => void;
  readonly found: (message: Extract<MembershipMessage, { kind: 'restorePoint' }>) => void;
  readonly taken: (step: number) => void;
  readonly committed: (step: number, epoch: number) => void;
  /** No checkpoint could be made at `step`; the one before stays the newest. */
  readonly abandoned: (step: number, reason: string) => void;
  /** How long nothing goes on without a checkpoint at `step`; undefined: training has gone on. */
  readonly patienceMs: (step: number) => number | undefined;
  readonly failed: (error: unknown) => void;
}

/** Before a checkpoint that everybody waits for is tried again. */
const AGAIN_MS = 1000;

export class Cuts {
  readonly #options: CutsOptions;
  readonly #cut: Cut;
  #restorePoint: Found | undefined;
  /** Of the cut being written: the ledger as it was, and where it goes. */
  #written: { readonly folder: string; readonly ledger: LedgerState } | undefined;
  #newest: NewestCheckpoint | undefined;
  /** Since when one checkpoint that everybody waits for has been tried. */
  #failingSinceMs: number | undefined;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: CutsOptions) {
    this.#options = options;
    this.#cut = new Cut(options.config.servers.length);
  }

  /** What everybody starts from; undefined where there is no checkpoint. */
  get restorePoint(): Found | undefined {
    return this.#restorePoint;
  }

  /** The newest committed checkpoint. */
  get newest(): NewestCheckpoint | undefined {
    return this.#newest;
  }

  /** Everybody went back: to the restore point, or to what was held in memory, `newest` being the newest checkpoint then. */
  reset(to: 'restorePoint' | { readonly newest: NewestCheckpoint | undefined }): void {
    this.#cut.step({ kind: 'reset' });
    this.#failingSinceMs = undefined;
    clearTimeout(this.#again);
    const point = this.#restorePoint;
    if (to !== 'restorePoint') this.#newest = to.newest;
    else this.#newest = point && { step: point.manifest.step, folder: point.folder };
  }

  /** The job is over: what still finishes is heard by nobody. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
  }

  findRestorePoint(epoch: number): void {
    this.#find(epoch).catch(this.#options.failed);
  }

  async #find(epoch: number): Promise<void> {
    const { checkpoints, config, log, now, found: tell } = this.#options;
    const complain = (folder: string, reason: string): void =>
      log('warning', 'checkpoint passed over, trying the one before', { folder, reason });
    const own = await checkpoints.newest(config.job.run, complain);
    const foreign = !own && config.resume ? await checkpoints.newest(undefined, complain) : undefined;
    const found = own ?? foreign;
    const point = found && { ...found, manifest: atPace(found.manifest, now().pace) };
    if (point && point.manifest.layoutDigest !== layoutDigest(now().plan))
      throw new RuntimeError(
        'CHECKPOINT_MISMATCH',
        `${point.folder}: expected a checkpoint of this model, got one of other parameters or optimizer`,
      );
    if (epoch !== now().epoch) return; // the servers changed meanwhile
    this.#restorePoint = point;
    tell({ kind: 'restorePoint', epoch, step: point?.manifest.step, foreign: foreign !== undefined });
  }

  apply(message: CutMessage): void {
    if (this.#closed) return;
    for (const effect of this.#cut.step(message)) {
      switch (effect.kind) {
        case 'copy':
          this.#copy(effect.server, effect.step);
          break;
        case 'taken':
          this.#options.taken(effect.step);
          break;
        case 'commit':
          this.#commit(effect.step, effect.files).catch(this.#options.failed);
          break;
        case 'abandoned':
          this.#abandon(effect.step, effect.reason).catch(this.#options.failed);
          break;
      }
    }
  }

  #copy(server: number, step: number): void {
    const { config, now, command } = this.#options;
    const { epoch, ledger } = now();
    const folder = folderOf(config.job.run, step, epoch);
    // The ledger stands at this step until the cut is taken.
    if (this.#written?.folder !== folder) this.#written = { folder, ledger };
    command(server, { epoch, step, folder });
  }

  async #commit(step: number, files: ShardFile[]): Promise<void> {
    const { config, checkpoints, log, now, committed } = this.#options;
    const { epoch } = now();
    const { folder } = this.#written!;
    const complain = (name: string, reason: string): void =>
      log('warning', 'older checkpoints cannot be removed', { folder: name, reason });
    let reason: string | undefined;
    try {
      await checkpoints.commit(folder, this.#manifestOf(step, files), config.spec.checkpoint.keep, complain);
    } catch (error) {
      reason = (error as Error).message;
    }
    if (epoch !== now().epoch || this.#closed) return; // gone back meanwhile; a checkpoint stays valid
    if (reason !== undefined) {
      this.apply({ kind: 'uncommitted', step, reason });
      return;
    }
    log('info', 'checkpoint committed', { step, folder });
    this.#newest = { step, folder };
    this.#failingSinceMs = undefined;
    this.apply({ kind: 'committed', step });
    committed(step, epoch);
  }

  #manifestOf(step: number, files: ShardFile[]): Manifest {
    const { config, now } = this.#options;
    const { plan, pace } = now();
    return {
      format: 'lepton/checkpoint',
      version: 1,
      run: config.job.run,
      job: config.job.name,
      step,
      createdAt: new Date().toISOString(),
      seed: config.seed,
      layoutDigest: layoutDigest(plan),
      arenaLength: plan.layout.length,
      stepsPerEpoch: pace.stepsPerEpoch,
      ledger: this.#written!.ledger,
      files,
    };
  }

  /** Training goes on without it where it can; where it cannot, the cut is tried again until patience ends. */
  async #abandon(step: number, reason: string): Promise<void> {
    const { config, checkpoints, log, now, abandoned, patienceMs, failed } = this.#options;
    const { epoch } = now();
    await checkpoints.discard(folderOf(config.job.run, step, epoch)).catch(() => {});
    if (epoch !== now().epoch || this.#closed) return;
    log('warning', 'checkpoint cannot be written', { step, reason });
    abandoned(step, reason);
    const patience = patienceMs(step);
    if (patience === undefined) return;
    this.#failingSinceMs ??= performance.now();
    if (performance.now() - this.#failingSinceMs >= patience)
      failed(new RuntimeError('CHECKPOINT_WRITE_FAILED', reason));
    else this.#again = setTimeout(() => this.apply({ kind: 'begin', step }), AGAIN_MS);
  }
}

function layoutDigest({ layout, optimizer }: Plan): string {
  return digestOf(JSON.stringify([layout, optimizer]));
}
