// Jobs of real processes for the tests of this folder: starting, watching, hurting and comparing them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConsistencyChoice,
  type GradientCodecChoice,
  leptonJobSpecSchema,
} from '../../crds/leptonjob.ts';
import { readSafetensors } from '../../worker/formats/safetensors.ts';
import { type LocalJob, type LocalJobOptions, startLocalJob } from '../../worker/launch/local-job.ts';
import type { EpochRecord, JobProgress, JobResult, LogLine } from '../../worker/protocol/progress.ts';

export const SAMPLES = 1920;

export interface TestJob {
  /** Of test/process/nets. */
  readonly net?: string;
  readonly workers: number;
  readonly servers?: number;
  readonly placement?: 'servers' | 'mixed';
  readonly batchSize: number;
  readonly loss?: 'sparseCategoricalCrossentropy' | 'meanSquaredError';
  readonly epochs?: number;
  readonly stepsPerEpoch?: number;
  readonly everySteps?: number;
  readonly keep?: number;
  readonly gradientCodec?: GradientCodecChoice;
  readonly consistency?: ConsistencyChoice;
  readonly maxRestarts?: number;
  readonly directory?: string;
  readonly resume?: boolean;
  readonly traceFile?: string;
  readonly testing?: LocalJobOptions['testing'];
  readonly deadlines?: LocalJobOptions['deadlines'];
  readonly placeOf?: LocalJobOptions['placeOf'];
  readonly tls?: LocalJobOptions['tls'];
}

export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'lepton-process-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export async function startJob(job: TestJob, directory: string): Promise<WatchedJob> {
  const spec = leptonJobSpecSchema.parse({
    model: { program: { module: join(import.meta.dirname, 'nets', job.net ?? 'small-net.ts') } },
    training: {
      loss: job.loss ?? 'sparseCategoricalCrossentropy',
      optimizer: { adam: { learningRate: 0.001 } },
      ...(job.loss === undefined ? { metrics: ['accuracy' as const] } : {}),
      batchSize: job.batchSize,
      epochs: job.epochs ?? 1,
      ...(job.stepsPerEpoch === undefined ? {} : { stepsPerEpoch: job.stepsPerEpoch }),
    },
    exchange: {
      ...(job.gradientCodec ? { gradientCodec: job.gradientCodec } : {}),
      ...(job.consistency ? { consistency: job.consistency } : {}),
    },
    worker: { replicas: job.workers },
    parameterServer: { replicas: job.servers ?? 1, placement: job.placement ?? 'servers' },
    checkpoint: { everySteps: job.everySteps ?? 1000, keep: job.keep ?? 3 },
    maxRestarts: job.maxRestarts ?? 0,
  });
  const { resume = false, traceFile, testing, deadlines, placeOf, tls } = job;
  return new WatchedJob(
    await startLocalJob({
      name: 'faults',
      spec,
      directory,
      seed: 5,
      resume,
      ...(traceFile === undefined ? {} : { traceFile }),
      ...(testing ? { testing } : {}),
      ...(deadlines ? { deadlines } : {}),
      ...(placeOf ? { placeOf } : {}),
      ...(tls ? { tls } : {}),
    }),
  );
}

export function returnsIn(lines: readonly LogLine[]): LogLine[] {
  const signs = ['job goes on from memory', 'job goes on from a checkpoint'];
  return lines.filter(({ message }) => signs.includes(message));
}

/** A job with its log, and waits with deadlines on its progress. */
export class WatchedJob implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly #job: LocalJob;
  readonly #listeners = new Set<() => void>();

  constructor(job: LocalJob) {
    this.#job = job;
    job.onLog((line) => this.lines.push(line));
    job.onProgress(() => {
      for (const listener of this.#listeners) listener();
    });
  }

  get progress(): JobProgress {
    return this.#job.progress;
  }

  get finished(): Promise<JobResult> {
    return this.#job.finished;
  }

  stop(): Promise<void> {
    return this.#job.stop();
  }

  resize(workers: number): Promise<void> {
    return this.#job.resize(workers);
  }

  /** Resolves with true as soon as `holds`; with false when the job has ended before. */
  async until(holds: (progress: JobProgress) => boolean, seconds = 60): Promise<boolean> {
    const met = Promise.withResolvers<boolean>();
    const look = (): void => {
      if (holds(this.progress)) met.resolve(true);
    };
    this.#listeners.add(look);
    const timer = setTimeout(() => {
      const { phase, step, workers } = this.progress;
      const tail = this.lines.slice(-10).map(({ source, message }) => `${source}: ${message}`);
      met.reject(
        new Error(
          `nothing for ${seconds} s: ${JSON.stringify({ phase, step, workers })}\n${tail.join('\n')}`,
        ),
      );
    }, seconds * 1000);
    void this.finished.then(() => met.resolve(false));
    look();
    try {
      return await met.promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
    }
  }

  logged(message: string): LogLine[] {
    return this.lines.filter((line) => line.message === message);
  }

  /** What everybody went back to after servers had changed, oldest first. */
  returns(): LogLine[] {
    return returnsIn(this.lines);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#job[Symbol.asyncDispose]();
  }
}

export interface Outcome {
  readonly digest: string;
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Without times. */
  readonly history: readonly Partial<EpochRecord>[];
}

/** What a finished job left, for comparison. */
export async function outcomeOf(directory: string): Promise<Outcome> {
  const { tensors } = await readSafetensors(join(directory, 'weights.safetensors'));
  const digest = createHash('sha256');
  const weights = new Map<string, Float32Array>();
  for (const [name, { data }] of tensors) {
    digest.update(data);
    weights.set(name, new Float32Array(Uint8Array.from(data).buffer));
  }
  const history = JSON.parse(await readFile(join(directory, 'history.json'), 'utf8')) as EpochRecord[];
  return {
    digest: digest.digest('hex'),
    weights,
    history: history.map(({ seconds: _, samplesPerSecond: __, ...rest }) => rest),
  };
}

/** Runs to the end in a folder of its own; `disturb` may hurt it meanwhile. */
export async function run(
  job: TestJob,
  disturb: (job: WatchedJob) => Promise<void> = async () => {},
): Promise<Outcome & { lines: readonly LogLine[] }> {
  await using folder = await temporaryFolder();
  await using running = await startJob(job, folder.path);
  const [result] = await Promise.all([running.finished, disturb(running)]);
  assert.equal(result.phase, 'Succeeded', JSON.stringify(result.error));
  return { ...(await outcomeOf(folder.path)), lines: running.lines };
}
