// Shows a running job: a live picture on a terminal, plain lines elsewhere. Decides nothing about the job.
import type { EpochRecord, JobProgress, LogLine } from '../worker/protocol/progress.ts';
import { formatCount, formatDuration, formatMetrics } from './render/format.ts';
import { LiveBlock } from './render/live.ts';
import { renderEpoch, renderLive, runningValues } from './render/progress.ts';

export interface RunView extends Disposable {
  progress(progress: JobProgress): void;
  log(line: LogLine): void;
  /** A line of the command's own. */
  say(text: string): void;
}

export function openRunView(stream: NodeJS.WriteStream): RunView {
  return stream.isTTY ? new TerminalView(stream) : new PlainView(stream);
}

/** Epochs that were not shown yet. A rollback may repeat an epoch: the later record counts and is shown too. */
class EpochLines {
  #shown: EpochRecord[] = [];

  next(progress: JobProgress): string[] {
    const { epochs } = progress;
    const history = progress.history.filter((record) => isMeasured(record, progress));
    const fresh = history.filter((record, i) => this.#shown[i]?.step !== record.step);
    const lines = fresh.map((record) => {
      const previous = history[history.indexOf(record) - 1];
      return renderEpoch(record, epochs, record.step - (previous?.step ?? 0));
    });
    this.#shown = [...history];
    return lines;
  }
}

/** An epoch's last word is its evaluation: no step begins before it has come, where the job evaluates at all. */
function isMeasured({ step, evaluate }: EpochRecord, progress: JobProgress): boolean {
  const going = progress.phase === 'Running' || progress.phase === 'Evaluating';
  const measured = evaluate !== undefined && Object.keys(evaluate).length > 0;
  return measured || progress.step > step || !going;
}

class TerminalView implements RunView {
  readonly #block: LiveBlock;
  readonly #epochs = new EpochLines();

  constructor(stream: NodeJS.WriteStream) {
    this.#block = new LiveBlock(stream);
  }

  progress(progress: JobProgress): void {
    for (const line of this.#epochs.next(progress)) this.#block.print(line);
    if (progress.phase === 'Succeeded' || progress.phase === 'Failed' || progress.phase === 'Stopped') return;
    this.#block.paint(renderLive(progress, this.#block.columns, this.#block.rows), Date.now());
  }

  log(line: LogLine): void {
    if (isWorthShowing(line)) this.#block.print(renderLogLine(line));
  }

  say(text: string): void {
    this.#block.print(text);
  }

  [Symbol.dispose](): void {
    this.#block[Symbol.dispose]();
  }
}

const PLAIN_INTERVAL_MS = 10_000;

class PlainView implements RunView {
  readonly #stream: NodeJS.WriteStream;
  readonly #epochs = new EpochLines();
  #saidAtMs = Date.now();
  #phase = '';

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  progress(progress: JobProgress): void {
    for (const line of this.#epochs.next(progress)) this.say(line);
    if (progress.phase === 'Running' && this.#phase !== 'Running' && progress.step === 0) {
      this.say(
        `Training: ${progress.epochs} epochs of ${progress.stepsPerEpoch} steps, ${progress.workers.length} workers`,
      );
    }
    this.#phase = progress.phase;
    if (progress.phase === 'Running' && Date.now() - this.#saidAtMs >= PLAIN_INTERVAL_MS)
      this.say(plainLine(progress));
  }

  log(line: LogLine): void {
    if (isWorthShowing(line)) this.say(renderLogLine(line));
  }

  say(text: string): void {
    this.#stream.write(`${text}\n`);
    this.#saidAtMs = Date.now();
  }

  [Symbol.dispose](): void {}
}

/** `Epoch 2/3  120/938 - loss: 0.5123 - accuracy: 0.8421 - 38.2k samples/s - 3:05 left`. */
function plainLine(progress: JobProgress): string {
  const facts = [
    `Epoch ${progress.epoch}/${progress.epochs}  ${progress.stepInEpoch}/${progress.stepsPerEpoch}`,
    formatMetrics(runningValues(progress)),
    `${formatCount(progress.samplesPerSecond)} samples/s`,
    progress.remainingSeconds === undefined ? '' : `${formatDuration(progress.remainingSeconds)} left`,
  ];
  return facts.filter((fact) => fact !== '').join(' - ');
}

function isWorthShowing({ level }: LogLine): boolean {
  return level === 'warning' || level === 'error';
}

/** `warning: worker-3: process ended; it is started again (exitCode 137)`. */
export function renderLogLine({ level, source, message, fields }: LogLine): string {
  const { stack: _, ...plain } = fields;
  const values = Object.entries(plain).map(
    ([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${level}: ${source}: ${message}${values.length > 0 ? ` (${values.join(', ')})` : ''}`;
}
