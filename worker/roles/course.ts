// The course of a job: carries out what membership decides and tells membership, steps and checkpoints what the others have come
// to. Speaks to workers and servers through its peers alone and answers no request.
import type { RoleConfig } from '../../protos/role-config.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Begun } from '../protocol/gather.ts';
import type { Ledger, LedgerMessage } from '../protocol/ledger.ts';
import { Membership, type MembershipEffect, type MembershipMessage } from '../protocol/membership.ts';
import type { NormMessage } from '../protocol/norm.ts';
import type { JoinResponse, ServerCommand } from '../transport/messages.ts';
import { Account } from './account.ts';
import { Cuts } from './cuts.ts';
import type { LedgerSnapshot } from './ledger-snapshot.ts';
import type { Log } from './log.ts';
import type { Plan } from './plan.ts';
import type { ProgressBoard, ReportedProgress } from './progress-board.ts';
import { Snapshots } from './snapshots.ts';
import { Steps } from './steps.ts';

export interface CourseOptions {
  readonly config: RoleConfig;
  readonly checkpoints: Checkpoints;
  /** Undefined where nothing outlives this process. */
  readonly kept: LedgerSnapshot | undefined;
  readonly log: Log;
  readonly nowMs: () => number;
  readonly board: ProgressBoard;
  readonly peers: Peers;
  /** Writes the results from the last checkpoint. */
  readonly finish: (plan: Plan, folder: string, progress: ReportedProgress) => Promise<void>;
  readonly ended: (phase: 'Succeeded' | 'Stopped') => void;
  readonly failed: (error: unknown) => void;
}

/** Whom the course of a job is told to, and whom it asks. */
export interface Peers {
  command(server: number, command: ServerCommand): void;
  /** To a worker that has asked to join. */
  answer(rank: number, response: JoinResponse): void;
  refuse(rank: number, error: RuntimeError): void;
  announce(begun: Begun): void;
  tell(rank: number, begun: Begun): void;
  /** A worker listens. */
  hears(rank: number): boolean;
}

export class Course {
  readonly membership: Membership;
  readonly cuts: Cuts;
  readonly snapshots: Snapshots;
  readonly #options: CourseOptions;
  readonly #account: Account;
  readonly #steps: Steps;
  #over = false;

  constructor(options: CourseOptions) {
    const { config } = options;
    this.#options = options;
    this.#account = new Account(config);
    this.snapshots = this.#newSnapshots();
    this.membership = new Membership({
      workers: config.workers,
      servers: config.servers.length,
      attempt: config.attempt,
      given: this.snapshots.epoch,
      silentMs: config.deadlines.silentSeconds * 1000,
    });
    this.#steps = this.#newSteps();
    this.cuts = this.#newCuts();
  }

  #newSteps(): Steps {
    const { log, nowMs, board, peers, finish, ended, failed } = this.#options;
    return new Steps({
      log,
      nowMs,
      board,
      ledger: () => this.ledger,
      announce: peers.announce,
      keep: (state) => this.snapshots.keep({ ledger: state, checkpoint: this.cuts.newest }),
      tell: peers.tell,
      quorum: (step, ranks) => this.#tellQuorum(step, ranks),
      hears: peers.hears,
      cut: (step) => this.cuts.apply({ kind: 'begin', step }),
      boundary: (workers) => this.applyMembership({ kind: 'boundary', workers }),
      finish: () => finish(this.#account.plan, this.cuts.newest!.folder, board.progress()),
      ended,
      failed,
    });
  }

