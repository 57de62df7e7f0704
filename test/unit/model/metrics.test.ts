// Schedules, metrics and clipping by norm against numbers worked out by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LossName, MetricName } from '../../../crds/leptonjob.ts';
import { globalNormFactor } from '../../../worker/model/clip.ts';
import { resolveMetric } from '../../../worker/model/metrics.ts';
import { parseSchedule, type ScheduleInput, scheduleFactor } from '../../../worker/model/training.ts';

const SCHEDULES: readonly [ScheduleInput, number, Readonly<Record<number, number>>][] = [
  [{ constant: {} }, 100, { 0: 1, 99: 1 }],
  [{ step: { everySteps: 10, factor: 0.5 } }, 100, { 0: 1, 9: 1, 10: 0.5, 29: 0.25 }],
  [{ linearWarmup: { warmupSteps: 4 } }, 100, { 0: 0.25, 3: 1, 50: 1 }],
  [{ cosine: { decaySteps: 100 } }, 1000, { 0: 1, 25: 0.5 + Math.SQRT2 / 4, 50: 0.5, 100: 0, 500: 0 }],
  [{ cosine: { alpha: 0.2, warmupSteps: 10 } }, 110, { 0: 0.1, 9: 1, 10: 1, 60: 0.6, 110: 0.2 }],
];

for (const [schedule, total, expected] of SCHEDULES)
  test(`schedule ${JSON.stringify(schedule)}`, () => {
    const factor = scheduleFactor(parseSchedule(schedule), total);
    for (const [step, value] of Object.entries(expected))
      assert.ok(Math.abs(factor(Number(step)) - value) < 1e-12, `step ${step}: ${factor(Number(step))}`);
  });

interface MetricCase {
  readonly metric: MetricName;
  readonly loss: LossName;
  readonly width: number;
  readonly output: readonly number[];
  readonly target: Float32Array | Int32Array;
  readonly size: number;
  readonly mean: number;
}

const seven = [0.1, 0.2, 0.3, 0.05, 0.15, 0.12, 0.08];
const METRICS: readonly MetricCase[] = [
  {
    metric: 'accuracy',
    loss: 'sparseCategoricalCrossentropy',
    width: 2,
    output: [0.9, 0.1, 0.4, 0.6],
    target: Int32Array.of(0, 0),
    size: 2,
    mean: 0.5,
  },
  {
    metric: 'accuracy',
    loss: 'categoricalCrossentropy',
    width: 2,
    output: [0.9, 0.1, 0.4, 0.6],
    target: Float32Array.of(1, 0, 0, 1),
    size: 2,
    mean: 1,
  },
  {
    metric: 'accuracy',
    loss: 'binaryCrossentropy',
    width: 1,
    output: [0.4, 0.6, 0.7],
    target: Float32Array.of(0, 1, 0),
    size: 3,
    mean: 2 / 3,
  },
  {
    metric: 'topKCategoricalAccuracy',
    loss: 'sparseCategoricalCrossentropy',
    width: 7,
    output: [...seven, ...seven],
    target: Int32Array.of(0, 6),
    size: 2,
    mean: 0.5,
  },
  {
    metric: 'meanSquaredError',
    loss: 'huber',
    width: 2,
    output: [1, 2, 3, 4],
    target: Float32Array.of(1, 0, 3, 0),
    size: 2,
    mean: 5,
  },
  {
    metric: 'meanAbsoluteError',
    loss: 'meanSquaredError',
    width: 1,
    output: [1, -2],
    target: Float32Array.of(0, 0),
    size: 2,
    mean: 1.5,
  },
];

for (const { metric, loss, width, output, target, size, mean } of METRICS)
  test(`${metric} with ${loss}`, () => {
    const { total, name } = resolveMetric(metric, loss, [width]);
    assert.equal(name, metric);
    assert.ok(Math.abs(total([Float32Array.from(output)], [target], size) / size - mean) < 1e-6);
  });

test('a metric that contradicts the loss is refused', () => {
  assert.throws(() => resolveMetric('categoricalAccuracy', 'sparseCategoricalCrossentropy', [3]), {
    code: 'TRAINING_INVALID',
  });
});

test('clipping by norm scales to the limit, and leaves smaller gradients alone', () => {
  const gradients = Float32Array.of(3, 4, 1000); // the last one lies behind the trainable part
  assert.equal(globalNormFactor(gradients, 2, 1), 0.2);
  assert.equal(globalNormFactor(gradients, 2, 5), 1);
  assert.equal(globalNormFactor(gradients, 2, 6), 1);
});
