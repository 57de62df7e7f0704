// Who takes how many batches of a round: equal shares while speeds are alike, shares by speed where they are not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { apportion, Shares } from '../../../worker/protocol/shares.ts';

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** Rounds of workers that take so many milliseconds for a batch; gives the shares of every round. */
function rounds(shares: Shares, batchMs: readonly number[], count: number): (readonly number[])[] {
  let nowMs = 0;
  return Array.from({ length: count }, (_, step) => {
    const taken = shares.begun(step, batchMs.length, nowMs);
    for (const [rank, share] of taken.entries()) shares.recorded(rank, step, nowMs + share * batchMs[rank]!);
    nowMs += Math.max(...taken.map((share, rank) => share * batchMs[rank]!));
    return taken;
  });
}

test('a worker three times slower soon takes a third of the others', () => {
  const last = rounds(new Shares(50, true), [10, 10, 10, 30], 4).at(-1)!;
  assert.deepEqual(last, [60, 60, 60, 20]);
});

test('workers that are alike take equal shares, and so do all without balance', () => {
  assert.deepEqual(rounds(new Shares(50, true), [10, 11], 3).at(-1), [50, 50]);
  assert.deepEqual(rounds(new Shares(50, false), [10, 100], 3).at(-1), [50, 50]);
});

test('a round that begins again keeps its shares; another number of workers has new ones', () => {
  const shares = new Shares(10, true);
  const [, second] = rounds(shares, [10, 40], 2);
  assert.deepEqual(shares.begun(1, 2, 0), second);
  assert.deepEqual(shares.of(1), second);
  assert.deepEqual(shares.of(2), []);
  assert.deepEqual(shares.begun(2, 3, 0), [10, 10, 10]);
});

test('whole shares have the sum that was asked for, and nobody has none', () => {
  const wanted = fc.array(fc.double({ min: 0.001, max: 1000, noNaN: true }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(wanted, fc.integer({ min: 40, max: 10_000 }), (wants, batches) => {
      const shares = apportion(wants, batches);
      assert.equal(total(shares), batches);
      assert.ok(shares.every((share) => Number.isInteger(share) && share >= 1));
    }),
  );
});
