// Training, evaluation and prediction in this process: batches in, engine steps, optimizer, logs out.
import { engine, type Optimizer } from '../../native/engine.ts';
import { fromArrays } from '../data/arrays.ts';
import type { Batch, Dataset } from '../data/dataset.ts';
import { epochOrder, stepsPerEpoch, workerSlice } from '../data/order.ts';
import { type BatchRequest, prefetch } from '../data/prefetch.ts';
import { splitDataset } from '../data/views.ts';
import type { Callback, Logs, Training } from './callbacks.ts';
import { globalNormFactor } from './clip.ts';
import { ModelError } from './errors.ts';
import { type History, HistoryRecorder } from './history.ts';
import { Means } from './means.ts';
import type { Model } from './model.ts';
import { ProgressPrinter, type Verbosity } from './progress.ts';
import type { Tensor } from './tensor.ts';
import { resolveOptimizer, scheduleFactor } from './training.ts';

export interface FitOptions {
  readonly batchSize?: number; // default 32
  readonly epochs?: number; // default 1
  readonly initialEpoch?: number; // default 0
  readonly stepsPerEpoch?: number; // default: all samples once
  readonly shuffle?: boolean; // default true
  /** Share of the samples, drawn by seed, to validate on. */
  readonly validationSplit?: number;
  readonly validationData?: Dataset | readonly [Tensor | readonly Tensor[], Tensor | readonly Tensor[]];
  readonly callbacks?: readonly Callback[];
  /** Default auto. */
  readonly verbose?: Verbosity;
  /** Order of the samples; default: the model's seed. */
  readonly seed?: number;
}

/** Batches that are decoded while the engine computes. */
const PREFETCH_DEPTH = 2;

type Source = Tensor | readonly Tensor[] | Dataset;

function isDataset(source: Source): source is Dataset {
  return 'read' in source;
}

const tensorsOf = (value: Tensor | readonly Tensor[] | undefined): readonly Tensor[] =>
  value === undefined ? [] : 'data' in value ? [value] : value;

/** One view of all kinds of data. */
function datasetOf(x: Source, y: Tensor | readonly Tensor[] | undefined): Dataset {
  return isDataset(x) ? x : fromArrays(tensorsOf(x), tensorsOf(y));
}

export async function fitModel(
  model: Model,
  x: Source,
  y: Tensor | readonly Tensor[] | undefined,
  options: FitOptions,
): Promise<History> {
  const { train, validation } = prepare(model, x, y, options);
  return new Fitting(model, train, validation, options).run();
}

function prepare(model: Model, x: Source, y: Tensor | readonly Tensor[] | undefined, options: FitOptions) {
  const { validationData, validationSplit = 0 } = options;
  let train = datasetOf(x, y);
  let validation: Dataset | undefined;
  if (validationData)
    validation = Array.isArray(validationData)
      ? datasetOf(validationData[0], validationData[1])
      : (validationData as Dataset);
  else if (validationSplit > 0)
    [train, validation] = splitDataset(train, validationSplit, options.seed ?? model.seed);
  model.build(train.inputs);
  return { train, validation };
}

/** One call of fit. */
class Fitting {
  readonly #model: Model;
  readonly #train: Dataset;
  readonly #validation: Dataset | undefined;
  readonly #options: FitOptions;
  readonly #batchSize: number;
  readonly #steps: number;
  readonly #callbacks: readonly Callback[];
  readonly #optimizer: Optimizer;
  readonly #factor: (step: number) => number;
  #stopped = false;
  #step: number;

