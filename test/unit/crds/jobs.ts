// A small valid manifest for tests, as an object to change and as text.
import { stringify } from 'yaml';
import type { LeptonJobInput } from '../../../crds/leptonjob.ts';

export function smallJob(): LeptonJobInput {
  return {
    apiVersion: 'lepton.ai/v1alpha1',
    kind: 'LeptonJob',
    metadata: { name: 'small' },
    spec: {
      model: { layers: [{ flatten: {} }, { dense: { units: 10, activation: 'softmax' } }] },
      data: { train: { format: 'idx', uri: 'file:///data/mnist' } },
      training: { loss: 'sparseCategoricalCrossentropy', optimizer: { sgd: {} } },
    },
  };
}

/** The job with the value at `path` (below spec) replaced; undefined removes it. */
export function changed(path: string, value: unknown): Record<string, unknown> {
  const job = structuredClone(smallJob()) as unknown as Record<string, unknown>;
  const keys = path.split('.');
  let at = job['spec'] as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Record<string, unknown>;
  }
  const last = keys.at(-1) as string;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return job;
}

export const text = (job: unknown): string => stringify(job);
