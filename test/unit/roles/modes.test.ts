// Whole jobs in every consistency mode, over real gRPC in one process: they end, count every sample once, and learn.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConsistencyChoice } from '../../../crds/leptonjob.ts';
import { readSafetensors } from '../../../worker/formats/safetensors.ts';
import { runSmallJob, type SmallJob, temporaryFolder } from './small-job.ts';

const TIMEOUT = { timeout: 60_000 };
const JOB = { workers: 2, servers: 2, batchSize: 4, epochs: 2 };

interface Outcome {
  readonly kernel: Float32Array;
  readonly history: readonly {
    samples: number;
    train: { loss: number };
    evaluate: { loss: number };
  }[];
}

async function outcomeOf(job: Partial<SmallJob>): Promise<Outcome> {
  await using folder = await temporaryFolder();
  await runSmallJob({ ...JOB, directory: folder.path, ...job });
  const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
  return {
    kernel: new Float32Array(Uint8Array.from(tensors.get('kernel')!.data).buffer),
    history: JSON.parse(await readFile(join(folder.path, 'history.json'), 'utf8')),
  };
}

function localSteps(options: object): ConsistencyChoice {
  return { mode: 'localSteps', localSteps: { steps: 3, balance: false, ...options } };
}

test('local steps: every sample once, equal bits over transports, and it learns', TIMEOUT, async () => {
  const whole = await outcomeOf({ consistency: localSteps({}) });
  for (const { samples } of whole.history) assert.equal(samples, 100);
  assert.ok(whole.history[1]!.evaluate.loss < whole.history[0]!.train.loss);
  const variants: readonly Partial<SmallJob>[] = [
    { servers: 1 },
    { elsewhere: ['worker 0'] },
    { testing: { chunkLength: 8192, delayMs: 4 } },
  ];
  for (const variant of variants) {
    const { kernel } = await outcomeOf({ consistency: localSteps({}), ...variant });
    assert.deepEqual(kernel, whole.kernel, JSON.stringify(variant));
  }
});

test('one worker whose moves are taken as they are trains as without local steps', TIMEOUT, async () => {
  const outerOptimizer = { learningRate: 1, momentum: 0, nesterov: false };
  const one = { workers: 1, batchSize: 10 };
  const plain = await outcomeOf(one);
  const local = await outcomeOf({ ...one, consistency: localSteps({ steps: 5, outerOptimizer }) });
  const scale = Math.max(...plain.kernel.map(Math.abs));
  const furthest = Math.max(...local.kernel.map((value, at) => Math.abs(value - plain.kernel[at]!)));
  assert.ok(furthest < 1e-5 * scale, `${furthest} of ${scale}`);
});

const LEASED: Readonly<Record<string, ConsistencyChoice>> = {
  asynchronous: { mode: 'asynchronous' },
  'asynchronous, aware of staleness': { mode: 'asynchronous', asynchronous: { stalenessAware: true } },
  staleSynchronous: { mode: 'staleSynchronous', staleSynchronous: { bound: 2 } },
  'staleSynchronous without staleness': { mode: 'staleSynchronous', staleSynchronous: { bound: 0 } },
  'one backup worker': { mode: 'bulkSynchronous', bulkSynchronous: { backupWorkers: 1 } },
};

for (const [name, consistency] of Object.entries(LEASED))
  test(`${name}, one worker slower: the job ends, counts every sample once and learns`, TIMEOUT, async () => {
    const testing = { extraStepMs: [0, 0, 30] };
    const { history } = await outcomeOf({ consistency, everySteps: 5, workers: 3, testing });
    const backup = consistency.mode === 'bulkSynchronous';
    for (const { samples } of history) assert.ok(backup ? samples >= 66 && samples <= 100 : samples === 100);
    assert.ok(history[1]!.evaluate.loss < history[0]!.train.loss, JSON.stringify(history));
  });
