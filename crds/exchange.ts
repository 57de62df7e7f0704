// How workers and parameter servers exchange gradients: what a step waits for, in how many bytes they travel.
import { z } from 'zod';
import { positive, rate, whole } from './fields.ts';
import { oneOf, onlyWith, withRules } from './rules.ts';

const bulkSynchronousSchema = z.strictObject({});

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
  localSteps: localStepsSchema,
};

/** Options are those of the mode. */
const consistencySchema = withRules(
  z.strictObject({
    mode: z
      .enum(['bulkSynchronous', 'localSteps'])
      .default('bulkSynchronous')
      .describe(
        'bulkSynchronous: every step waits for the gradients of all workers; localSteps: workers exchange after many steps of their own',
      ),
    bulkSynchronous: bulkSynchronousSchema.exactOptional().describe('Options of this mode'),
    localSteps: localStepsSchema.exactOptional().describe('Options of this mode'),
  }),
  ...Object.keys(MODES).map((mode) => onlyWith(mode, 'mode', [mode])),
);

type Options<M extends keyof typeof MODES> = { readonly mode: M } & z.output<(typeof MODES)[M]>;

/** A mode with its options, those left out by their defaults. */
export type Consistency = { [M in keyof typeof MODES]: Options<M> }[keyof typeof MODES];

/** As a user writes it. */
export type ConsistencyChoice = z.input<typeof consistencySchema>;

export function consistencyOf(choice: ConsistencyChoice): Consistency {
  const { mode, ...chosen } = consistencySchema.parse(choice);
  return { mode, ...MODES[mode].parse(chosen[mode] ?? {}) } as Consistency;
}

const warmupSteps = () => whole(0, 1_000_000_000);

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
        momentum: rate()
          .default(0)
          .describe(
            'Momentum that each worker applies before it chooses, in place of that of the optimizer, which is then sgd without momentum',
          ),
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
