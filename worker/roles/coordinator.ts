// The coordinator of a job as its peers see it: answers workers, servers, launcher and operator, and says how the job ended. What
// follows from their words is the course of the job (course.ts). Lives in parameter server 0; no gradients here.

import { type Consistency, consistencyOf } from '../../crds/leptonjob.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Begun } from '../protocol/gather.ts';
import { Shares } from '../protocol/shares.ts';
import { Waits } from '../protocol/waits.ts';
import type { PhaseClock } from '../trace/phase-times.ts';
import type { CoordinationHandlers } from '../transport/handlers.ts';
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
import type { Outbox } from '../transport/streams.ts';
import { Course, type CourseOptions, type Peers } from './course.ts';
import { PendingJoins } from './pending-joins.ts';
import { digestOf } from './plan.ts';
import { ProgressBoard, type ReportedProgress } from './progress-board.ts';
import { ServerLinks } from './server-links.ts';
import { Times } from './times.ts';
import { Watchers } from './watchers.ts';

export interface CoordinatorOptions
  extends Pick<CourseOptions, 'config' | 'checkpoints' | 'kept' | 'log' | 'nowMs' | 'finish'> {
  /** The parameter server in this process. */
  readonly local: Pick<Peers, 'announce' | 'tell' | 'hears'> & { command(command: ServerCommand): void };
  readonly trace: PhaseClock;
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
  readonly #course: Course;
  readonly #board: ProgressBoard;
  readonly #servers: ServerLinks;
  readonly #joins = new PendingJoins();
  readonly #watchers = new Watchers();
  readonly #waits = new Waits();
  readonly #times: Times;
  /** Of the rounds of a job with local steps. */
  readonly #shares: Shares | undefined;
  readonly #end = Promise.withResolvers<Outcome>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: CoordinatorOptions) {
    const { config, local } = options;
    this.#options = options;
    this.ended = this.#end.promise;
    this.#shares = sharesOf(consistencyOf(config.spec.exchange.consistency));
    this.#servers = new ServerLinks({
      servers: config.servers.length,
      local: local.command,
      left: (server) => {
        options.log('warning', 'parameter server left', { server });
        this.#course.applyMembership({ kind: 'left', server });
      },
    });
    this.#board = new ProgressBoard(config.workers, config.servers.length);
    this.#times = new Times({ ...options, board: this.#board });
    this.#course = new Course({
      ...options,
      board: this.#board,
      peers: {
        command: (server, command) => this.#servers.command(server, command),
        answer: (rank, response) => this.#joins.answer(rank, response),
        refuse: (rank, error) => this.#joins.refuse(rank, error),
        announce: (begun) => this.#announce(begun),
        tell: (rank, begun) => local.tell(rank, this.#withShares(begun)),
        hears: local.hears,
      },
      ended: (phase) => this.#close({ phase }),
      failed: (error) => this.fail(asRuntimeError(error)),
    });
    this.#timer = setInterval(() => this.#tick(), PROGRESS_INTERVAL_MS);
    this.#timer.unref();
  }

  /** The server in this process is ready for commands. */
  enlistLocal(): void {
    this.#course.snapshots.enlisted(0, this.#options.config.snapshotFiles !== undefined);
    this.#course.applyMembership({ kind: 'enlist', server: 0 });
  }

  /** Resolves when everybody who watches has seen the end, or after the deadline. */
  drained(deadlineMs: number): Promise<void> {
    return this.#watchers.drained(deadlineMs);
  }

  // --- what workers ask ---

  join({ rank, attempt, plan }: JoinRequest): Promise<JoinResponse> {
    if (this.#course.over) throw new RuntimeError('NOT_READY', 'join: the job has ended');
    this.#course.adopt(plan);
    const answer = this.#joins.add(rank);
    this.#course.applyMembership({
      kind: 'join',
      rank,
      attempt,
      digest: digestOf(plan),
      nowMs: this.#options.nowMs(),
    });
    return answer;
  }

  heartbeat(request: HeartbeatRequest): HeartbeatResponse {
    const { rank, epoch, samplesPerSecond, waitRatio } = request;
    if (!Number.isFinite(samplesPerSecond) || !Number.isFinite(waitRatio))
      throw new RuntimeError(
        'BAD_MESSAGE',
        `heartbeat of rank ${rank}: expected finite numbers, got ${samplesPerSecond} samples/s and ${waitRatio}`,
      );
    const effects = this.#course.membership.step({
      kind: 'heartbeat',
      rank,
      epoch,
      nowMs: this.#options.nowMs(),
    });
    if (effects.some(({ kind }) => kind === 'rejoin')) return { rejoin: !this.#course.over };
    this.#board.heard(request);
    this.#waits.heard(request);
    this.#times.worker(rank, request.phases ?? []);
    if (request.state === 'done') this.#course.membership.step({ kind: 'leave', rank, epoch });
    return { rejoin: false };
  }

  reportEvaluation({ rank, epoch, step, totals }: EvaluationReport): void {
    this.#mustBeCurrent(rank, epoch);
    this.#course.applyLedger({ kind: 'evaluation', rank, step, totals });
  }

  /** The share of a rank in a step is done. Comes with the gradients, through the exchange of server 0. */
  record({ rank, epoch, step, record }: PushMessage): void {
    this.#mustBeCurrent(rank, epoch);
    this.#times.recorded(rank, step);
    this.#shares?.recorded(rank, step, this.#options.nowMs());
    this.#course.applyLedger({ kind: 'record', rank, step, totals: record!, nowMs: this.#options.nowMs() });
  }

  begun(): Begun | undefined {
    return this.#course.ledger?.begun;
  }

  // --- what servers say ---

  enlist({ server, recalls = false }: EnlistRequest, commands: Outbox<ServerCommand>): void {
    if (this.#course.over) {
      commands.end();
      return;
    }
    this.#servers.add(server, commands);
    this.#course.snapshots.enlisted(server, recalls);
    this.#course.applyMembership({ kind: 'enlist', server });
  }

  reportShard({
    server,
    epoch,
    loaded,
    initialized,
    copied,
    saved,
    unsaved,
    held,
    norm,
    failed,
    timed,
  }: ShardReport): void {
    if (timed) this.#times.server(server, timed.phases);
    if (epoch !== this.#course.membership.baseEpoch || this.#course.over) return;
    if (failed) this.fail(new RuntimeError('CHECKPOINT_WRITE_FAILED', failed.message), failed.code);
    if (loaded) {
      this.#board.server(server, { state: 'ready', shardBytes: loaded.shardBytes });
      this.#course.applyMembership({ kind: 'loaded', server, epoch });
    }
    if (initialized) this.#course.applyMembership({ kind: 'initialized', server, epoch });
    if (copied) this.#course.cuts.apply({ kind: 'copied', server, step: copied.step });
    if (saved) {
      const { step, name, sizeBytes, sha256, from, to } = saved;
      this.#course.cuts.apply({ kind: 'saved', server, step, file: { name, sizeBytes, sha256, from, to } });
    }
    if (unsaved) this.#course.cuts.apply({ kind: 'unsaved', server, ...unsaved });
    if (held) this.#course.snapshots.held(server, epoch, held);
    if (norm) this.#course.addNorm(epoch, { server, step: norm.step, blocks: norm.blocks });
  }

  // --- what launcher, command and operator ask ---

  watch(progress: Outbox<unknown>): void {
    this.#watchers.add(progress);
    progress.write(this.#board.progress());
    if (this.#course.over) progress.end();
  }

  stop(): void {
    if (!this.#course.stop()) this.#close({ phase: 'Stopped' });
  }

  /** Goes on with another number of workers from the next fitting boundary; may be asked again and again. */
  resize({ workers, gone }: ResizeRequest): void {
    if (workers < 1) throw new RuntimeError('BAD_MESSAGE', 'resize: expected at least 1 worker, got 0');
    this.#course.applyMembership({ kind: 'resize', workers, gone });
  }

  // --- what its own process says ---

  /** This process is about to end: resolves when it may, as far as checkpoints go. */
  hold(): Promise<void> {
    return this.#course.hold();
  }

  workerListens(rank: number): void {
    this.#course.workerListens(rank);
  }

  workerLeft(rank: number): void {
    this.#course.workerLeft(rank);
  }

  /** Ends the job for a reason that no restart would change. */
  fail(error: RuntimeError, code: string = error.code): void {
    this.#options.log('error', 'job failed', { code, error: error.message });
    this.#close({ phase: 'Failed', error }, code);
  }

  #announce(begun: Begun): void {
    const { workers } = this.#course.membership;
    const nowMs = this.#options.nowMs();
    if (begun.directive === 'train') this.#times.begun(begun.step, workers);
    this.#shares?.begun(begun.step, workers, nowMs);
    this.#options.local.announce(this.#withShares(begun));
  }

  #withShares(begun: Begun): Begun {
    return this.#shares ? { ...begun, shares: this.#shares.of(begun.step) } : begun;
  }

  #mustBeCurrent(rank: number, epoch: number): void {
    if (!this.#course.membership.isCurrent(rank, epoch))
      throw new RuntimeError('OLD_EPOCH', `rank ${rank}: epoch ${epoch} is not its session`);
  }

  #tick(): void {
    const nowMs = this.#options.nowMs();
    this.#course.applyMembership({ kind: 'tick', nowMs });
    const { membership, ledger } = this.#course;
    if (ledger) this.#board.ledger(ledger.state(nowMs), nowMs, membership.phase !== 'ready');
    this.#times.server(0, this.#options.trace.times());
    this.#times.tick(this.#waits.tick(nowMs, membership, ledger));
    this.#watchers.tell(() => this.#board.progress());
  }

  #close(outcome: Omit<Outcome, 'progress'>, code?: string): void {
    if (this.#course.over) return;
    this.#tick();
    this.#course.close();
    clearInterval(this.#timer);
    this.#board.enter(outcome.phase, outcome.error?.message, code);
    this.#watchers.tell(() => this.#board.progress());
    this.#watchers.end();
    this.#servers.end();
    this.#joins.refuseAll(new RuntimeError('NOT_READY', 'the job has ended'));
    this.#end.resolve({ ...outcome, progress: this.#board.progress() });
  }
}

function sharesOf(consistency: Consistency): Shares | undefined {
  return consistency.mode === 'localSteps' ? new Shares(consistency.steps, consistency.balance) : undefined;
}

function asRuntimeError(error: unknown): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new RuntimeError('INTERNAL', message, { cause: error });
}
