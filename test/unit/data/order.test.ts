// The order of samples: complete, repeatable, and independent of how many workers share a global batch.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkBatchSize, epochOrder, stepsPerEpoch, workerSlice } from '../../../worker/data/order.ts';

const plans = {
  length: fc.integer({ min: 1, max: 400 }),
  batchSize: fc.integer({ min: 1, max: 40 }),
  workers: fc.integer({ min: 1, max: 9 }),
  seed: fc.integer({ min: 0, max: 2 ** 31 }),
  epoch: fc.integer({ min: 0, max: 50 }),
};

test('an epoch shows every sample exactly once over all ranks', () => {
  fc.assert(
    fc.property(fc.record(plans), ({ length, batchSize, workers, seed, epoch }) => {
      const order = epochOrder(length, seed, epoch, true);
      const seen = new Uint8Array(length);
      for (let step = 0; step < stepsPerEpoch(length, batchSize, workers); step++) {
        for (let rank = 0; rank < workers; rank++) {
          const slice = workerSlice(order, step, batchSize, rank, workers);
          assert.ok(slice.length <= batchSize);
          for (const index of slice) seen[index]!++;
        }
      }
      assert.ok(seen.every((count) => count === 1));
    }),
  );
});

test('the global batch does not depend on the number of workers', () => {
  fc.assert(
    fc.property(fc.record(plans), ({ length, batchSize, workers, seed, epoch }) => {
      const order = epochOrder(length, seed, epoch, true);
      const steps = stepsPerEpoch(length, batchSize, workers);
      assert.equal(steps, stepsPerEpoch(length, batchSize * workers, 1));
      for (let step = 0; step < steps; step++) {
        const alone = workerSlice(order, step, batchSize * workers, 0, 1);
        const shared: number[] = [];
        for (let rank = 0; rank < workers; rank++)
          shared.push(...workerSlice(order, step, batchSize, rank, workers));
        assert.deepEqual(shared, [...alone]);
      }
    }),
  );
});

test('a full batch gives every rank the same number of samples', () => {
  const order = epochOrder(64, 1, 0, true);
  for (let rank = 0; rank < 4; rank++) assert.equal(workerSlice(order, 1, 8, rank, 4).length, 8);
});

test('steps past the end of an epoch are empty', () => {
  assert.equal(workerSlice(epochOrder(10, 1, 0, true), 5, 4, 0, 1).length, 0);
});

test('seed and epoch decide the order, and nothing else', () => {
  assert.deepEqual(epochOrder(100, 7, 3, true), epochOrder(100, 7, 3, true));
  assert.notDeepEqual(epochOrder(100, 7, 3, true), epochOrder(100, 7, 4, true));
  assert.notDeepEqual(epochOrder(100, 7, 3, true), epochOrder(100, 8, 3, true));
  assert.deepEqual([...epochOrder(4, 7, 3, false)], [0, 1, 2, 3]);
});

test('a step larger than the data is refused with both numbers', () => {
  assert.doesNotThrow(() => checkBatchSize(64, 32, 2, 'data.train'));
  assert.throws(() => checkBatchSize(63, 32, 2, 'data.train'), {
    code: 'BATCH_TOO_LARGE',
    message: 'data.train: expected at least 64 samples for one step (batchSize 32 x 2 workers), got 63',
  });
});
