// What the command draws: progress lines, the epoch line, tables, curves. Recorded progress in, text out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Course } from '../../../cli/render/course.ts';
import { renderCurve, renderCurvesSvg } from '../../../cli/render/curve.ts';
import { formatDuration, formatMetric, formatStepTime } from '../../../cli/render/format.ts';
import { renderEpoch, renderLive } from '../../../cli/render/progress.ts';
import { renderTable } from '../../../cli/render/table.ts';
import type { JobProgress } from '../../../worker/protocol/progress.ts';

const RUNNING: JobProgress = {
  phase: 'Running',
  step: 1058,
  steps: 2814,
  epoch: 2,
  epochs: 3,
  stepInEpoch: 120,
  stepsPerEpoch: 938,
  loss: 0.51234,
  metrics: { accuracy: 0.84214 },
  evaluation: {},
  samplesPerSecond: 38_214,
  remainingSeconds: 185,
  workers: [
    { rank: 0, state: 'running', step: 1058, samplesPerSecond: 19_107, waitRatio: 0.031, restarts: 0 },
    { rank: 10, state: 'restarting', step: 1057, samplesPerSecond: 950, waitRatio: 0.5, restarts: 2 },
  ],
  servers: [],
  history: [],
};

test('numbers read as Keras prints them', () => {
  const cases: [string, string][] = [
    [formatMetric(0.84214), '0.8421'],
    [formatMetric(0.00042), '4.2000e-4'],
    [formatMetric(0), '0.0000'],
    [formatMetric(Number.NaN), 'NaN'],
    [formatDuration(7.4), '7s'],
    [formatDuration(185), '3:05'],
    [formatDuration(3729), '1:02:09'],
    [formatStepTime(0.0853), '85ms/step'],
    [formatStepTime(2.04), '2.0s/step'],
    [formatStepTime(0.00012), '120us/step'],
  ];
  for (const [got, expected] of cases) assert.equal(got, expected);
});

test('the live picture: bar, values, time left, one row a worker', () => {
  assert.deepEqual(renderLive(RUNNING, 200), [
    'Epoch 2/3  120/938 ━━━───────────────── 3:05 left - loss: 0.5123 - accuracy: 0.8421 - 38.2k samples/s',
    '  worker  state       step  samples/s  waiting  restarts',
    '  0       running     1058      19.1k      3 %         0',
    '  10      restarting  1057        950     50 %         2',
  ]);
});

test('more workers than lines: the rest is counted', () => {
  const worker = RUNNING.workers[0]!;
  const workers = Array.from({ length: 30 }, (_, rank) => ({ ...worker, rank }));
  const lines = renderLive({ ...RUNNING, workers }, 200, 10);
  assert.equal(lines.length, 10);
  assert.equal(lines.at(-1), '  … and 23 more workers');
});

test('no live line is wider than the terminal', () => {
  for (const line of renderLive(RUNNING, 40)) assert.ok([...line].length <= 40, line);
});

test('an epoch that ended is one line with its validation values', () => {
  const record = {
    epoch: 2,
    step: 1876,
    seconds: 75.04,
    samplesPerSecond: 800,
    train: { loss: 0.4 },
    evaluate: { loss: 0.5 },
  };
  assert.equal(
    renderEpoch(record, 3, 938),
    'Epoch 2/3  938/938 - 1:15 80ms/step - loss: 0.4000 - val_loss: 0.5000 - 800 samples/s',
  );
});

test('tables align their columns', () => {
  assert.deepEqual(
    renderTable(
      [{ title: 'name' }, { title: 'value', align: 'right' }],
      [
        ['loss', '0.1'],
        ['accuracy', '12'],
      ],
    ),
    ['name      value', 'loss        0.1', 'accuracy     12'],
  );
});

test('a falling line falls: its first column has dots above, its last below', () => {
  const points = Array.from({ length: 50 }, (_, i) => ({ x: i, y: 1 - i / 49 }));
  const lines = renderCurve({ name: 'loss', points }, 60, 6);
  const body = lines.slice(1, 7).map((line) => line.split('┤')[1] as string);
  const dotted = (line: string, at: number) => line.at(at) !== '\u2800';
  assert.ok(dotted(body[0] as string, 0) && !dotted(body[5] as string, 0));
  assert.ok(dotted(body[5] as string, -1) && !dotted(body[0] as string, -1));
  assert.match(lines[1] as string, /^1\.0000 /);
});

test('curves without a finite value say so', () => {
  assert.deepEqual(renderCurve({ name: 'loss', points: [{ x: 1, y: Number.NaN }] }, 60, 6), [
    'loss: no values',
  ]);
});

test('the course of a run becomes one chart a value, training and evaluation together', () => {
  const course = new Course();
  for (let step = 1; step <= 5000; step++) course.add({ ...RUNNING, step, loss: 1 / step });
  course.add({
    ...RUNNING,
    phase: 'Succeeded',
    step: 5000,
    history: [
      {
        epoch: 1,
        step: 5000,
        seconds: 1,
        samplesPerSecond: 1,
        train: { loss: 0.1 },
        evaluate: { loss: 0.2 },
      },
    ],
  });
  const loss = course.charts().find(({ title }) => title === 'loss');
  assert.deepEqual(
    loss?.series.map(({ name }) => name),
    ['train', 'evaluate'],
  );
  assert.ok((loss?.series[0]?.points.length ?? 0) <= 2000);
  const svg = renderCurvesSvg(course.charts());
  assert.match(svg, /^<svg [^>]+>[\s\S]*<\/svg>\n$/);
  assert.equal(svg.match(/<polyline /g)?.length, 3); // loss: train and evaluate; accuracy: train
  assert.doesNotMatch(svg, /NaN/);
});
