// The coordinator of a job: carries out what membership, ledger and cut decide. Lives in parameter server 0; no gradients here.

import type { RoleConfig } from '../../protos/role-config.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { planChunks, planShards } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Directive } from '../protocol/gather.ts';
import { Ledger, type LedgerMessage } from '../protocol/ledger.ts';
import { Membership, type MembershipEffect, type MembershipMessage } from '../protocol/membership.ts';
import { NormSum } from '../protocol/norm.ts';
import { type Pace, paceOf } from '../protocol/pace.ts';
import { Waits } from '../protocol/waits.ts';
import type { CoordinationHandlers, Outbox } from '../transport/listener.ts';
import type {
  EnlistRequest,
  EvaluationReport,
  HeartbeatRequest,
  HeartbeatResponse,
  JoinRequest,
  JoinResponse,
  PushMessage,
  ResizeRequest,
  ServerCommand,
  ShardReport,
} from '../transport/messages.ts';
import { Cuts } from './cuts.ts';
import type { Log } from './log.ts';
import { PendingJoins } from './pending-joins.ts';
import { digestOf, type Plan, parsePlan } from './plan.ts';
import { ProgressBoard, type ReportedProgress } from './progress-board.ts';
import { ServerLinks } from './server-links.ts';
import { Watchers } from './watchers.ts';

export interface CoordinatorOptions {
  readonly config: RoleConfig;
  readonly checkpoints: Checkpoints;
  readonly log: Log;
  readonly nowMs: () => number;
  /** The parameter server in this process. */
  readonly local: {
    command(command: ServerCommand): void;
    announce(step: number, directive: Directive): void;
    /** A worker listens. */
    hears(rank: number): boolean;
  };
  /** Writes the results from the last checkpoint. */
  readonly finish: (plan: Plan, folder: string, progress: ReportedProgress) => Promise<void>;
}

/** How the job ended, after which the process ends as well. */
export interface Outcome {
  readonly phase: 'Succeeded' | 'Stopped' | 'Failed';
  readonly error?: RuntimeError;
  readonly progress: ReportedProgress;
}

const PROGRESS_INTERVAL_MS = 250;

export class Coordinator implements CoordinationHandlers {
  readonly ended: Promise<Outcome>;
  readonly #options: CoordinatorOptions;
  readonly #membership: Membership;
  readonly #board: ProgressBoard;
  readonly #cuts: Cuts;
  readonly #end = Promise.withResolvers<Outcome>();
  readonly #servers: ServerLinks;
  readonly #joins = new PendingJoins();
  readonly #watchers = new Watchers();
  readonly #waits = new Waits();
  /** Since when training stands still for a checkpoint. */
  #cutSinceMs: number | undefined;
  readonly #timer: NodeJS.Timeout;
  #planText = '';
  #plan: Plan | undefined;
  #ledger: Ledger | undefined;
  #norm: NormSum | undefined;
  readonly #held = Promise.withResolvers<void>();
  #stopAsked = false;
  #holding = false;
  #over = false;

