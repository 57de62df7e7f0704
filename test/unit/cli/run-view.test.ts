// What a run shows while it goes on, on a terminal and elsewhere, and at its end. Recorded reports in, text out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Course } from '../../../cli/render/course.ts';
import { renderCharts, renderSummary, summaryJson } from '../../../cli/run-summary.ts';
import { openRunView, renderLogLine } from '../../../cli/run-view.ts';
import type { EpochRecord, JobProgress, JobResult, LogLine } from '../../../worker/protocol/progress.ts';

/** A stream that remembers what was written. */
function recorder(isTTY: boolean) {
  let written = '';
  const stream = {
    isTTY,
    columns: 120,
    write: (text: string) => (written += text),
  } as unknown as NodeJS.WriteStream;
  return { stream, text: () => written };
}

const record = (epoch: number, loss: number): EpochRecord => ({
  epoch,
  step: epoch * 10,
  seconds: 2,
  samplesPerSecond: 320,
  train: { accuracy: 0.5, loss },
  evaluate: { loss: loss + 0.1 },
});

const report = (
  step: number,
  history: readonly EpochRecord[],
  phase: JobProgress['phase'] = 'Running',
): JobProgress => ({
  phase,
  step,
  steps: 20,
  epoch: Math.min(2, history.length + 1),
  epochs: 2,
  stepInEpoch: step - history.length * 10,
  stepsPerEpoch: 10,
  loss: 1 / (step + 1),
  metrics: { accuracy: 0.5 },
  evaluation: {},
  samplesPerSecond: 320,
  workers: [{ rank: 0, state: 'running', step, samplesPerSecond: 320, waitRatio: 0, restarts: 0 }],
  servers: [],
  history,
});

const REPORTS = [
  report(0, []),
  report(5, []),
  report(10, [record(1, 0.7)]),
  report(20, [record(1, 0.7), record(2, 0.5)], 'Succeeded'),
];
const warning: LogLine = {
  time: '2026-11-24T10:15:00Z',
  source: 'worker-3',
  level: 'warning',
  message: 'process ended, starting it again',
  fields: { exitCode: 137, name: 'worker-3', stack: 'at secret' },
};

test('elsewhere: one line an epoch, warnings, no control characters', () => {
  const { stream, text } = recorder(false);
  using view = openRunView(stream);
  for (const progress of REPORTS) view.progress(progress);
  view.log(warning);
  view.log({ ...warning, level: 'info' });
  assert.equal(
    text(),
    [
      'Training: 2 epochs of 10 steps, 1 workers',
      'Epoch 1/2  10/10 - 2s 200ms/step - accuracy: 0.5000 - loss: 0.7000 - val_loss: 0.8000 - 320 samples/s',
      'Epoch 2/2  10/10 - 2s 200ms/step - accuracy: 0.5000 - loss: 0.5000 - val_loss: 0.6000 - 320 samples/s',
      'warning: worker-3: process ended, starting it again (exitCode 137, name worker-3)',
      '',
    ].join('\n'),
  );
});

test('an epoch that a rollback repeats is shown again', () => {
  const { stream, text } = recorder(false);
  using view = openRunView(stream);
  view.progress(report(10, [record(1, 0.7)]));
  view.progress(report(4, []));
  view.progress(report(10, [record(1, 0.7)]));
  assert.equal(text().match(/Epoch 1\/2 {2}10\/10/g)?.length, 2);
});

test('on a terminal: the picture is repainted, the cursor comes back, epochs stay', () => {
  const { stream, text } = recorder(true);
  const view = openRunView(stream);
  for (const progress of REPORTS) view.progress(progress);
  view[Symbol.dispose]();
  assert.match(text(), /Epoch 1\/2 {3}0\/10 ─{20} - /);
  assert.match(text(), /worker {2}state/);
  assert.ok(text().endsWith('\x1b[?25h'));
  assert.equal(text().match(/Epoch 1\/2 {2}10\/10/g)?.length, 1);
});

test('a log line is readable and shows no stack', () => {
  assert.equal(
    renderLogLine(warning),
    'warning: worker-3: process ended, starting it again (exitCode 137, name worker-3)',
  );
});

const RESULT: JobResult = {
  phase: 'Succeeded',
  steps: 20,
  epochs: 2,
  train: { accuracy: 0.5, loss: Number.NaN },
  evaluate: { loss: 0.6 },
  samplesPerSecond: 320,
  seconds: 4.2,
  directory: '/runs/job',
  workers: [],
};

test('the end: a table, a curve for each value, one JSON object without NaN', () => {
  const course = new Course();
  for (const progress of REPORTS) course.add(progress);
  assert.deepEqual(renderSummary('job', RESULT), [
    'job: Succeeded after 20 steps, 2 epochs, 4s, 320 samples/s',
    '  value      train  evaluate',
    '  accuracy  0.5000',
    '  loss         NaN    0.6000',
    '  results in /runs/job',
  ]);
  const charts = renderCharts(course, 60);
  assert.ok(charts.includes('loss') && charts.includes('accuracy'));
  assert.ok(charts.every((line) => [...line].length <= 60));
  assert.deepEqual(JSON.parse(summaryJson('job', RESULT)), {
    name: 'job',
    status: 'Succeeded',
    steps: 20,
    epochs: 2,
    train: { accuracy: 0.5, loss: null },
    evaluate: { loss: 0.6 },
    samplesPerSecond: 320,
    seconds: 4.2,
    output: '/runs/job',
    workers: [],
  });
});

test('where the time of several workers went, and for whom they waited', () => {
  const worker = { steps: 240, lastSteps: 179, waitedSeconds: 0.1, waitSeconds: 75.4, computeSeconds: 12.25 };
  const workers = [
    { ...worker, rank: 0, lastSteps: 61, longestFor: 1, longestForSeconds: 0.08 },
    { ...worker, rank: 1, longestForSeconds: 0 },
  ];
  assert.deepEqual(renderSummary('job', { ...RESULT, workers }).slice(4, -1), [
    '',
    '  worker  computing  waiting  of it for workers  longest for                 last at',
    '  0          12.3 s     1:15             0.10 s  worker 1 (0.08 s)   61 of 240 steps',
    '  1          12.3 s     1:15             0.10 s                     179 of 240 steps',
  ]);
});
