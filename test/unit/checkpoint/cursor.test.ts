// The place of a checkpoint in the data under another number of workers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { atPace } from '../../../worker/checkpoint/cursor.ts';
import type { Manifest } from '../../../worker/checkpoint/manifest.ts';
import { mayBegin, type Pace, paceOf } from '../../../worker/protocol/pace.ts';

const work = (trainSamples: number, stepsPerEpoch?: number) => ({
  trainSamples,
  batchSize: 32,
  epochs: 4,
  ...(stepsPerEpoch === undefined ? {} : { stepsPerEpoch }),
});

/** After `inEpoch` steps of the epoch that follows `epochs` whole ones. */
function manifestAt(epochs: number, inEpoch: number, pace: Pace, trainSamples: number): Manifest {
  const { samplesPerStep, stepsPerEpoch } = pace;
  const history = Array.from({ length: epochs }, (_, index) => ({
    epoch: index + 1,
    step: (index + 1) * stepsPerEpoch,
    milliseconds: 1,
    train: { samples: trainSamples, sums: [1] },
  }));
  const step = epochs * stepsPerEpoch + inEpoch;
  const samples = inEpoch * samplesPerStep;
  const ledger = { step, train: { samples, sums: [samples * 2] }, milliseconds: 5, history };
  return { step, stepsPerEpoch, ledger } as unknown as Manifest;
}

test('twice the workers: half the steps', () => {
  const [from, to] = [paceOf(work(64_000), 2), paceOf(work(64_000), 4)];
  assert.deepEqual([from.stepsPerEpoch, to.stepsPerEpoch], [1000, 500]);
  const { step, ledger } = atPace(manifestAt(1, 50, from, 64_000), to);
  assert.deepEqual([step, ledger.step, ledger.train.samples, ledger.train.sums], [525, 525, 3200, [6400]]);
  assert.deepEqual(
    ledger.history.map((epoch) => epoch.step),
    [500],
  );
});

test('epochs of as many steps, but of other samples: the samples decide', () => {
  const [from, to] = [paceOf(work(200), 4), paceOf(work(200), 5)];
  assert.deepEqual([from.stepsPerEpoch, to.stepsPerEpoch], [2, 2]);
  const { step, ledger } = atPace(manifestAt(1, 1, from, 200), to);
  assert.deepEqual([step, ledger.train.samples], [2, 0]);
});

test('the same number of workers, or a checkpoint that does not say: the same place', () => {
  const pace = paceOf(work(6400), 2);
  const manifest = manifestAt(2, 10, pace, 6400);
  assert.deepEqual(atPace(manifest, pace), manifest);
  const { stepsPerEpoch: _, ...old } = manifest;
  assert.equal(atPace(old as Manifest, paceOf(work(6400), 4)).step, manifest.step);
});

test('where the manifest says how long an epoch is, steps keep their numbers', () => {
  const manifest = manifestAt(1, 7, paceOf(work(6400, 20), 2), 1280);
  assert.equal(atPace(manifest, paceOf(work(6400, 20), 3)), manifest);
});

test('never ahead of the samples that were seen, less than a step behind; exact where a step may begin', () => {
  const numbers = fc.record({ from: fc.integer({ min: 1, max: 64 }), to: fc.integer({ min: 1, max: 64 }) });
  const trained = fc.integer({ min: 64, max: 100_000 });
  fc.assert(
    fc.property(
      numbers,
      trained,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (two, trainSamples, part) => {
        const [from, to] = [paceOf(work(trainSamples), two.from), paceOf(work(trainSamples), two.to)];
        const inEpoch = Math.floor(part * from.stepsPerEpoch);
        const seen = inEpoch * from.samplesPerStep;
        const { step, ledger } = atPace(manifestAt(3, inEpoch, from, trainSamples), to);
        const at = step - 3 * to.stepsPerEpoch;
        assert.ok(at >= 0 && at < to.stepsPerEpoch);
        assert.equal(ledger.train.samples, at * to.samplesPerStep);
        assert.ok(ledger.train.samples <= seen && seen - ledger.train.samples < to.samplesPerStep);
        if (mayBegin(to, seen)) assert.deepEqual(ledger.train, { samples: seen, sums: [seen * 2] });
      },
    ),
  );
});
