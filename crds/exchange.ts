// How workers and parameter servers exchange gradients: what a step waits for, in how many bytes they travel.
import { z } from 'zod';
import { positive, rate, whole } from './fields.ts';
import { oneOf, onlyWith, withRules } from './rules.ts';

const bulkSynchronousSchema = z.strictObject({
  backupWorkers: whole(0, 1023)
    .default(0)
    .describe(
      'So many workers of each step are not waited for: the slowest ones, whose samples of that step are left out',
    ),
});

const staleSynchronousSchema = z.strictObject({
  bound: whole(0, 10_000)
    .default(8)
    .describe('Steps by which a worker may be ahead of the oldest batch of a step that is not done yet'),
});

const asynchronousSchema = z.strictObject({
  stalenessAware: z
    .boolean()
    .default(false)
    .describe(
      'Whether the learning rate of a gradient is divided by how many others were applied since its parameters were read; otherwise by the number of workers',
    ),
});

const localStepsSchema = z.strictObject({
  steps: whole(1, 100_000)
    .default(50)
    .describe('Batches of each worker, with its own copy of the parameters, between two exchanges'),
  balance: z
    .boolean()
    .default(true)
    .describe('Whether workers that are faster than others take more of the batches'),
  outerOptimizer: z
    .strictObject({
      learningRate: positive().default(0.7).describe('1 with momentum 0: parameters are averaged'),
      momentum: rate().default(0.9).describe('Share of the last move that is made again'),
      nesterov: z.boolean().default(true).describe('Whether the momentum looks ahead'),
    })
    .prefault({})
    .describe('What servers apply to the mean of the moves: gradient descent with momentum'),
});

const MODES = {
  bulkSynchronous: bulkSynchronousSchema,
  staleSynchronous: staleSynchronousSchema,
  asynchronous: asynchronousSchema,
  localSteps: localStepsSchema,
};

/** Options are those of the mode. */
const consistencySchema = withRules(
  z.strictObject({
    mode: z
      .enum(['bulkSynchronous', 'staleSynchronous', 'asynchronous', 'localSteps'])
      .default('bulkSynchronous')
      .describe(
        'bulkSynchronous: every step waits for the gradients of all workers; staleSynchronous: for those of some steps before; asynchronous: for nobody; localSteps: workers exchange after many steps of their own',
      ),
    bulkSynchronous: bulkSynchronousSchema.exactOptional().describe('Options of this mode'),
    staleSynchronous: staleSynchronousSchema.exactOptional().describe('Options of this mode'),
    asynchronous: asynchronousSchema.exactOptional().describe('Options of this mode'),
    localSteps: localStepsSchema.exactOptional().describe('Options of this mode'),
  }),
  ...Object.keys(MODES).map((mode) => onlyWith(mode, 'mode', [mode])),
);

/** A mode with its options, those left out by their defaults. */
export const resolvedConsistencySchema = z.discriminatedUnion('mode', [
  bulkSynchronousSchema.extend({ mode: z.literal('bulkSynchronous') }),
  staleSynchronousSchema.extend({ mode: z.literal('staleSynchronous') }),
  asynchronousSchema.extend({ mode: z.literal('asynchronous') }),
  localStepsSchema.extend({ mode: z.literal('localSteps') }),
]);
export type Consistency = z.output<typeof resolvedConsistencySchema>;

/** As a user writes it. */
export type ConsistencyChoice = z.input<typeof consistencySchema>;

/** Batches are leased to workers one by one, and each has parameters of its own. */
export function isLeased({ mode }: Consistency): boolean {
  return mode === 'staleSynchronous' || mode === 'asynchronous';
}

export function hasBackup(consistency: Consistency): boolean {
  return consistency.mode === 'bulkSynchronous' && consistency.backupWorkers > 0;
}

export function consistencyOf(choice: ConsistencyChoice): Consistency {
  const { mode, ...chosen } = consistencySchema.parse(choice);
  return resolvedConsistencySchema.parse({ mode, ...chosen[mode] });
}

const warmupSteps = () => whole(0, 1_000_000_000);

const velocity = () =>
  rate()
    .default(0)
    .describe(
      'Momentum that each worker applies before the codec, in place of the first moment of the optimizer, which is then sgd or rmsprop of momentum 0, or adam or adamW of beta1 0',
    );

const gradientCodecSchema = oneOf(
  {
    bfloat16: z.strictObject({}).exactOptional().describe('Half the bytes: the upper half of each number'),
    int8: z
      .strictObject({})
      .exactOptional()
      .describe('A quarter of the bytes: 8 bits for each number, a scale for every 256'),
    oneBit: z
      .strictObject({
        warmupSteps: warmupSteps()
          .default(100)
          .describe('Steps at the beginning in which gradients travel as they are'),
        momentum: velocity(),
      })
      .exactOptional()
      .describe('A 31st of the bytes: the sign of each number, their mean size for every 1,024'),
    topK: z
      .strictObject({
        ratio: z
          .number()
          .gte(0.0001)
          .lte(0.25)
          .default(0.01)
          .describe('Share of the numbers that is sent: the largest ones'),
        warmupSteps: warmupSteps()
          .default(100)
          .describe('Steps at the beginning in which the share falls from 0.25 to ratio'),
        momentum: velocity(),
      })
      .exactOptional()
      .describe('A 66th of the bytes at a ratio of 0.01: the largest numbers and where they belong'),
  },
  'In how few bytes gradients and new parameters travel between hosts: one key, its kind, with its options; default: as they are. What a codec leaves out is sent with a later step. Not used within a host that shares memory',
);

export const exchangeSchema = z
  .strictObject({
    consistency: consistencySchema.prefault({}).describe('What a step waits for'),
    gradientCodec: gradientCodecSchema.exactOptional(),
  })
  .prefault({})
  .describe('How workers exchange gradients');

export type GradientCodecChoice = z.output<typeof gradientCodecSchema>;
