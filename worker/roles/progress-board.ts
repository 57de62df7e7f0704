// What the coordinator knows of the job's progress, in the shape that launcher, command and operator read. Decides nothing.
import type { LedgerEpoch, LedgerState, Totals } from '../protocol/ledger.ts';
import type {
  CheckpointProgress,
  EpochRecord,
  JobPhase,
  JobProgress,
  ServerProgress,
  WorkerProgress,
} from '../protocol/progress.ts';
import type { HeartbeatRequest } from '../transport/messages.ts';

/** Progress without what only the launcher knows (process ids, restarts). */
export type ReportedProgress = Omit<JobProgress, 'workers' | 'servers'> & {
  readonly workers: readonly Omit<WorkerProgress, 'restarts'>[];
  readonly servers: readonly Omit<ServerProgress, 'restarts'>[];
  /** Workers that share a step now. */
  readonly workerCount: number;
  readonly errorCode?: string;
};

export interface BoardJob {
  readonly metrics: readonly string[];
  readonly steps: number;
  readonly stepsPerEpoch: number;
}

/** Speeds are measured over this window. */
const WINDOW_MS = 5000;

export class ProgressBoard {
  #job: BoardJob = { metrics: ['loss'], steps: 0, stepsPerEpoch: 1 };
  #phase: JobPhase = 'Starting';
  #message: string | undefined;
  #errorCode: string | undefined;
  #waits: JobProgress['waits'];
  #phases: Pick<JobProgress, 'workerPhases' | 'serverPhases'> = {};
  #checkpointMs = 0;
  #checkpoint: CheckpointProgress | undefined;
  #ledger: LedgerState = { step: 0, train: { samples: 0, sums: [] }, milliseconds: 0, history: [] };
  #marks: { ms: number; step: number; samples: number }[] = [];
  #workers: Omit<WorkerProgress, 'restarts'>[];
  readonly #servers: Omit<ServerProgress, 'restarts'>[];

  constructor(workers: number, servers: number) {
    this.#workers = Array.from({ length: workers }, (_, rank) => newWorker(rank));
    this.#servers = Array.from({ length: servers }, (_, index) => ({
      index,
      state: 'starting',
      shardBytes: 0,
    }));
  }

  /** Those that stay keep what is known of them. */
  resize(workers: number): void {
    this.#workers = Array.from({ length: workers }, (_, rank) => this.#workers[rank] ?? newWorker(rank));
  }

  get phase(): JobPhase {
    return this.#phase;
  }

  describe(job: BoardJob): void {
    this.#job = job;
  }

  enter(phase: JobPhase, message?: string, errorCode?: string): void {
    this.#phase = phase;
    this.#message = message;
    this.#errorCode = errorCode;
  }

  /** `restored`: the ledger went back, so speeds start anew. */
  ledger(state: LedgerState, nowMs: number, restored = false): void {
    this.#ledger = state;
    if (restored) this.#marks = [];
    const samples = state.history.reduce((sum, { train }) => sum + train.samples, state.train.samples);
    this.#marks.push({ ms: nowMs, step: state.step, samples });
    while (this.#marks.length > 2 && this.#marks[1]!.ms < nowMs - WINDOW_MS) this.#marks.shift();
  }

  waits(report: NonNullable<JobProgress['waits']>): void {
    this.#waits = report;
  }

  phases(phases: Pick<JobProgress, 'workerPhases' | 'serverPhases'>): void {
    this.#phases = phases;
  }

  /** Training stood still for so long. */
  checkpointTaken(milliseconds: number): void {
    this.#checkpointMs += milliseconds;
  }

  worker(rank: number, change: Partial<Omit<WorkerProgress, 'rank'>>): void {
    const known = this.#workers[rank];
    if (known) this.#workers[rank] = { ...known, ...change };
  }

  heard({ rank, step, samplesPerSecond, waitRatio, state }: HeartbeatRequest): void {
    this.worker(rank, { step, samplesPerSecond, waitRatio, state });
  }

  server(index: number, change: Partial<Omit<ServerProgress, 'index'>>): void {
    const known = this.#servers[index];
    if (known) this.#servers[index] = { ...known, ...change };
  }

  checkpoint(step: number, uri: string): void {
    this.#checkpoint = { step, uri };
  }

  checkpointFails(reason: string): void {
    if (this.#checkpoint) this.#checkpoint = { ...this.#checkpoint, failing: reason };
  }

  progress(): ReportedProgress {
    const { steps, stepsPerEpoch } = this.#job;
    const { step, train, history } = this.#ledger;
    const newest = history.at(-1);
    const means = this.#means(train.samples > 0 ? train : newest?.train);
    const { loss, ...metrics } = means;
    const speed = this.#speed();
    const done = step >= steps && steps > 0;
    const lastEvaluation = history.findLast((record) => record.evaluation);
    return {
      phase: this.#phase,
      step,
      steps,
      epoch: Math.min(Math.floor(step / stepsPerEpoch) + 1, Math.ceil(steps / stepsPerEpoch)),
      epochs: Math.ceil(steps / stepsPerEpoch),
      stepInEpoch: done ? stepsPerEpoch : step % stepsPerEpoch,
      stepsPerEpoch,
      ...(loss === undefined ? {} : { loss }),
      metrics,
      evaluation: this.#means(lastEvaluation?.evaluation),
      samplesPerSecond: speed.samples,
      ...(speed.steps > 0 ? { remainingSeconds: (steps - step) / speed.steps } : {}),
      workerCount: this.#workers.length,
      workers: this.#workers,
      servers: this.#servers,
      ...(this.#checkpoint === undefined ? {} : { checkpoint: this.#checkpoint }),
      ...(this.#message === undefined ? {} : { message: this.#message }),
      ...(this.#errorCode === undefined ? {} : { errorCode: this.#errorCode }),
      history: history.map((record) => this.#record(record)),
      ...(this.#waits ? { waits: this.#waits } : {}),
      checkpointSeconds: this.#checkpointMs / 1000,
      ...this.#phases,
    };
  }

  #record({ epoch, step, milliseconds, train, evaluation }: LedgerEpoch): EpochRecord {
    const seconds = milliseconds / 1000;
    return {
      epoch,
      step,
      seconds,
      samples: train.samples,
      samplesPerSecond: seconds > 0 ? train.samples / seconds : 0,
      train: this.#means(train),
      ...(evaluation ? { evaluate: this.#means(evaluation) } : {}),
    };
  }

  #means(totals: Totals | undefined): Record<string, number> {
    if (!totals || totals.samples === 0) return {};
    return Object.fromEntries(
      this.#job.metrics.map((name, index) => [name, (totals.sums[index] ?? 0) / totals.samples]),
    );
  }

  #speed(): { samples: number; steps: number } {
    const [first, last] = [this.#marks[0], this.#marks.at(-1)];
    const seconds = first && last ? (last.ms - first.ms) / 1000 : 0;
    if (!first || !last || seconds <= 0) return { samples: 0, steps: 0 };
    return { samples: (last.samples - first.samples) / seconds, steps: (last.step - first.step) / seconds };
  }
}

function newWorker(rank: number): Omit<WorkerProgress, 'restarts'> {
  return { rank, state: 'starting', step: 0, samplesPerSecond: 0, waitRatio: 0 };
}
