// How a model is trained: loss, optimizer, schedule, metrics. Formulas are worker/model's and the engine's business.
import { z } from 'zod';
import { fraction, positive, rate, whole } from './fields.ts';
import { oneOf } from './rules.ts';

export const LOSSES = [
  'categoricalCrossentropy',
  'sparseCategoricalCrossentropy',
  'binaryCrossentropy',
  'meanSquaredError',
  'meanAbsoluteError',
  'huber',
] as const;

export const METRICS = [
  'accuracy',
  'binaryAccuracy',
  'categoricalAccuracy',
  'sparseCategoricalAccuracy',
  'topKCategoricalAccuracy',
  'meanSquaredError',
  'meanAbsoluteError',
] as const;

const learningRate = (value: number) => positive().default(value).describe('Length of a step');
const epsilon = () => positive().default(1e-7).describe('Added to the root of the second moment');
const moments = {
  beta1: rate().default(0.9).describe('Decay of the first moment'),
  beta2: rate().default(0.999).describe('Decay of the second moment'),
  epsilon: epsilon(),
};
const steps = () => whole(1, 1_000_000_000);

export const optimizerSchema = oneOf(
  {
    sgd: z
      .strictObject({
        learningRate: learningRate(0.01),
        momentum: rate().default(0).describe('Share of the last step that is taken again'),
        nesterov: z.boolean().default(false).describe("Whether to use Nesterov's momentum"),
      })
      .exactOptional()
      .describe('Stochastic gradient descent'),
    adam: z
      .strictObject({ learningRate: learningRate(0.001), ...moments })
      .exactOptional()
      .describe('Adam'),
    adamW: z
      .strictObject({
        learningRate: learningRate(0.001),
        weightDecay: z
          .number()
          .min(0)
          .max(1)
          .default(0.004)
          .describe('Decay of every parameter, apart from the gradient'),
        ...moments,
      })
      .exactOptional()
      .describe('Adam with decoupled weight decay'),
    rmsprop: z
      .strictObject({
        learningRate: learningRate(0.001),
        rho: rate().default(0.9).describe('Decay of the mean square'),
        momentum: rate().default(0).describe('Share of the last step that is taken again'),
        epsilon: epsilon(),
      })
      .exactOptional()
      .describe('RMSprop'),
  },
  'How gradients become steps: one key, its kind, with its options. Runs on the parameter servers',
);

export const scheduleSchema = oneOf(
  {
    constant: z.strictObject({}).exactOptional().describe('The same learning rate throughout'),
    step: z
      .strictObject({
        everySteps: steps().describe('Global steps between two changes'),
        factor: positive().max(1).default(0.1).describe('Factor at each change'),
      })
      .exactOptional()
      .describe('learningRate * factor ^ floor(step / everySteps)'),
    cosine: z
      .strictObject({
        decaySteps: steps()
          .exactOptional()
          .describe('Global steps of the decay; default: all steps of the run'),
        alpha: fraction().default(0).describe('Share of the learning rate that is left at the end'),
        warmupSteps: whole(0, 1_000_000_000)
          .default(0)
          .describe('Steps of linear growth from 0 before the decay'),
      })
      .exactOptional()
      .describe('Half a cosine from the learning rate down to alpha times it'),
    linearWarmup: z
      .strictObject({ warmupSteps: steps().describe('Steps from 0 to the full learning rate') })
      .exactOptional()
      .describe('Grows linearly from 0, then stays'),
  },
  'How the learning rate changes over global steps: one key, its kind, with its options',
);

export const trainingSchema = z
  .strictObject({
    loss: z.enum(LOSSES).describe('What is made small. Cross-entropies take probabilities'),
    optimizer: optimizerSchema,
    schedule: scheduleSchema.exactOptional(),
    clipNorm: positive()
      .exactOptional()
      .describe('Largest norm of the whole gradient; a larger one is scaled down'),
    clipValue: positive().exactOptional().describe('Largest absolute value of each entry of the gradient'),
    metrics: z
      .array(z.enum(METRICS))
      .max(METRICS.length)
      .default([])
      .describe('What is measured beside the loss, in training and evaluation'),
    batchSize: whole(1, 1_048_576)
      .default(32)
      .describe('Samples per worker and step; a step takes batchSize * worker.replicas'),
    epochs: whole(1, 1_000_000).default(1).describe('How often all samples are seen'),
    stepsPerEpoch: steps()
      .exactOptional()
      .describe('Ends each epoch after this many steps; default: all samples once'),
    seed: whole(0, 4_294_967_295)
      .default(0)
      .describe(
        'Decides first weights, order of samples, augmentation and dropout: the same seed gives the same run',
      ),
  })
  .describe('How the model is trained');

export type OptimizerChoice = z.output<typeof optimizerSchema>;
export type ScheduleChoice = z.output<typeof scheduleSchema>;
export type TrainingSpec = z.output<typeof trainingSchema>;
export type LossName = (typeof LOSSES)[number];
export type MetricName = (typeof METRICS)[number];
