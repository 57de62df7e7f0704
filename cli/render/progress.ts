// A job's progress as lines: the live picture of a terminal, and the plain lines of a log. Pure.
import type { EpochRecord, JobProgress } from '../../worker/protocol/progress.ts';
import { formatCount, formatDuration, formatMetrics, formatStepTime } from './format.ts';
import { renderTable } from './table.ts';

const BAR_WIDTH = 20; // Keras' own

/** The bar of the running epoch and the workers: at most `rows` lines, none wider than `columns`. */
export function renderLive(
  progress: JobProgress,
  columns: number,
  rows = Number.POSITIVE_INFINITY,
): string[] {
  const whole = [statusLine(progress), ...workerTable(progress)];
  const hidden = whole.length - Math.max(3, rows);
  const lines = hidden <= 0 ? whole : [...whole.slice(0, -hidden - 1), `  … and ${hidden + 1} more workers`];
  return lines.map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}…` : line));
}

/** `Epoch 2/3  120/938 ━━━━━━╸───── 0:12 8ms/step - loss: 0.5123 - accuracy: 0.8421 - 3821 samples/s`. */
function statusLine(progress: JobProgress): string {
  if (progress.phase === 'Starting') return `Starting ${progress.workers.length} workers${message(progress)}`;
  const { stepInEpoch, stepsPerEpoch } = progress;
  const digits = String(stepsPerEpoch).length;
  const parts = [
    `Epoch ${progress.epoch}/${progress.epochs} `,
    `${String(stepInEpoch).padStart(digits)}/${stepsPerEpoch}`,
    renderBar(stepsPerEpoch === 0 ? 0 : stepInEpoch / stepsPerEpoch),
  ];
  if (progress.phase === 'Evaluating') return `${parts.join(' ')} evaluating${message(progress)}`;
  if (progress.remainingSeconds !== undefined)
    parts.push(`${formatDuration(progress.remainingSeconds)} left`);
  const facts = [
    formatMetrics(runningValues(progress)),
    `${formatCount(progress.samplesPerSecond)} samples/s`,
  ];
  return `${parts.join(' ')} - ${facts.filter((fact) => fact !== '').join(' - ')}${message(progress)}`;
}

/** The running averages of the epoch, the loss first, as in the line of a finished one. */
export function runningValues(progress: JobProgress): Record<string, number> {
  return { ...(progress.loss === undefined ? {} : { loss: progress.loss }), ...progress.metrics };
}

function message(progress: JobProgress): string {
  return progress.message ? ` (${progress.message})` : '';
}

export function renderBar(ratio: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, ratio)) * BAR_WIDTH);
  return '━'.repeat(filled) + '─'.repeat(BAR_WIDTH - filled);
}

function workerTable(progress: JobProgress): string[] {
  return renderTable(
    [
      { title: '  worker' },
      { title: 'state' },
      { title: 'step', align: 'right' },
      { title: 'samples/s', align: 'right' },
      { title: 'waiting', align: 'right' },
      { title: 'restarts', align: 'right' },
    ],
    progress.workers.map((worker) => [
      `  ${worker.rank}`,
      worker.state,
      String(worker.step),
      formatCount(worker.samplesPerSecond),
      `${Math.round(worker.waitRatio * 100)} %`,
      String(worker.restarts),
    ]),
  );
}

/** The line that stays when an epoch has ended, on a terminal and in a log alike. */
export function renderEpoch(record: EpochRecord, epochs: number, stepsOfEpoch: number): string {
  const facts = [
    `${formatDuration(record.seconds)} ${formatStepTime(record.seconds / Math.max(1, stepsOfEpoch))}`,
    formatMetrics(record.train),
    record.evaluate ? formatMetrics(record.evaluate, 'val_') : '',
    `${formatCount(record.samplesPerSecond)} samples/s`,
  ];
  return `Epoch ${record.epoch}/${epochs}  ${stepsOfEpoch}/${stepsOfEpoch} - ${facts.filter((fact) => fact !== '').join(' - ')}`;
}
