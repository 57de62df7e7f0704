// What a running job says about itself: the shape that the launcher reports, the command draws and history.json keeps.

export type JobPhase = 'Starting' | 'Running' | 'Evaluating' | 'Succeeded' | 'Failed' | 'Stopped';

/** Named values: `loss` and the metrics, averaged over samples. */
export type Metrics = Readonly<Record<string, number>>;

export interface EpochRecord {
  readonly epoch: number; // from 1
  readonly step: number; // global steps done at its end
  readonly seconds: number;
  readonly samplesPerSecond: number;
  readonly train: Metrics;
  readonly evaluate?: Metrics;
}

export interface WorkerProgress {
  readonly rank: number;
  readonly state: string; // Starting | Running | Waiting | Lost | Done
  readonly pid?: number;
  readonly step: number;
  readonly samplesPerSecond: number;
  /** Share of the last steps spent waiting for parameters, 0 to 1. */
  readonly waitRatio: number;
  readonly restarts: number;
}

export interface ServerProgress {
  readonly index: number;
  readonly state: string;
  readonly pid?: number;
  readonly bytes: number; // of parameters it owns
  readonly restarts: number;
}

export interface JobProgress {
  readonly phase: JobPhase;
  readonly step: number;
  readonly steps: number;
  readonly epoch: number; // from 1
  readonly epochs: number;
  readonly stepInEpoch: number;
  readonly stepsPerEpoch: number;
  /** Running averages over the epoch in progress, `loss` among them. */
  readonly metrics: Metrics;
  /** The newest evaluation. */
  readonly evaluation: Metrics;
  readonly samplesPerSecond: number;
  readonly remainingSeconds?: number;
  readonly workers: readonly WorkerProgress[];
  readonly servers: readonly ServerProgress[];
  readonly message?: string;
  readonly history: readonly EpochRecord[];
}

export interface LogLine {
  readonly role: string; // worker-0, parameter-server-0, launcher
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface JobResult {
  readonly phase: 'Succeeded' | 'Failed' | 'Stopped';
  readonly steps: number;
  readonly epochs: number;
  readonly train: Metrics;
  readonly evaluate: Metrics;
  readonly samplesPerSecond: number;
  readonly seconds: number;
  readonly directory: string;
  readonly error?: { readonly code: string; readonly message: string };
}
