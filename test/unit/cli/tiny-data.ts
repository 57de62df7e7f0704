// A tiny IDX data set and a job on it: enough to start a real run in a second or two.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LeptonJobInput } from '../../../crds/leptonjob.ts';

export const SAMPLES = 96;
export const CLASSES = 3;
const SIDE = 4;

/** Images whose brightness is their class: a net learns them in a few steps. */
export async function writeTinyIdx(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const labels = Uint8Array.from({ length: SAMPLES }, (_, i) => i % CLASSES);
  const images = Uint8Array.from(
    { length: SAMPLES * SIDE * SIDE },
    (_, i) => 100 * (labels[Math.floor(i / SIDE ** 2)] as number) + (i % 7),
  );
  for (const split of ['train', 't10k']) {
    await writeFile(join(folder, `${split}-images-idx3-ubyte`), idx([SAMPLES, SIDE, SIDE], images));
    await writeFile(join(folder, `${split}-labels-idx1-ubyte`), idx([SAMPLES], labels));
  }
}

/** The bytes of an IDX file of unsigned bytes. */
export function idx(sizes: readonly number[], values: Uint8Array): Buffer {
  const head = Buffer.alloc(4 + 4 * sizes.length);
  head.set([0, 0, 8, sizes.length]);
  for (const [i, size] of sizes.entries()) head.writeUInt32BE(size, 4 + 4 * i);
  return Buffer.concat([head, values]);
}

/** Two workers, `data/` beside the manifest. */
export function tinyJob(): LeptonJobInput {
  return {
    apiVersion: 'lepton.ai/v1alpha1',
    kind: 'LeptonJob',
    metadata: { name: 'tiny' },
    spec: {
      model: { layers: [{ flatten: {} }, { dense: { units: CLASSES, activation: 'softmax' } }] },
      data: {
        train: { format: 'idx', uri: 'data' },
        evaluate: { format: 'idx', uri: 'data', split: 'test' },
      },
      training: {
        loss: 'sparseCategoricalCrossentropy',
        optimizer: { adam: { learningRate: 0.05 } },
        metrics: ['accuracy'],
        batchSize: 8,
        epochs: 3,
      },
      worker: { replicas: 2 },
    },
  };
}