  constructor(options: CoordinatorOptions) {
    const { config } = options;
    this.#options = options;
    this.ended = this.#end.promise;
    this.#membership = new Membership({
      workers: config.workers,
      servers: config.servers.length,
      attempt: config.attempt,
      silentMs: config.deadlines.silentSeconds * 1000,
    });
    this.#servers = new ServerLinks({
      servers: config.servers.length,
      local: options.local.command,
      left: (server) => {
        options.log('warning', 'parameter server left', { server });
        this.#applyMembership({ kind: 'left', server });
      },
    });
    this.#board = new ProgressBoard(config.workers, config.servers.length);
    this.#cuts = new Cuts({
      config,
      checkpoints: options.checkpoints,
      log: options.log,
      now: () => ({
        plan: this.#plan!,
        pace: this.#pace,
        epoch: this.#membership.baseEpoch,
        ledger: this.#ledger!.state(options.nowMs()),
      }),
      command: (server, copy) => this.#servers.command(server, { copy }),
      found: (message) => this.#applyMembership(message),
      taken: (step) => {
        if (this.#membership.phase === 'ready') this.#applyLedger({ kind: 'cutTaken', step });
      },
      committed: (step, epoch) => {
        this.#tellCheckpoint(step);
        if (this.#membership.phase === 'anchoring') this.#applyMembership({ kind: 'anchored', epoch });
        else this.#applyLedger({ kind: 'committed', step });
      },
      abandoned: (step, reason) => {
        this.#board.checkpointFails(reason);
        if (this.#membership.phase === 'ready') this.#applyLedger({ kind: 'abandoned', step });
      },
      patienceMs: (step) => this.#patienceMs(step),
      failed: (error) => this.fail(asRuntimeError(error)),
    });
    this.#timer = setInterval(() => this.#tick(), PROGRESS_INTERVAL_MS);
    this.#timer.unref();
  }

  /** The server in this process is ready for commands. */
  enlistLocal(): void {
    this.#applyMembership({ kind: 'enlist', server: 0 });
  }

  /** Resolves when everybody who watches has seen the end, or after the deadline. */
  drained(deadlineMs: number): Promise<void> {
    return this.#watchers.drained(deadlineMs);
  }

  // --- what workers ask ---

  join({ rank, attempt, plan }: JoinRequest): Promise<JoinResponse> {
    if (this.#over) throw new RuntimeError('NOT_READY', 'join: the job has ended');
    if (this.#planText === '') this.#adopt(plan);
    const answer = this.#joins.add(rank);
    this.#applyMembership({
      kind: 'join',
      rank,
      attempt,
      digest: digestOf(plan),
      nowMs: this.#options.nowMs(),
    });
    return answer;
  }

  heartbeat(request: HeartbeatRequest): HeartbeatResponse {
    const { rank, epoch } = request;
    const effects = this.#membership.step({ kind: 'heartbeat', rank, epoch, nowMs: this.#options.nowMs() });
    if (effects.some(({ kind }) => kind === 'rejoin')) return { rejoin: !this.#over };
    this.#board.heard(request);
    this.#waits.heard(request);
    if (request.state === 'done') this.#membership.step({ kind: 'leave', rank, epoch });
    return { rejoin: false };
  }

  reportEvaluation({ rank, epoch, step, totals }: EvaluationReport): void {
    this.#mustBeCurrent(rank, epoch);
    this.#applyLedger({ kind: 'evaluation', rank, step, totals });
  }

  /** The share of a rank in a step is done. Comes with the gradients, through the exchange of server 0. */
  record({ rank, epoch, step, record }: PushMessage): void {
    this.#mustBeCurrent(rank, epoch);
    this.#applyLedger({ kind: 'record', rank, step, totals: record!, nowMs: this.#options.nowMs() });
  }

  begun(): { readonly step: number; readonly directive: Directive } | undefined {
    return this.#ledger?.begun;
  }

  // --- what servers say ---

  enlist({ server }: EnlistRequest, commands: Outbox<ServerCommand>): void {
    if (this.#over) {
      commands.end();
      return;
    }
    this.#servers.add(server, commands);
    this.#applyMembership({ kind: 'enlist', server });
  }

  reportShard({
    server,
    epoch,
    loaded,
    initialized,
    copied,
    saved,
    unsaved,
    norm,
    failed,
  }: ShardReport): void {
    if (epoch !== this.#membership.baseEpoch || this.#over) return;
    if (failed) this.fail(new RuntimeError('CHECKPOINT_WRITE_FAILED', failed.message), failed.code);
    if (loaded) {
      this.#board.server(server, { state: 'ready', shardBytes: loaded.shardBytes });
      this.#applyMembership({ kind: 'loaded', server, epoch });
    }
    if (initialized) this.#applyMembership({ kind: 'initialized', server, epoch });
    if (copied) this.#cuts.apply({ kind: 'copied', server, step: copied.step });
    if (saved) {
      const { step, name, sizeBytes, sha256, from, to } = saved;
      this.#cuts.apply({ kind: 'saved', server, step, file: { name, sizeBytes, sha256, from, to } });
    }
    if (unsaved) this.#cuts.apply({ kind: 'unsaved', server, ...unsaved });
    const factor = norm && this.#norm?.step({ server, step: norm.step, blocks: norm.blocks });
    if (factor)
      for (const owner of this.#trainableServers())
        this.#servers.command(owner, { norm: { epoch, ...factor } });
  }

  // --- what launcher, command and operator ask ---

  watch(progress: Outbox<unknown>): void {
    this.#watchers.add(progress);
    progress.write(this.#board.progress());
    if (this.#over) progress.end();
  }

  stop(): void {
    this.#stopAsked = true;
    if (this.#ledger) this.#applyLedger({ kind: 'stop' });
    // Nothing has been trained: there is nothing to keep.
    else this.#close({ phase: 'Stopped' });
  }

  /** Goes on with another number of workers from the next fitting boundary; may be asked again and again. */
  resize({ workers, gone }: ResizeRequest): void {
    if (workers < 1) throw new RuntimeError('BAD_MESSAGE', 'resize: expected at least 1 worker, got 0');
    this.#applyMembership({ kind: 'resize', workers, gone });
  }

  /**
   * This process is about to end: resolves when a checkpoint of the next boundary is committed, after which nothing is trained, and
   * where there can be none: nothing was trained since the newest one, or a worker whose share is awaited is gone.
   */
  hold(): Promise<void> {
    const { log, local } = this.#options;
    if (this.#over || !this.#ledger || this.#membership.phase !== 'ready') return Promise.resolve();
    log('info', 'leaving with a checkpoint of the next step');
    this.#holding = true;
    this.#applyLedger({ kind: 'hold' });
    if (this.#ledger.awaited.some((rank) => !local.hears(rank))) this.#held.resolve();
    return this.#held.promise;
  }

  workerLeft(rank: number): void {
    if (this.#holding && this.#ledger?.awaited.includes(rank)) this.#held.resolve();
  }

  /** Ends the job for a reason that no restart would change. */
  fail(error: RuntimeError, code: string = error.code): void {
    this.#options.log('error', 'job failed', { code, error: error.message });
    this.#close({ phase: 'Failed', error }, code);
  }

  // --- carrying out ---

  /** The first plan that comes is the job's; workers with another are refused by its digest. */
  #adopt(text: string): void {
    const plan = parsePlan(text);
    this.#planText = text;
    this.#plan = plan;
    if (plan.clip.norm !== undefined) this.#norm = new NormSum(this.#trainableServers(), plan.clip.norm);
    this.#openLedger(plan);
  }

  /** Steps and shares are counted for one number of workers. */
  #openLedger({ metrics, evaluateSamples }: Plan): Ledger {
    const { workers, steps, stepsPerEpoch } = this.#pace;
    const ledger = new Ledger({
      workers,
      steps,
      stepsPerEpoch,
      checkpointEvery: this.#options.config.spec.checkpoint.everySteps,
      evaluates: evaluateSamples > 0,
    });
    if (this.#stopAsked) ledger.step({ kind: 'stop' });
    this.#ledger = ledger;
    this.#board.describe({ metrics, steps, stepsPerEpoch });
    return ledger;
  }

  get #pace(): Pace {
    return paceOf(this.#plan!, this.#membership.workers);
  }

  #trainableServers(): number[] {
    const { config } = this.#options;
    const { layout } = this.#plan!;
    return planShards(planChunks(layout, config.testing.chunkLength), config.servers.length)
      .filter(({ chunks }) => chunks.some(({ state }) => !state))
      .map(({ server }) => server);
  }

  #mustBeCurrent(rank: number, epoch: number): void {
    if (!this.#membership.isCurrent(rank, epoch))
      throw new RuntimeError('OLD_EPOCH', `rank ${rank}: epoch ${epoch} is not its session`);
  }

  #applyMembership(message: MembershipMessage): void {
    if (this.#over) return;
    const before = this.#membership.phase;
    const effects = this.#membership.step(message);
    for (const effect of effects) this.#carryOut(effect);
    if (before !== 'ready' && this.#membership.phase === 'ready') this.#begin();
    else if (before === 'ready' && this.#membership.phase !== 'ready')
      if (!effects.some(({ kind }) => kind === 'resized')) this.#halt();
  }

  #carryOut(effect: MembershipEffect): void {
    const { log, config } = this.#options;
    switch (effect.kind) {
      case 'findRestorePoint':
        this.#cuts.findRestorePoint(effect.epoch);
        break;
      case 'load': {
        const checkpoint = this.#cuts.restorePoint?.folder ?? '';
        this.#board.server(effect.server, { state: 'loading' });
        this.#servers.command(effect.server, {
          load: {
            epoch: effect.epoch,
            plan: this.#planText,
            checkpoint,
            workers: this.#membership.workers,
          },
        });
        break;
      }
      case 'restored': {
        const state = this.#cuts.restorePoint?.manifest.ledger;
        this.#openLedger(this.#plan!).step({ kind: 'restore', state, nowMs: this.#options.nowMs() });
        this.#cuts.reset();
        this.#norm?.reset();
        if (this.#cuts.lastFolder !== '') this.#tellCheckpoint(effect.step);
        if (effect.step > 0 || config.attempt > 0)
          log('info', 'job goes on from a checkpoint', { step: effect.step });
        break;
      }
      case 'anchor':
        this.#cuts.apply({ kind: 'begin', step: effect.step });
        break;
      case 'askInitial':
        this.#answer(effect.rank, { epoch: effect.epoch, initialize: true, leave: false });
        break;
      case 'admit':
        log('info', 'worker joined', { rank: effect.rank, epoch: effect.epoch });
        this.#board.worker(effect.rank, { state: 'running' });
        this.#answer(effect.rank, { epoch: effect.epoch, initialize: false, leave: false });
        break;
      case 'refuse':
        this.#joins.refuse(effect.rank, new RuntimeError(effect.code, effect.message));
        break;
      case 'lost':
        log('warning', 'worker is silent', { rank: effect.rank, seconds: config.deadlines.silentSeconds });
        this.#board.worker(effect.rank, { state: 'lost' });
        break;
      case 'rejoin':
        break;
      case 'resizeAtBoundary':
        if (this.#membership.phase === 'ready') this.#tellNext();
        break;
      case 'resized':
        log('info', 'job goes on with another number of workers', {
          workers: effect.workers,
          step: this.#ledger?.state(0).step ?? 0,
        });
        this.#board.resize(effect.workers);
        break;
      case 'dismiss':
        log('info', 'worker is not needed', { rank: effect.rank });
        this.#answer(effect.rank, { epoch: 0, initialize: false, leave: true });
        break;
    }
  }

  #answer(rank: number, response: Pick<JoinResponse, 'epoch' | 'initialize' | 'leave'>): void {
    const chunkLength = this.#options.config.testing.chunkLength;
    this.#joins.answer(rank, { ...response, chunkLength, workers: this.#membership.workers });
  }

  #tellCheckpoint(step: number): void {
    const { checkpointUri } = this.#options.config;
    this.#board.checkpoint(step, `${checkpointUri.replace(/\/$/, '')}/${this.#cuts.lastFolder}`);
  }

  /** A run without its first checkpoint does not begin; one that is to end waits for its last. */
  #patienceMs(step: number): number | undefined {
    if (this.#membership.phase === 'anchoring') return 0;
    const { step: now } = this.#ledger!.state(this.#options.nowMs());
    const { checkpointSeconds } = this.#options.config.deadlines;
    return now === step && this.#ledger!.awaitsCommit ? checkpointSeconds * 1000 : undefined;
  }

  /** Parameters are in place and a checkpoint of them exists. */
  #begin(): void {
    const step = this.#ledger!.state(this.#options.nowMs()).step;
    // Whoever looks now must not see the step that an earlier coordinator or run had come to.
    const nowMs = this.#options.nowMs();
    this.#board.ledger(this.#ledger!.state(nowMs), nowMs, true);
    this.#board.enter('Running');
    this.#tellNext();
    this.#applyLedger({ kind: 'committed', step });
    // It may have been the boundary that a change waited for.
    if (this.#membership.phase === 'ready') this.#applyLedger({ kind: 'cutTaken', step });
  }

  #tellNext(): void {
    const { workers, samplesPerStep, fixed } = paceOf(this.#plan!, this.#membership.nextWorkers);
    this.#applyLedger({ kind: 'resize', workers, samplesPerStep, fixed });
  }

  #halt(): void {
    this.#cutSinceMs = undefined;
    this.#held.resolve();
    this.#board.enter('Starting', 'waiting for the parameter servers');
    this.#options.log('warning', 'parameter servers changed: everybody goes back to the newest checkpoint');
  }

  #applyLedger(message: LedgerMessage): void {
    if (this.#over) return;
    for (const effect of this.#ledger!.step(message)) {
      switch (effect.kind) {
        case 'refuse':
          throw new RuntimeError(effect.code, effect.message);
        case 'cut':
          this.#cutSinceMs = this.#options.nowMs();
          this.#cuts.apply({ kind: 'begin', step: effect.step });
          break;
        case 'begin':
          if (this.#cutSinceMs !== undefined)
            this.#board.checkpointTaken(this.#options.nowMs() - this.#cutSinceMs);
          this.#cutSinceMs = undefined;
          if (effect.directive === 'finish') this.#board.enter('Evaluating');
          this.#options.local.announce(effect.step, effect.directive);
          break;
        case 'epochEnded':
        case 'evaluated':
          this.#options.log('info', effect.kind === 'evaluated' ? 'epoch evaluated' : 'epoch trained', {
            epoch: effect.record.epoch,
            step: effect.record.step,
          });
          break;
        case 'boundary':
          this.#applyMembership({ kind: 'boundary', workers: effect.workers });
          break;
        case 'held':
          this.#held.resolve();
          break;
        case 'ended':
          this.#finish(effect.directive).catch((error: unknown) => this.fail(asRuntimeError(error)));
          break;
      }
    }
  }

  async #finish(directive: Exclude<Directive, 'train'>): Promise<void> {
    if (directive === 'finish') {
      this.#board.ledger(this.#ledger!.state(this.#options.nowMs()), this.#options.nowMs());
      await this.#options.finish(this.#plan!, this.#cuts.lastFolder, this.#board.progress());
    }
    this.#close({ phase: directive === 'finish' ? 'Succeeded' : 'Stopped' });
  }

  #tick(): void {
    const nowMs = this.#options.nowMs();
    this.#applyMembership({ kind: 'tick', nowMs });
    if (this.#ledger)
      this.#board.ledger(this.#ledger.state(nowMs), nowMs, this.#membership.phase !== 'ready');
    this.#board.waits(this.#waits.tick(nowMs, this.#membership, this.#ledger));
    this.#watchers.tell(() => this.#board.progress());
  }

  #close(outcome: Omit<Outcome, 'progress'>, code?: string): void {
    if (this.#over) return;
    this.#tick();
    this.#over = true;
    clearInterval(this.#timer);
    this.#cuts.close();
    this.#board.enter(outcome.phase, outcome.error?.message, code);
    this.#watchers.tell(() => this.#board.progress());
    this.#watchers.end();
    this.#servers.end();
    this.#joins.refuseAll(new RuntimeError('NOT_READY', 'the job has ended'));
    this.#end.resolve({ ...outcome, progress: this.#board.progress() });
  }
}

function asRuntimeError(error: unknown): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new RuntimeError('INTERNAL', message, { cause: error });
}
