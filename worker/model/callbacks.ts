// What may look on or step in while a model trains, by Keras' names, options and defaults.
import { appendFile, writeFile } from 'node:fs/promises';
import { EventWriter } from '../formats/tensorboard.ts';
import type { Model } from './model.ts';

export type Logs = Readonly<Record<string, number>>;

/** What a callback may ask of the training it watches. */
export interface Training {
  readonly model: Model;
  /** Ends training after this epoch (or batch, from onBatchEnd). */
  stop(): void;
}

/** Every method may be left out and may be async. Epochs and batches count from 0. */
export interface Callback {
  onTrainBegin?(training: Training): void | Promise<void>;
  onTrainEnd?(logs: Logs): void | Promise<void>;
  onEpochBegin?(epoch: number): void | Promise<void>;
  onEpochEnd?(epoch: number, logs: Logs): void | Promise<void>;
  onBatchBegin?(batch: number): void | Promise<void>;
  onBatchEnd?(batch: number, logs: Logs): void | Promise<void>;
}

type Mode = 'auto' | 'min' | 'max';

/** Whether a value is better than the best so far; `auto` takes accuracies up and everything else down. */
function comparison(monitor: string, mode: Mode, minDelta: number): (value: number, best: number) => boolean {
  const up = mode === 'max' || (mode === 'auto' && /acc(uracy)?$|auc$/i.test(monitor));
  return up ? (value, best) => value > best + minDelta : (value, best) => value < best - minDelta;
}

const worst = (isBetter: (value: number, best: number) => boolean): number =>
  isBetter(0, -Infinity) ? -Infinity : Infinity;

function monitored(logs: Logs, monitor: string, who: string): number {
  const value = logs[monitor];
  if (value === undefined)
    throw new RangeError(
      `${who}: monitor: expected one of ${Object.keys(logs).join(', ')}, got '${monitor}'`,
    );
  return value;
}

export interface EarlyStoppingOptions {
  readonly monitor?: string;
  readonly minDelta?: number;
  readonly patience?: number;
  readonly mode?: Mode;
  readonly baseline?: number;
  readonly restoreBestWeights?: boolean;
  readonly startFromEpoch?: number;
}

/** Stops when a value has not got better for `patience` epochs. */
export function earlyStopping(
  options: EarlyStoppingOptions = {},
): Callback & { readonly stoppedEpoch: number } {
  const {
    monitor = 'val_loss',
    minDelta = 0,
    patience = 0,
    mode = 'auto',
    restoreBestWeights = false,
    startFromEpoch = 0,
  } = options;
  const isBetter = comparison(monitor, mode, Math.abs(minDelta));
  let training: Training;
  let best: number;
  let wait: number;
  let weights: Float32Array | undefined;
  return {
    stoppedEpoch: 0,
    onTrainBegin(begun) {
      training = begun;
      best = options.baseline ?? worst(isBetter);
      wait = 0;
      weights = undefined;
    },
    onEpochEnd(epoch, logs) {
      const value = monitored(logs, monitor, 'earlyStopping');
      if (epoch < startFromEpoch) return;
      if (isBetter(value, best)) {
        best = value;
        wait = 0;
        if (restoreBestWeights) weights = training.model.parameters().slice();
        return;
      }
      wait++;
      if (wait < patience || epoch === 0) return;
      (this as { stoppedEpoch: number }).stoppedEpoch = epoch;
      training.stop();
    },
    onTrainEnd() {
      if (weights) training.model.parameters().set(weights);
    },
  };
}

/** Saves the model after every epoch (or when it got better) into a folder; `{epoch}` in the name is the epoch from 1. */
export function modelCheckpoint(options: {
  readonly folder: string;
  readonly monitor?: string;
  readonly mode?: Mode;
  readonly saveBestOnly?: boolean;
}): Callback {
  const { folder, monitor = 'val_loss', mode = 'auto', saveBestOnly = false } = options;
  const isBetter = comparison(monitor, mode, 0);
  let best = worst(isBetter);
  let training: Training;
  return {
    onTrainBegin(begun) {
      training = begun;
    },
    async onEpochEnd(epoch, logs) {
      if (saveBestOnly) {
        const value = monitored(logs, monitor, 'modelCheckpoint');
        if (!isBetter(value, best)) return;
        best = value;
      }
      await training.model.save(folder.replaceAll('{epoch}', String(epoch + 1)));
    },
  };
}

/** Multiplies the learning rate by `factor` when a value has not got better for `patience` epochs. */
export function reduceLROnPlateau(
  options: {
    readonly monitor?: string;
    readonly factor?: number;
    readonly patience?: number;
    readonly mode?: Mode;
    readonly minDelta?: number;
    readonly cooldown?: number;
    readonly minLearningRate?: number;
  } = {},
): Callback {
  const {
    monitor = 'val_loss',
    factor = 0.1,
    patience = 10,
    mode = 'auto',
    minDelta = 1e-4,
    cooldown = 0,
    minLearningRate = 0,
  } = options;
  const isBetter = comparison(monitor, mode, minDelta);
  let training: Training;
  let best = worst(isBetter);
  let wait = 0;
  let rest = 0;
  return {
    onTrainBegin(begun) {
      training = begun;
    },
    onEpochEnd(_epoch, logs) {
      const value = monitored(logs, monitor, 'reduceLROnPlateau');
      if (rest > 0) {
        rest--;
        wait = 0;
      }
      if (isBetter(value, best)) {
        best = value;
        wait = 0;
      } else if (rest === 0 && ++wait >= patience) {
        training.model.learningRate = Math.max(training.model.learningRate * factor, minLearningRate);
        rest = cooldown;
        wait = 0;
      }
    },
  };
}

/** Writes every value of every epoch as a TensorBoard scalar: `epoch_loss`, as Keras names them, in train and validation. */
export function tensorBoard(options: { readonly folder?: string } = {}): Callback {
  const { folder = 'logs' } = options;
  let train: EventWriter;
  let validation: EventWriter | undefined;
  return {
    onTrainBegin() {
      train = new EventWriter(`${folder}/train`);
    },
    onEpochEnd(epoch, logs) {
      for (const [name, value] of Object.entries(logs)) {
        if (name.startsWith('val_')) {
          validation ??= new EventWriter(`${folder}/validation`);
          validation.scalar(`epoch_${name.slice(4)}`, value, epoch);
        } else train.scalar(`epoch_${name}`, value, epoch);
      }
    },
  };
}

/** Writes one line of values per epoch. */
export function csvLogger(options: {
  readonly path: string;
  readonly separator?: string;
  readonly append?: boolean;
}): Callback {
  const { path, separator = ',', append = false } = options;
  let names: readonly string[] | undefined;
  return {
    async onEpochEnd(epoch, logs) {
      if (!names) {
        names = Object.keys(logs).sort();
        if (!append) await writeFile(path, `${['epoch', ...names].join(separator)}\n`);
      }
      await appendFile(path, `${[epoch, ...names.map((name) => logs[name])].join(separator)}\n`);
    },
  };
}

/** Stops at the first batch whose loss is not a finite number, instead of failing. */
export function terminateOnNaN(): Callback {
  let training: Training;
  return {
    onTrainBegin(begun) {
      training = begun;
    },
    onBatchEnd(_batch, logs) {
      if (!Number.isFinite(logs['loss'])) training.stop();
    },
  };
}

export const callbacks = {
  earlyStopping,
  modelCheckpoint,
  reduceLROnPlateau,
  tensorBoard,
  csvLogger,
  terminateOnNaN,
} as const;
