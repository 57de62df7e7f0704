// What `fit` prints: Keras' line, live on a terminal, one line an epoch elsewhere. Writes to stdout; decides nothing.

/** Keras' numbers: 0 says nothing, 1 is live, 2 is one line an epoch; auto: 1 on a terminal, 2 elsewhere. */
export type Verbosity = 'auto' | 0 | 1 | 2;

const BAR_WIDTH = 20;
const INTERVAL_MS = 50;

export class ProgressPrinter implements Disposable {
  readonly #mode: 0 | 1 | 2;
  readonly #epochs: number;
  readonly #steps: number;
  #epoch = 0;
  #startMs = 0;
  #printedMs = 0;

  constructor(verbose: Verbosity, epochs: number, steps: number) {
    this.#mode = verbose === 'auto' ? (process.stdout.isTTY ? 1 : 2) : verbose;
    this.#epochs = epochs;
    this.#steps = steps;
  }

  beginEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#startMs = performance.now();
    if (this.#mode === 1) process.stdout.write(`Epoch ${epoch + 1}/${this.#epochs}\n`);
  }

  step(done: number, logs: Readonly<Record<string, number>>): void {
    const now = performance.now();
    if (this.#mode !== 1 || now - this.#printedMs < INTERVAL_MS) return;
    this.#printedMs = now;
    const filled = Math.round((done / this.#steps) * BAR_WIDTH);
    const left = Math.round((((now - this.#startMs) / done) * (this.#steps - done)) / 1000);
    const bar = '━'.repeat(filled) + '─'.repeat(BAR_WIDTH - filled);
    process.stdout.write(`\r\x1b[K${done}/${this.#steps} ${bar} ${left}s - ${format(logs)}`);
  }

  endEpoch(logs: Readonly<Record<string, number>>): void {
    if (this.#mode === 0) return;
    const seconds = (performance.now() - this.#startMs) / 1000;
    const stepMs = Math.round((seconds / this.#steps) * 1000);
    const line = `${this.#steps}/${this.#steps} - ${Math.round(seconds)}s ${stepMs}ms/step - ${format(logs)}`;
    process.stdout.write(
      this.#mode === 1 ? `\r\x1b[K${line}\n` : `Epoch ${this.#epoch + 1}/${this.#epochs} - ${line}\n`,
    );
  }

  [Symbol.dispose](): void {
    if (this.#mode === 1) process.stdout.write('\x1b[K');
  }
}

function format(logs: Readonly<Record<string, number>>): string {
  return Object.entries(logs)
    .map(
      ([name, value]) =>
        `${name}: ${Math.abs(value) > 1e-3 || value === 0 ? value.toFixed(4) : value.toExponential(4)}`,
    )
    .join(' - ');
}
