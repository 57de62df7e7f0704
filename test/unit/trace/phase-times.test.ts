// Histograms of phases: what one step counts as, and sums over processes that come and go.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUNDS, type Phase, type PhaseTimes } from '../../../protos/phases.ts';
import { PhaseClock, PhaseSums } from '../../../worker/trace/phase-times.ts';

/** Bucket -> steps, of those that have any. */
const filled = ({ counts }: PhaseTimes): Record<string, number> =>
  Object.fromEntries(
    counts.flatMap((count, at) => (count > 0 ? [[at < BOUNDS.length ? BOUNDS[at]! : 'above', count]] : [])),
  );

function told(clock: PhaseClock, phase: Phase): PhaseTimes {
  const found = clock.times().find((times) => times.phase === phase);
  assert.ok(found, `${phase} was told`);
  return found;
}

test('spans of one step count as one; a bound belongs to the bucket below it', () => {
  const clock = new PhaseClock();
  for (let chunk = 0; chunk < 5; chunk++) clock.span('update', 0, 100, 101); // 5 ms in all
  clock.span('update', 1, 100, 105.01);
  clock.span('update', 2, 0, 100_000);
  clock.span('update', 3, 0, 1);
  const { seconds } = told(clock, 'update');
  assert.deepEqual(filled(told(clock, 'update')), { '0.005': 1, '0.01': 1, above: 1 });
  assert.ok(Math.abs(seconds - 100.01001) < 1e-9, String(seconds));
});

test('the step in progress is not told, nor is a phase that nobody was in', () => {
  const clock = new PhaseClock();
  assert.deepEqual(clock.times(), []);
  clock.span('compute', 0, 0, 1);
  assert.deepEqual(filled(told(clock, 'compute')), {});
});

test('phases are told in their own order, and what follows is given every span', () => {
  const spans: unknown[] = [];
  const clock = new PhaseClock({ span: (...span) => spans.push(span) });
  clock.span('wait', 4, 1, 2, 3);
  clock.span('compute', 4, 5, 6);
  assert.deepEqual(
    clock.times().map(({ phase }) => phase),
    ['compute', 'wait'],
  );
  assert.deepEqual(spans, [
    ['wait', 4, 1, 2, 3],
    ['compute', 4, 5, 6, undefined],
  ]);
});

/** Steps that took 1 ms each. */
function times(phase: string, steps: number): PhaseTimes {
  const counts = new Array<number>(BOUNDS.length + 1).fill(0);
  counts[BOUNDS.indexOf(0.001)] = steps;
  return { phase, counts, seconds: steps / 1000 };
}

test('a process tells of all its time, so what is told twice counts once', () => {
  const sums = new PhaseSums();
  sums.heard('worker 0', [times('compute', 3)]);
  sums.heard('worker 0', [times('compute', 5)]);
  sums.heard('worker 0', [times('compute', 5)]);
  sums.heard('worker 1', [times('compute', 2), times('wait', 2)]);
  sums.heard('server 0', [times('update', 9)]);
  assert.deepEqual(
    sums.times('worker').map(({ phase, counts }) => [phase, counts[BOUNDS.indexOf(0.001)]]),
    [
      ['compute', 7],
      ['wait', 2],
    ],
  );
  assert.deepEqual([sums.seconds('worker 0', 'compute'), sums.seconds('worker 2', 'compute')], [0.005, 0]);
});

test('a process that begins anew keeps what its earlier lives did', () => {
  const sums = new PhaseSums();
  for (const steps of [5, 2, 4, 1]) sums.heard('worker 0', [times('compute', steps)]);
  assert.equal(sums.times('worker')[0]!.counts[BOUNDS.indexOf(0.001)], 5 + 4 + 1);
  assert.equal(Math.round(1000 * sums.seconds('worker 0', 'compute')), 10);
});

test('phases and buckets that nobody knows make nothing grow', () => {
  const sums = new PhaseSums();
  sums.heard('worker 0', [{ ...times('compute', 1), counts: [1, 2] }, times('invented', 3)]);
  for (const seconds of [Number.NaN, Number.POSITIVE_INFINITY, -1])
    sums.heard('worker 0', [{ ...times('compute', 1), seconds }]);
  assert.deepEqual(sums.times('worker'), []);
});
