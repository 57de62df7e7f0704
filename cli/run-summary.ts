// What stands at the end of a run: the table, the curves, the JSON object. Pure.
import type { JobResult } from '../worker/protocol/progress.ts';
import type { Course } from './render/course.ts';
import { renderCurve } from './render/curve.ts';
import { formatCount, formatDuration, formatMetric, formatSeconds } from './render/format.ts';
import { renderTable } from './render/table.ts';

const CURVE_ROWS = 6;
const MAX_CURVE_COLUMNS = 100;

export function renderSummary(name: string, result: JobResult): string[] {
  const values = [...new Set([...Object.keys(result.train), ...Object.keys(result.evaluate)])];
  const cell = (value: number | undefined) => (value === undefined ? '' : formatMetric(value));
  const rows = values.map((value) => [`  ${value}`, cell(result.train[value]), cell(result.evaluate[value])]);
  const table = renderTable(
    [{ title: '  value' }, { title: 'train', align: 'right' }, { title: 'evaluate', align: 'right' }],
    rows,
  );
  const speed = `${formatCount(result.samplesPerSecond)} samples/s`;
  return [
    `${name}: ${result.phase} after ${result.steps} steps, ${result.epochs} epochs, ${formatDuration(result.seconds)}, ${speed}`,
    ...(values.length > 0 ? table : []),
    ...renderWaits(result),
    `  results in ${result.directory}`,
  ];
}

/** Where each worker's time went, and for whom; nothing where there is nobody to wait for. */
function renderWaits({ workers }: JobResult): string[] {
  if (workers.length < 2) return [];
  const right = (title: string) => ({ title, align: 'right' as const });
  const columns = [
    { title: '  worker' },
    right('computing'),
    right('waiting'),
    right('of it for workers'),
    { title: 'longest for' },
    right('last at'),
  ];
  return ['', ...renderTable(columns, workers.map(waitsRow))];
}

function waitsRow(worker: JobResult['workers'][number]): string[] {
  const { rank, computeSeconds, waitSeconds, waitedSeconds, longestFor, longestForSeconds } = worker;
  return [
    `  ${rank}`,
    formatSeconds(computeSeconds),
    formatSeconds(waitSeconds),
    formatSeconds(waitedSeconds),
    longestFor === undefined ? '' : `worker ${longestFor} (${formatSeconds(longestForSeconds)})`,
    `${worker.lastSteps} of ${worker.steps} steps`,
  ];
}

/** One chart for each value that has at least two points. */
export function renderCharts(course: Course, columns: number): string[] {
  const width = Math.min(columns, MAX_CURVE_COLUMNS);
  return course.charts().flatMap(({ title, series }) => {
    const train = series[0];
    if (!train || train.points.length < 2) return [];
    return ['', ...renderCurve({ name: title, points: train.points }, width, CURVE_ROWS)];
  });
}

/** The one object on standard output with `-o json`. */
export function summaryJson(name: string, result: JobResult): string {
  return JSON.stringify({
    name,
    status: result.phase,
    steps: result.steps,
    epochs: result.epochs,
    train: finite(result.train),
    evaluate: finite(result.evaluate),
    samplesPerSecond: result.samplesPerSecond,
    seconds: result.seconds,
    output: result.directory,
    workers: result.workers,
    ...(result.error ? { error: result.error } : {}),
  });
}

/** JSON has no NaN: a diverged value reads null. */
function finite(values: Readonly<Record<string, number>>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, Number.isFinite(value) ? value : null]),
  );
}