  constructor(model: Model, train: Dataset, validation: Dataset | undefined, options: FitOptions) {
    const { batchSize = 32, epochs = 1, initialEpoch = 0 } = options;
    checkCount('batchSize', batchSize);
    checkCount('epochs', epochs);
    this.#model = model;
    this.#train = train;
    this.#validation = validation;
    this.#options = options;
    this.#batchSize = batchSize;
    this.#callbacks = options.callbacks ?? [];
    this.#steps = options.stepsPerEpoch ?? stepsPerEpoch(train.length, batchSize, 1);
    this.#step = initialEpoch * this.#steps;
    const { config } = model.compiled;
    this.#optimizer = engine.createOptimizer(
      resolveOptimizer(config.optimizer).optimizer,
      model.layout.trainableLength,
    );
    this.#factor = scheduleFactor(config.schedule, epochs * this.#steps);
  }

  async run(): Promise<History> {
    const { epochs = 1, initialEpoch = 0 } = this.#options;
    const recorder = new HistoryRecorder();
    const training: Training = { model: this.#model, stop: () => (this.#stopped = true) };
    using printer = new ProgressPrinter(this.#options.verbose ?? 'auto', epochs, this.#steps);
    await this.#call((callback) => callback.onTrainBegin?.(training));
    let logs: Logs = {};
    for (let epoch = initialEpoch; epoch < epochs && !this.#stopped; epoch++) {
      printer.beginEpoch(epoch);
      await this.#call((callback) => callback.onEpochBegin?.(epoch));
      logs = await this.#epoch(epoch, printer);
      recorder.add(epoch, logs);
      printer.endEpoch(logs);
      await this.#call((callback) => callback.onEpochEnd?.(epoch, logs));
    }
    await this.#call((callback) => callback.onTrainEnd?.(logs));
    return recorder;
  }

  async #call(method: (callback: Callback) => void | Promise<void> | undefined): Promise<void> {
    for (const callback of this.#callbacks) await method(callback);
  }

  async #epoch(epoch: number, printer: ProgressPrinter): Promise<Logs> {
    const means = new Means(['loss', ...this.#model.compiled.metrics.map(({ name }) => name)]);
    let i = 0;
    for await (const batch of prefetch(this.#train, this.#requests(epoch), PREFETCH_DEPTH)) {
      await this.#call((callback) => callback.onBatchBegin?.(i));
      means.add(await this.#trainStep(batch), batch.size);
      const logs = means.values();
      printer.step(i + 1, logs);
      await this.#call((callback) => callback.onBatchEnd?.(i, logs));
      i++;
      if (this.#stopped) break;
    }
    return { ...means.values(), ...(await this.#validate()) };
  }

  /** The samples of each step of an epoch; an epoch with more steps than the data has starts over in a new order. */
  *#requests(epoch: number): Generator<BatchRequest> {
    const { shuffle = true, seed = this.#model.seed } = this.#options;
    const perPass = stepsPerEpoch(this.#train.length, this.#batchSize, 1);
    const first = epoch * this.#steps;
    let pass = -1;
    let order: Uint32Array = new Uint32Array(0);
    for (let step = first; step < first + this.#steps; step++) {
      if (Math.floor(step / perPass) !== pass) {
        pass = Math.floor(step / perPass);
        order = epochOrder(this.#train.length, seed, pass, shuffle);
      }
      yield { indices: workerSlice(order, step % perPass, this.#batchSize, 0, 1), epoch };
    }
  }

  /** One step of engine and optimizer. Returns sums over the batch's samples: loss, then the metrics. */
  async #trainStep(batch: Batch): Promise<number[]> {
    const { session, compiled, learningRate } = this.#model;
    const { loss, outputs } = await session.trainStep(batch.inputs, batch.targets, {
      batchSize: batch.size,
      step: this.#step,
    });
    const sums = [
      loss * batch.size,
      ...compiled.metrics.map(({ total }) => total(outputs as Float32Array[], batch.targets, batch.size)),
    ];
    const parameters = session.parameters as Float32Array;
    const gradients = session.gradients as Float32Array;
    const { trainableLength, length } = session.layout;
    const { norm, value } = compiled.config.clip;
    this.#optimizer.update(parameters, gradients, 0, trainableLength, {
      learningRate: learningRate * this.#factor(this.#step),
      iteration: this.#step + 1,
      ...(norm === undefined ? {} : { scale: globalNormFactor(gradients, trainableLength, norm) }),
      ...(value === undefined ? {} : { clipValue: value }),
    });
    parameters.set(gradients.subarray(trainableLength, length), trainableLength); // the new state
    this.#step++;
    return sums;
  }

  async #validate(): Promise<Logs> {
    if (!this.#validation) return {};
    const values = await evaluateModel(this.#model, this.#validation, undefined, {
      batchSize: this.#batchSize,
    });
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [`val_${name}`, value]));
  }
}

function checkCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new ModelError('TRAINING_INVALID', `${name}: expected a positive whole number, got ${value}`);
  }
}

/** Every sample once, in order, in batches of at most `batchSize`. */
async function* batchesOf(dataset: Dataset, batchSize: number): AsyncGenerator<Batch> {
  for (let from = 0; from < dataset.length; from += batchSize) {
    const size = Math.min(batchSize, dataset.length - from);
    yield await dataset.read(
      Uint32Array.from({ length: size }, (_, i) => from + i),
      0,
    );
  }
}

export async function evaluateModel(
  model: Model,
  x: Source,
  y: Tensor | readonly Tensor[] | undefined,
  { batchSize = 32 }: { batchSize?: number },
): Promise<Record<string, number>> {
  const dataset = datasetOf(x, y);
  model.build(dataset.inputs);
  const { metrics } = model.compiled;
  const means = new Means(['loss', ...metrics.map(({ name }) => name)]);
  for await (const batch of batchesOf(dataset.plain ?? dataset, batchSize)) {
    const { loss, outputs } = await model.session.evaluateStep(batch.inputs, batch.targets, {
      batchSize: batch.size,
    });
    means.add(
      [
        loss * batch.size,
        ...metrics.map(({ total }) => total(outputs as Float32Array[], batch.targets, batch.size)),
      ],
      batch.size,
    );
  }
  return means.values();
}

export async function predictModel(
  model: Model,
  x: Source,
  { batchSize = 32 }: { batchSize?: number },
): Promise<Tensor | Tensor[]> {
  const dataset = datasetOf(x, undefined);
  model.build(dataset.inputs);
  const shapes = model.network.outputShapes;
  const results = shapes.map((shape) => {
    const width = shape.reduce((product, size) => product * size, 1);
    return { data: new Float32Array(dataset.length * width), shape: [dataset.length, ...shape], width };
  });
  let done = 0;
  for await (const batch of batchesOf(dataset.plain ?? dataset, batchSize)) {
    const { outputs } = await model.session.predictStep(batch.inputs, { batchSize: batch.size });
    for (const [i, { data, width }] of results.entries()) data.set(outputs[i] as Float32Array, done * width);
    done += batch.size;
  }
  const tensors = results.map(({ data, shape }) => ({ data, shape }));
  return tensors.length === 1 ? (tensors[0] as Tensor) : tensors;
}
