// A job as processes of this host: starts roles, watches them, restarts the dead, ends them all. No training here.
import type { LeptonJobSpec } from '../../crds/leptonjob.ts';
import type { JobProgress, JobResult, LogLine } from '../protocol/progress.ts';

export type { EpochRecord, JobPhase, JobProgress, JobResult, LogLine } from '../protocol/progress.ts';

export interface LocalJobOptions {
  readonly name: string;
  /** With defaults applied. */
  readonly spec: LeptonJobSpec;
  /** Output folder of this run; made when missing. */
  readonly directory: string;
  readonly seed: number;
  /** Go on from the newest committed checkpoint below `spec.checkpoint.uri`, if there is one. */
  readonly resume?: boolean;
}

export interface LocalJob extends AsyncDisposable {
  onProgress(listener: (progress: JobProgress) => void): void;
  onLog(listener: (line: LogLine) => void): void;
  /** Always resolves; a failure is in `error`. */
  readonly finished: Promise<JobResult>;
  /** Writes a checkpoint, then ends all children. */
  stop(): Promise<void>;
}

export declare function startLocalJob(options: LocalJobOptions): Promise<LocalJob>;
