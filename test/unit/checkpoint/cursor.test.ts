// The place of a checkpoint in the data under another number of workers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { atPace } from '../../../worker/checkpoint/cursor.ts';
import type { Manifest } from '../../../worker/checkpoint/manifest.ts';

function manifestAt(epochs: number, samples: number, stepsPerEpoch: number, trainSamples: number): Manifest {
  const history = Array.from({ length: epochs }, (_, index) => ({
    epoch: index + 1,
    step: (index + 1) * stepsPerEpoch,
    milliseconds: 1,
    train: { samples: trainSamples, sums: [1] },
  }));
  const step = epochs * stepsPerEpoch + Math.floor((samples * stepsPerEpoch) / trainSamples);
  const ledger = { step, train: { samples, sums: [samples * 2] }, milliseconds: 5, history };
  return { step, stepsPerEpoch, ledger } as unknown as Manifest;
}

test('twice the workers: half the steps', () => {
  const { step, ledger } = atPace(manifestAt(1, 3200, 1000, 64_000), {
    trainSamples: 64_000,
    stepsPerEpoch: 500,
  });
  assert.deepEqual([step, ledger.step, ledger.train.samples, ledger.train.sums], [525, 525, 3200, [6400]]);
  assert.deepEqual(
    ledger.history.map((epoch) => epoch.step),
    [500],
  );
});

test('the same number of workers, or a checkpoint that does not say: unchanged', () => {
  const manifest = manifestAt(2, 640, 100, 6400);
  assert.equal(atPace(manifest, { trainSamples: 6400, stepsPerEpoch: 100 }), manifest);
  const { stepsPerEpoch: _, ...old } = manifest;
  assert.equal(atPace(old as Manifest, { trainSamples: 6400, stepsPerEpoch: 50 }).step, manifest.step);
});

test('never ahead of the samples that were seen, at most one step behind, always inside the epoch', () => {
  const pace = fc.record({ from: fc.integer({ min: 1, max: 64 }), to: fc.integer({ min: 1, max: 64 }) });
  fc.assert(
    fc.property(
      pace,
      fc.integer({ min: 64, max: 10_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      ({ from, to }, trainSamples, part) => {
        const seen = Math.floor((Math.floor(part * from) * trainSamples) / from);
        const { step, ledger } = atPace(manifestAt(3, seen, from, trainSamples), {
          trainSamples,
          stepsPerEpoch: to,
        });
        if (from === to) return;
        const inEpoch = step - 3 * to;
        assert.ok(inEpoch >= 0 && inEpoch < to);
        assert.ok((inEpoch * trainSamples) / to <= seen + 1e-9);
        assert.ok(seen - (inEpoch * trainSamples) / to < trainSamples / to + 1);
        assert.ok(ledger.train.samples <= seen + 1);
      },
    ),
  );
});
