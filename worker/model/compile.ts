// What `compile` decides: losses, metrics, optimizer and limits of a model, checked and with defaults.
import type { LossName, MetricName, OptimizerChoice, ScheduleChoice } from '../../crds/leptonjob.ts';
import { LOSSES, METRICS } from '../../crds/training.ts';
import type { LossSpec } from '../../native/graph.ts';
import { ModelError } from './errors.ts';
import { type Metric, resolveMetric } from './metrics.ts';
import type { Network } from './network.ts';
import {
  type Clip,
  type OptimizerInput,
  type optimizers,
  parseOptimizer,
  parseSchedule,
  type ScheduleInput,
} from './training.ts';

export interface LossOptions {
  readonly loss: LossName;
  readonly fromLogits?: boolean;
  readonly labelSmoothing?: number; // cross-entropies, 0 to 1
  readonly delta?: number; // huber
  readonly weight?: number; // of this output in the sum; default 1
}

export interface CompileOptions {
  readonly optimizer?: OptimizerInput | keyof typeof optimizers; // default rmsprop, as in Keras
  /** One for all outputs, or one per output. */
  readonly loss: LossName | LossOptions | readonly (LossName | LossOptions)[];
  readonly metrics?: readonly MetricName[];
  readonly schedule?: ScheduleInput;
  readonly clipNorm?: number;
  readonly clipValue?: number;
}

/** Plain data: model.json keeps it. */
export interface CompileConfig {
  readonly optimizer: OptimizerChoice;
  readonly losses: readonly LossOptions[];
  readonly metrics: readonly MetricName[];
  readonly schedule?: ScheduleChoice;
  readonly clip: Clip;
}

/** @throws ModelError TRAINING_INVALID naming the field. */
export function parseCompile(options: CompileOptions): CompileConfig {
  const losses = (Array.isArray(options.loss) ? options.loss : [options.loss]) as readonly (
    | LossName
    | LossOptions
  )[];
  const clip = { ...limit('norm', options.clipNorm), ...limit('value', options.clipValue) };
  return {
    optimizer: parseOptimizer(options.optimizer ?? 'rmsprop'),
    losses: losses.map((loss) => parseLoss(typeof loss === 'string' ? { loss } : loss)),
    metrics: (options.metrics ?? []).map((metric) => known(metric, METRICS, 'metric')),
    ...(options.schedule ? { schedule: parseSchedule(options.schedule) } : {}),
    clip,
  };
}

function known<T extends string>(name: T, names: readonly T[], what: string): T {
  if (names.includes(name)) return name;
  throw new ModelError('TRAINING_INVALID', `${what}: expected one of ${names.join(', ')}, got '${name}'`);
}

function limit(name: 'norm' | 'value', value: number | undefined): Clip {
  if (value === undefined) return {};
  if (!(value > 0))
    throw new ModelError('TRAINING_INVALID', `clip ${name}: expected a positive number, got ${value}`);
  return { [name]: value };
}

function parseLoss(options: LossOptions): LossOptions {
  known(options.loss, LOSSES, 'loss');
  const { labelSmoothing = 0, delta = 1 } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
    throw new ModelError('TRAINING_INVALID', `labelSmoothing: expected 0 to below 1, got ${labelSmoothing}`);
  }
  if (!(delta > 0))
    throw new ModelError('TRAINING_INVALID', `delta: expected a positive number, got ${delta}`);
  return options;
}

/** The losses as the engine takes them, one per output. @throws ModelError TRAINING_INVALID */
export function lossesOf({ losses }: CompileConfig, { graph }: Network): LossSpec[] {
  if (losses.length !== 1 && losses.length !== graph.outputs.length) {
    throw new ModelError(
      'TRAINING_INVALID',
      `loss: expected one, or one for each of the ${graph.outputs.length} outputs, got ${losses.length}`,
    );
  }
  return graph.outputs.map((output, i) => ({
    output,
    ...(losses[losses.length === 1 ? 0 : i] as LossOptions),
  }));
}

/** The metrics on every output. */
export function metricsOf(config: CompileConfig, network: Network): Metric[] {
  const losses = lossesOf(config, network);
  const several = network.graph.outputs.length > 1;
  return network.graph.outputs.flatMap((output, i) =>
    config.metrics.map((name) =>
      resolveMetric(
        name,
        (losses[i] as LossSpec).loss,
        network.outputShapes[i] ?? [],
        i,
        several ? output : '',
      ),
    ),
  );
}