  #newCuts(): Cuts {
    const { config, checkpoints, log, board, peers, failed } = this.#options;
    return new Cuts({
      config,
      checkpoints,
      log,
      now: () => ({
        plan: this.#account.plan,
        pace: this.#account.pace(this.membership.workers),
        epoch: this.membership.baseEpoch,
        ledger: this.#steps.state(),
      }),
      command: (server, copy) => peers.command(server, { copy }),
      found: (message) => this.applyMembership(message),
      taken: (step) => {
        if (this.#isReady) this.applyLedger({ kind: 'cutTaken', step });
      },
      committed: (step, epoch) => {
        this.#tellCheckpoint();
        if (this.membership.phase === 'anchoring') this.applyMembership({ kind: 'anchored', epoch });
        else this.applyLedger({ kind: 'committed', step });
      },
      abandoned: (step, reason) => {
        board.checkpointFails(reason);
        if (this.#isReady) this.applyLedger({ kind: 'abandoned', step });
      },
      patienceMs: (step) => this.#patienceMs(step),
      failed,
    });
  }

  #newSnapshots(): Snapshots {
    const { config, kept, peers } = this.#options;
    return new Snapshots({
      config,
      kept,
      job: () => ({ plan: this.#account.text, workers: this.membership.workers }),
      command: peers.command,
      found: (epoch, step) => this.applyMembership({ kind: 'restorePoint', epoch, step, foreign: false }),
      missing: (epoch) => this.cuts.findRestorePoint(epoch),
    });
  }

  get over(): boolean {
    return this.#over;
  }

  /** Undefined before the first worker has come. */
  get ledger(): Ledger | undefined {
    return this.#account.ledger;
  }

  /** Nothing is carried out any more. */
  close(): void {
    this.#over = true;
    this.#steps.close();
    this.cuts.close();
  }

  /** The first plan that comes is the job's; workers with another are refused by its digest. Throws BAD_MESSAGE. */
  adopt(text: string): void {
    if (this.#account.text !== '') return;
    this.#account.adopt(text);
    this.#openLedger();
  }

  /** False where nothing has been trained: there is nothing to keep. */
  stop(): boolean {
    this.#account.stop();
    if (!this.ledger) return false;
    this.applyLedger({ kind: 'stop' });
    return true;
  }

  /**
   * This process is about to end: resolves when a checkpoint of the next boundary is committed, after which nothing is trained, and
   * where there can be none: nothing was trained since the newest one, or a worker whose share is awaited is gone.
   */
  hold(): Promise<void> {
    const { log } = this.#options;
    if (this.#over || !this.ledger || !this.#isReady) return Promise.resolve();
    log('info', 'leaving with a checkpoint of the next step');
    return this.#steps.hold();
  }

  workerListens(rank: number): void {
    this.#steps.workerListens(rank);
  }

  workerLeft(rank: number): void {
    this.#steps.workerLeft(rank);
  }

  /** A server's part of the norm of a step; with the last part all owners of gradients learn the factor. */
  addNorm(epoch: number, part: NormMessage): void {
    const factor = this.#account.norm?.step(part);
    if (!factor) return;
    for (const owner of this.#account.trainableServers())
      this.#options.peers.command(owner, { norm: { epoch, ...factor } });
  }

  #tellQuorum(step: number, ranks: readonly number[]): void {
    const epoch = this.membership.baseEpoch;
    for (const server of this.#options.config.servers.keys())
      this.#options.peers.command(server, { quorum: { epoch, step, ranks } });
  }

  applyLedger(message: LedgerMessage): void {
    this.#steps.apply(message);
  }

  applyMembership(message: MembershipMessage): void {
    if (this.#over) return;
    const before = this.membership.phase;
    const effects = this.membership.step(message);
    this.snapshots.keepEpoch(this.membership.newest);
    for (const effect of effects) this.#changeMembers(effect);
    if (before !== 'ready' && this.#isReady) this.#begin();
    else if (before === 'ready' && !this.#isReady)
      if (!effects.some(({ kind }) => kind === 'resized')) this.#halt();
  }

  #changeMembers(effect: MembershipEffect): void {
    const { log, config, board, peers } = this.#options;
    switch (effect.kind) {
      case 'findRestorePoint':
        this.snapshots.find(effect.epoch);
        break;
      case 'load':
        this.#load(effect.server, effect.epoch, effect.step);
        break;
      case 'restored':
        this.#restore(effect.step);
        break;
      case 'anchor':
        this.cuts.apply({ kind: 'begin', step: effect.step });
        break;
      case 'askInitial':
        this.#answer(effect.rank, { epoch: effect.epoch, initialize: true, leave: false });
        break;
      case 'admit':
        log('info', 'worker joined', { rank: effect.rank, epoch: effect.epoch });
        board.worker(effect.rank, { state: 'running' });
        this.#answer(effect.rank, { epoch: effect.epoch, initialize: false, leave: false });
        break;
      case 'refuse':
        peers.refuse(effect.rank, new RuntimeError(effect.code, effect.message));
        break;
      case 'lost':
        log('warning', 'worker is silent', { rank: effect.rank, seconds: config.deadlines.silentSeconds });
        board.worker(effect.rank, { state: 'lost' });
        break;
      case 'rejoin':
        break;
      case 'resizeAtBoundary':
        if (this.#isReady) this.#tellNext();
        break;
      case 'resized':
        log('info', 'job goes on with another number of workers', {
          workers: effect.workers,
          step: this.ledger?.state(0).step ?? 0,
        });
        board.resize(effect.workers);
        break;
      case 'dismiss':
        log('info', 'worker is not needed', { rank: effect.rank });
        this.#answer(effect.rank, { epoch: 0, initialize: false, leave: true });
        break;
    }
  }

  #load(server: number, epoch: number, step = 0): void {
    const { board, peers } = this.#options;
    const recalled = this.snapshots.found !== undefined;
    const checkpoint = recalled ? '' : (this.cuts.restorePoint?.folder ?? '');
    board.server(server, { state: 'loading' });
    const { workers } = this.membership;
    peers.command(server, {
      load: { epoch, plan: this.#account.text, checkpoint, workers, recalled, step },
    });
  }

  #restore(step: number): void {
    const { log, config, nowMs } = this.#options;
    const { found } = this.snapshots;
    const state = found?.ledger ?? this.cuts.restorePoint?.manifest.ledger;
    this.#openLedger().step({ kind: 'restore', state, nowMs: nowMs() });
    this.cuts.reset(found ? { newest: found.checkpoint } : 'restorePoint');
    this.#account.norm?.reset();
    this.#tellCheckpoint();
    this.snapshots.keepOnly({ ledger: this.#steps.state(), checkpoint: this.cuts.newest });
    if (found) log('info', 'job goes on from memory', { step, lostSteps: found.lostSteps });
    else if (step > 0 || config.attempt > 0) log('info', 'job goes on from a checkpoint', { step });
  }

  #answer(rank: number, response: Pick<JoinResponse, 'epoch' | 'initialize' | 'leave'>): void {
    const { config, peers } = this.#options;
    const { chunkLength } = config.testing;
    peers.answer(rank, { ...response, chunkLength, workers: this.membership.workers });
  }

  /** Parameters are in place and a checkpoint of them exists. */
  #begin(): void {
    const { board, nowMs } = this.#options;
    const state = this.#steps.state();
    // Whoever looks now must not see the step that an earlier coordinator or run had come to.
    board.ledger(state, nowMs(), true);
    board.enter('Running');
    this.#tellNext();
    if (this.snapshots.found) {
      this.applyLedger({ kind: 'resume' });
      return;
    }
    this.applyLedger({ kind: 'committed', step: state.step });
    // It may have been the boundary that a change waited for.
    if (this.#isReady) this.applyLedger({ kind: 'cutTaken', step: state.step });
  }

  #tellNext(): void {
    const { workers, samplesPerStep, fixed } = this.#account.pace(this.membership.nextWorkers);
    this.applyLedger({ kind: 'resize', workers, samplesPerStep, fixed });
  }

  #halt(): void {
    const { board, log } = this.#options;
    this.#steps.halt();
    board.enter('Starting', 'waiting for the parameter servers');
    log('warning', 'parameter servers changed: everybody goes back to what is kept');
  }

  get #isReady(): boolean {
    return this.membership.phase === 'ready';
  }

  #openLedger(): Ledger {
    const { workers } = this.membership;
    const ledger = this.#account.open(workers);
    const { steps, stepsPerEpoch } = this.#account.pace(workers);
    this.#options.board.describe({ metrics: this.#account.plan.metrics, steps, stepsPerEpoch });
    return ledger;
  }

  #tellCheckpoint(): void {
    const { config, board } = this.#options;
    const { newest } = this.cuts;
    if (newest) board.checkpoint(newest.step, `${config.checkpointUri.replace(/\/$/, '')}/${newest.folder}`);
  }

  /** A run without its first checkpoint does not begin; one that is to end waits for its last. */
  #patienceMs(step: number): number | undefined {
    if (this.membership.phase === 'anchoring') return 0;
    const { checkpointSeconds } = this.#options.config.deadlines;
    return this.#steps.state().step === step && this.ledger!.awaitsCommit
      ? checkpointSeconds * 1000
      : undefined;
  }
}
