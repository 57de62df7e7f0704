// Real processes on the real engine: one worker or many give the same net; timing, chunks and servers change no bit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Outcome, run, type TestJob } from './processes.ts';

const TIMEOUT = { timeout: 240_000 };
const STEPS = 50;
const BASE: TestJob = { workers: 2, batchSize: 32, stepsPerEpoch: STEPS };

/** Largest difference within any tensor, relative to the tensor's largest entry. */
function difference(a: Outcome, b: Outcome): number {
  let worst = 0;
  for (const [name, values] of a.weights) {
    const others = b.weights.get(name)!;
    let largest = 0;
    let apart = 0;
    for (const [i, value] of values.entries()) {
      largest = Math.max(largest, Math.abs(value));
      apart = Math.max(apart, Math.abs(value - others[i]!));
    }
    worst = Math.max(worst, apart / largest);
  }
  return worst;
}

test('1 x 64, 2 x 32 and 4 x 16 give the same parameters after 50 steps', TIMEOUT, async (context) => {
  const one = await run({ ...BASE, workers: 1, batchSize: 64 });
  for (const [workers, batchSize] of [
    [2, 32],
    [4, 16],
  ] as const) {
    const apart = difference(one, await run({ ...BASE, workers, batchSize }));
    context.diagnostic(`${workers} x ${batchSize}: largest relative difference ${apart.toExponential(1)}`);
    assert.ok(apart <= 1e-5, `${workers} x ${batchSize}: expected at most 1e-5, got ${apart}`);
  }
});

test('delays, chunk sizes and servers change no bit', TIMEOUT, async () => {
  const plain = await run(BASE);
  const variants: Record<string, Partial<TestJob>> = {
    'the same again': {},
    'random delays': { testing: { delayMs: 10, delaySeed: 1 } },
    'other delays, small chunks': { testing: { delayMs: 5, delaySeed: 2, chunkLength: 4096 } },
    'servers in the workers': { servers: 0 },
    'servers in the workers, small chunks, delays': {
      servers: 0,
      testing: { chunkLength: 4096, delayMs: 4 },
    },
    'servers of their own and in the workers': { placement: 'mixed' },
    'mixed, no shared memory, small chunks, delays': {
      placement: 'mixed',
      testing: { sharedMemory: false, chunkLength: 4096, delayMs: 4 },
    },
    'no shared memory': { servers: 2, testing: { sharedMemory: false } },
    'two servers, small chunks': { servers: 2, testing: { chunkLength: 4096 } },
    'many checkpoints': { everySteps: 7 },
  };
  for (const [name, variant] of Object.entries(variants)) {
    const { digest, history } = await run({ ...BASE, ...variant });
    assert.equal(digest, plain.digest, name);
    assert.deepEqual(history, plain.history, name);
  }
});
