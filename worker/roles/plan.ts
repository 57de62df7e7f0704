// What the workers tell the servers about a job: everything a server needs of model and data, as plain data. No user code, and
// nothing that depends on how many workers there are.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type Consistency, consistencyOf, resolvedConsistencySchema } from '../../crds/leptonjob.ts';
import type { ArenaLayout, OptimizerSpec } from '../../native/engine.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Work } from '../protocol/pace.ts';
import type { GradientCodec } from './gradient-codec.ts';

export interface Plan extends Work {
  readonly layout: ArenaLayout;
  readonly consistency: Consistency;
  readonly optimizer: OptimizerSpec;
  readonly gradientCodec?: GradientCodec;
  readonly clip: { readonly norm?: number; readonly value?: number };
  /** Names of the sums of each share, the loss first. */
  readonly metrics: readonly string[];
  readonly evaluateSamples: number;
  /** model.json without the weights. */
  readonly model: unknown;
}

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const planSchema = z.object({
  layout: z.object({
    entries: z.array(
      z.object({
        name: z.string(),
        shape: z.array(count),
        trainable: z.boolean(),
        offset: count,
        length: count,
      }),
    ),
    trainableLength: count,
    length: count,
  }),
  // Those who know no other mode do not name it.
  consistency: resolvedConsistencySchema.default(consistencyOf({})),
  optimizer: z.looseObject({ optimizer: z.string() }),
  gradientCodec: z
    .object({
      codec: z.enum(['bfloat16', 'int8', 'oneBit', 'topK']),
      momentum: z.number().min(0).lt(1).optional(),
      ratio: z.number().gt(0).max(1).optional(),
      warmupSteps: count.optional(),
    })
    .optional(),
  clip: z.object({ norm: z.number().positive().optional(), value: z.number().positive().optional() }),
  metrics: z.array(z.string()).min(1),
  trainSamples: count,
  evaluateSamples: count,
  batchSize: count.min(1),
  epochs: count.min(1),
  stepsPerEpoch: count.min(1).optional(),
  batchesPerStep: count.min(1).optional(),
  model: z.unknown(),
});

/** Throws BAD_MESSAGE: plans come from peers. */
export function parsePlan(text: string): Plan {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new RuntimeError('BAD_MESSAGE', 'plan: expected JSON', { cause });
  }
  const checked = planSchema.safeParse(parsed);
  if (!checked.success)
    throw new RuntimeError('BAD_MESSAGE', `plan: ${z.prettifyError(checked.error).replaceAll('\n', ' ')}`);
  return checked.data as unknown as Plan;
}

/** Names all that the numbers of a run at a step follow from. */
export function identityOf(run: string, plan: string, workers: number): string {
  return JSON.stringify([run, digestOf(plan), workers]);
}

/** Undefined where it is the name of another run. */
export function workersIn(identity: string, run: string): number | undefined {
  const [own, , workers] = JSON.parse(identity) as [string, string, number];
  return own === run ? workers : undefined;
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
