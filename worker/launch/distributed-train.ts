// distributedTrain: a model and arrays of this process, trained by processes of this host. Hands over, waits, takes back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LeptonJobInput, leptonJobSpecSchema } from '../../crds/leptonjob.ts';
import { ModelError } from '../model/errors.ts';
import { type History, HistoryRecorder } from '../model/history.ts';
import type { Model } from '../model/model.ts';
import { loadModelFiles } from '../model/persist.ts';
import { ProgressPrinter, type Verbosity } from '../model/progress.ts';
import type { Tensor } from '../model/tensor.ts';
import type { EpochRecord, JobProgress } from '../protocol/progress.ts';
import { type HandedOver, handOver, PROGRAM_FILE } from './hand-over.ts';
import { startLocalJob } from './local-job.ts';

export interface DistributedTrainOptions {
  readonly numWorkers: number;
  readonly numParameterServers?: number; // default 1
  /** Samples per worker and step; a step takes batchSize * numWorkers. Default 32. */
  readonly batchSize?: number;
  readonly epochs?: number; // default 1
  readonly stepsPerEpoch?: number; // default: all samples once
  /** Share of the samples, drawn by seed, to validate on after every epoch. */
  readonly validationSplit?: number;
  readonly validationData?: readonly [Tensor | readonly Tensor[], Tensor | readonly Tensor[]];
  /** Order of the samples and dropout; default: the model's seed. */
  readonly seed?: number;
  readonly verbose?: Verbosity; // default auto
  readonly maxRestarts?: number; // default 3
  /** Keeps checkpoints, curves and the trained model here; default: a temporary folder, removed at the end. */
  readonly directory?: string;
  readonly onProgress?: (progress: JobProgress) => void;
}

/** Of whatever part of the job failed: data, model, engine or runtime. */
class JobError extends Error {
  override readonly name = 'JobError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(`distributedTrain: ${message}`);
    this.code = code;
  }
}

type Tensors = Tensor | readonly Tensor[];

const listOf = (value: Tensors): readonly Tensor[] => ('data' in value ? [value] : value);

/**
 * Starts parameter servers and workers as processes, trains, and leaves the trained weights in `model`, which must be
 * compiled. The result is that of one process with a `numWorkers` times larger batch. All processes have ended when
 * it returns or throws; where it throws, the model's weights are untouched.
 * @throws ModelError for a model or arrays that do not fit; JobError with the job's own code where the job fails.
 */
export async function distributedTrain(
  model: Model,
  x: Tensors,
  y: Tensors,
  options: DistributedTrainOptions,
): Promise<History> {
  const folder = await mkdtemp(join(tmpdir(), 'lepton-train-'));
  try {
    const { validationData, validationSplit } = options;
    const data: HandedOver = {
      x: listOf(x),
      y: listOf(y),
      ...(validationData
        ? { validation: { x: listOf(validationData[0]), y: listOf(validationData[1]) } }
        : {}),
      ...(validationSplit === undefined ? {} : { validationSplit }),
    };
    await handOver(folder, model, data);
    const directory = options.directory ?? join(folder, 'run');
    const history = await train(folder, directory, model, options);
    const { weights } = await loadModelFiles(directory);
    model.setWeights(weights);
    return history;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function train(
  folder: string,
  directory: string,
  model: Model,
  options: DistributedTrainOptions,
): Promise<History> {
  const spec = leptonJobSpecSchema.safeParse(specOf(folder, model, options));
  if (!spec.success) {
    const what = spec.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    throw new ModelError('TRAINING_INVALID', `distributedTrain: ${what}`);
  }
  const seed = options.seed ?? model.seed;
  await using job = await startLocalJob({ name: 'distributed-train', spec: spec.data, directory, seed });
  using view = new EpochPrinter(options.verbose ?? 'auto', spec.data.training.epochs);
  job.onProgress((progress) => {
    view.show(progress);
    options.onProgress?.(progress);
  });
  const { error, phase } = await job.finished;
  if (phase !== 'Succeeded')
    throw new JobError(error?.code ?? 'INTERNAL', error?.message ?? `the job ended as ${phase}`);
  return historyOf(job.progress.history);
}

function specOf(folder: string, model: Model, options: DistributedTrainOptions): LeptonJobInput['spec'] {
  const { optimizer, losses, metrics, schedule, clip } = model.compiled.config;
  const [{ loss, ...settings }, ...others] = losses as [(typeof losses)[number]];
  if (others.length > 0 || Object.keys(settings).length > 0) {
    throw new ModelError(
      'TRAINING_INVALID',
      'distributedTrain: expected one loss by its name, as a manifest has it, got several or one with settings',
    );
  }
  const { batchSize = 32, epochs = 1, stepsPerEpoch, numWorkers, numParameterServers = 1 } = options;
  return {
    model: { program: { module: join(folder, PROGRAM_FILE) } },
    training: {
      loss,
      optimizer,
      metrics: [...metrics],
      ...(schedule ? { schedule } : {}),
      ...(clip.norm === undefined ? {} : { clipNorm: clip.norm }),
      ...(clip.value === undefined ? {} : { clipValue: clip.value }),
      batchSize,
      epochs,
      ...(stepsPerEpoch === undefined ? {} : { stepsPerEpoch }),
      seed: options.seed ?? model.seed,
    },
    worker: { replicas: numWorkers },
    parameterServer: { replicas: numParameterServers },
    ...(options.maxRestarts === undefined ? {} : { maxRestarts: options.maxRestarts }),
  };
}

function logsOf({ train: learned, evaluate = {} }: EpochRecord): Record<string, number> {
  const measured = Object.entries(evaluate).map(([name, value]) => [`val_${name}`, value]);
  return { ...learned, ...Object.fromEntries(measured) };
}

function historyOf(records: readonly EpochRecord[]): History {
  const recorder = new HistoryRecorder();
  for (const record of records) recorder.add(record.epoch - 1, logsOf(record));
  return recorder;
}

/** The job's progress as `fit` would print it. */
class EpochPrinter implements Disposable {
  readonly #verbose: Verbosity;
  readonly #epochs: number;
  #printer: ProgressPrinter | undefined;
  #begun = 0;
  #ended = 0;

  constructor(verbose: Verbosity, epochs: number) {
    this.#verbose = verbose;
    this.#epochs = epochs;
  }

  show({ history, epoch, stepInEpoch, stepsPerEpoch, loss, metrics }: JobProgress): void {
    if (stepsPerEpoch === 0) return;
    this.#printer ??= new ProgressPrinter(this.#verbose, this.#epochs, stepsPerEpoch);
    for (const record of history.slice(this.#ended)) {
      this.#begin(record.epoch);
      this.#printer.endEpoch(logsOf(record));
      this.#ended++;
    }
    if (loss === undefined || epoch <= this.#ended) return;
    this.#begin(epoch);
    this.#printer.step(stepInEpoch, { loss, ...metrics });
  }

  #begin(epoch: number): void {
    if (epoch <= this.#begun) return;
    this.#begun = epoch;
    this.#printer?.beginEpoch(epoch - 1);
  }

  [Symbol.dispose](): void {
    this.#printer?.[Symbol.dispose]();
  }
}
