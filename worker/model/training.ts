// Training settings as numbers and functions: optimizer, learning rate by step, clipping. Pure; the same for fit and for servers.
import type { z } from 'zod';
import { type OptimizerChoice, onlyEntry, type ScheduleChoice } from '../../crds/leptonjob.ts';
import { optimizerSchema, scheduleSchema } from '../../crds/training.ts';
import type { OptimizerSpec } from '../../native/engine.ts';
import { ModelError } from './errors.ts';

export type OptimizerInput = z.input<typeof optimizerSchema>;
export type ScheduleInput = z.input<typeof scheduleSchema>;

/** Limits on gradients, applied before the optimizer, after the mean over workers: the norm first, then the values. */
export interface Clip {
  /** Largest norm of the whole gradient over all parameters (global_clipnorm in Keras). */
  readonly norm?: number;
  readonly value?: number;
}

export interface ResolvedOptimizer {
  readonly optimizer: OptimizerSpec;
  readonly learningRate: number;
}

type Options<K extends keyof OptimizerInput> = Partial<NonNullable<OptimizerInput[K]>>;

/** Optimizers by Keras' names and defaults: `optimizers.adam({learningRate: 0.001})`. */
export const optimizers = {
  sgd: (options: Options<'sgd'> = {}): OptimizerInput => ({ sgd: options }),
  adam: (options: Options<'adam'> = {}): OptimizerInput => ({ adam: options }),
  adamW: (options: Options<'adamW'> = {}): OptimizerInput => ({ adamW: options }),
  rmsprop: (options: Options<'rmsprop'> = {}): OptimizerInput => ({ rmsprop: options }),
} as const;

/** Fills in defaults. A name alone stands for its defaults. @throws ModelError TRAINING_INVALID */
export function parseOptimizer(choice: OptimizerInput | keyof typeof optimizers): OptimizerChoice {
  const parsed = optimizerSchema.safeParse(typeof choice === 'string' ? { [choice]: {} } : choice);
  if (parsed.success) return parsed.data;
  throw new ModelError('TRAINING_INVALID', `optimizer: ${firstIssue(parsed.error)}`);
}

/** @throws ModelError TRAINING_INVALID */
export function parseSchedule(choice: ScheduleInput): ScheduleChoice {
  const parsed = scheduleSchema.safeParse(choice);
  if (parsed.success) return parsed.data;
  throw new ModelError('TRAINING_INVALID', `schedule: ${firstIssue(parsed.error)}`);
}

function firstIssue({ issues }: z.ZodError): string {
  const [issue] = issues;
  return issue ? [issue.path.join('.'), issue.message].filter((part) => part !== '').join(': ') : 'invalid';
}

/** The engine's form of an optimizer, and the learning rate beside it. */
export function resolveOptimizer(choice: OptimizerChoice): ResolvedOptimizer {
  const [optimizer, { learningRate, ...rest }] = onlyEntry(choice);
  return { optimizer: { optimizer, ...rest } as OptimizerSpec, learningRate };
}

/**
 * The factor on the learning rate at a global step, counted from 0.
 * step: factor ^ floor(step / everySteps). cosine: alpha + (1 - alpha) (1 + cos(pi t)) / 2, t from the end of the warm-up
 * to 1 at `decaySteps` (Loshchilov and Hutter 2017; keras CosineDecay). Warm-up: (step + 1) / warmupSteps, so the first step already moves.
 */
export function scheduleFactor(
  schedule: ScheduleChoice | undefined,
  totalSteps: number,
): (step: number) => number {
  if (!schedule) return () => 1;
  const [kind, options] = onlyEntry(schedule);
  switch (kind) {
    case 'constant':
      return () => 1;
    case 'step':
      return (step) => options.factor ** Math.floor(step / options.everySteps);
    case 'linearWarmup':
      return (step) => Math.min(1, (step + 1) / options.warmupSteps);
    case 'cosine': {
      const { alpha, warmupSteps, decaySteps = Math.max(1, totalSteps - warmupSteps) } = options;
      return (step) => {
        if (step < warmupSteps) return (step + 1) / warmupSteps;
        const t = Math.min(1, (step - warmupSteps) / decaySteps);
        return alpha + ((1 - alpha) * (1 + Math.cos(Math.PI * t))) / 2;
      };
    }
  }
}
