// What a job tells about itself while it runs: plain data, made by the coordinator, shown by launcher, command and operator.
import type { PhaseTimes } from '../../protos/phases.ts';
import type { SlowWorker, WorkerWaits } from './stragglers.ts';
import type { WaitReport } from './waits.ts';

export type JobPhase = 'Starting' | 'Running' | 'Evaluating' | 'Succeeded' | 'Failed' | 'Stopped';

export interface WorkerProgress {
  readonly rank: number;
  /** starting | running | evaluating | silent | lost | restarting | done */
  readonly state: string;
  readonly pid?: number;
  readonly step: number;
  readonly samplesPerSecond: number;
  /** Share of the time spent waiting for other processes, 0 to 1. */
  readonly waitRatio: number;
  readonly restarts: number;
  /** Absent before it is heard. */
  readonly waits?: WorkerTimes;
}

/** Where a worker's time went since the coordinator started. */
export interface WorkerTimes extends WorkerWaits {
  readonly computeSeconds: number;
  /** By its own clock, for whatever it was: the last worker, the servers, a checkpoint. */
  readonly waitSeconds: number;
}

export interface ServerProgress {
  readonly index: number;
  /** starting | loading | ready | restarting | done */
  readonly state: string;
  readonly pid?: number;
  readonly shardBytes: number;
  readonly restarts: number;
}

/** One pass over the training data. `train` holds means over the samples of the epoch, `evaluate` over the evaluation data. */
export interface EpochRecord {
  readonly epoch: number; // counted from 1
  readonly step: number; // steps done at its end
  /** Samples counted: each of the epoch exactly once. */
  readonly samples?: number;
  readonly seconds: number;
  readonly samplesPerSecond: number;
  readonly train: Readonly<Record<string, number>>;
  readonly evaluate?: Readonly<Record<string, number>>;
}

/** The newest checkpoint, and why there is no newer one where one could not be written. */
export interface CheckpointProgress {
  readonly step: number;
  readonly uri: string;
  readonly failing?: string;
}

export interface JobProgress {
  readonly phase: JobPhase;
  readonly step: number;
  readonly steps: number;
  readonly epoch: number; // the epoch in progress, counted from 1
  readonly epochs: number;
  readonly stepInEpoch: number;
  readonly stepsPerEpoch: number;
  /** Mean over the samples of the epoch so far. */
  readonly loss?: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Of the newest evaluation. */
  readonly evaluation: Readonly<Record<string, number>>;
  readonly samplesPerSecond: number;
  readonly remainingSeconds?: number;
  readonly workers: readonly WorkerProgress[];
  readonly servers: readonly ServerProgress[];
  readonly checkpoint?: CheckpointProgress;
  readonly message?: string;
  readonly history: readonly EpochRecord[];
  /** Absent before the coordinator is heard. */
  readonly waits?: WaitReport & { readonly slow?: readonly SlowWorker[] };
  /** For which training has stood still while checkpoints were taken, since the coordinator started. */
  readonly checkpointSeconds?: number;
  /** What each phase took per step: of all workers together, and of all servers. */
  readonly workerPhases?: readonly PhaseTimes[];
  readonly serverPhases?: readonly PhaseTimes[];
}

export interface JobResult {
  readonly phase: 'Succeeded' | 'Failed' | 'Stopped';
  readonly steps: number;
  readonly epochs: number;
  readonly train: Readonly<Record<string, number>>;
  readonly evaluate: Readonly<Record<string, number>>;
  readonly samplesPerSecond: number;
  readonly seconds: number;
  readonly directory: string;
  readonly workers: readonly (WorkerTimes & { readonly rank: number })[];
  readonly error?: { readonly code: string; readonly message: string };
}

/** One line of a role's log: constant text, values as fields. */
export interface LogLine {
  readonly time: string; // ISO 8601
  readonly source: string; // worker-3, server-0, launcher
  readonly level: 'debug' | 'info' | 'warning' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}
