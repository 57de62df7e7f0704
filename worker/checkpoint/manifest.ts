// The file that makes a checkpoint: what belongs to it, with sizes and digests. A folder without it is not a checkpoint.
import { z } from 'zod';
import type { LedgerState } from '../protocol/ledger.ts';

const count = z.int().min(0);
const totals = z.object({ samples: count, sums: z.array(z.union([z.number(), z.null()])) });

const manifestSchema = z.object({
  format: z.literal('lepton/checkpoint'),
  version: z.literal(1),
  /** The run that wrote it; checkpoints of other runs may lie beside it. */
  run: z.string(),
  job: z.string(),
  step: count,
  createdAt: z.iso.datetime(),
  /** Of shuffling, initial values and dropout: all random numbers are functions of it and the step. */
  seed: z.int(),
  /** Digest of model, data and training: a checkpoint continues only the job that it is of. */
  layoutDigest: z.string(),
  arenaLength: count,
  /** What `step` and the ledger count in; it follows from the number of workers. */
  stepsPerEpoch: count.optional(),
  /** The data cursor: every sample below `step` is counted in it once. */
  ledger: z.object({
    step: count,
    train: totals,
    milliseconds: z.number(),
    history: z.array(
      z.object({
        epoch: count,
        step: count,
        milliseconds: z.number(),
        train: totals,
        evaluation: totals.optional(),
      }),
    ),
  }),
  files: z.array(
    z.object({
      name: z.string().regex(/^[a-z0-9.-]+$/),
      sizeBytes: count,
      sha256: z.string(),
      from: count,
      to: count,
    }),
  ),
});

export type Manifest = Omit<z.infer<typeof manifestSchema>, 'ledger'> & { readonly ledger: LedgerState };

export const MANIFEST = 'manifest.json';

export function encodeManifest(manifest: Manifest): Uint8Array {
  return Buffer.from(`${JSON.stringify(manifest, undefined, 1)}\n`);
}

/** Undefined when the bytes are not a whole manifest. */
export function decodeManifest(bytes: Uint8Array): Manifest | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    const checked = manifestSchema.safeParse(parsed);
    return checked.success ? (checked.data as unknown as Manifest) : undefined;
  } catch {
    return undefined;
  }
}
