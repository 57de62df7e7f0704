// Keeps a block of lines at the bottom of a terminal, repainted in place, with permanent lines above it. Writes; decides nothing.

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const CLEAR_BELOW = '\x1b[J';

/** Repaints at most every `intervalMs` (Keras: 50 ms is plenty for eyes; terminals over a network like less). */
export class LiveBlock implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #intervalMs: number;
  #height = 0;
  #paintedAtMs = 0;

  constructor(stream: NodeJS.WriteStream, intervalMs = 100) {
    this.#stream = stream;
    this.#intervalMs = intervalMs;
    stream.write(HIDE_CURSOR);
  }

  get columns(): number {
    return this.#stream.columns ?? 80;
  }

  /** Lines that fit: a taller block could not be repainted. */
  get rows(): number {
    return (this.#stream.rows ?? 24) - 1;
  }

  /** Replaces the block, unless it was painted a moment ago. */
  paint(lines: readonly string[], nowMs: number): void {
    if (nowMs - this.#paintedAtMs < this.#intervalMs) return;
    this.#paintedAtMs = nowMs;
    this.#stream.write(`${this.#rewind()}${lines.join('\n')}\n`);
    this.#height = lines.length;
  }

  /** Writes a line that stays, above the block. */
  print(line: string): void {
    this.#stream.write(`${this.#rewind()}${line}\n`);
    this.#height = 0;
    this.#paintedAtMs = 0;
  }

  /** Removes the block and gives the cursor back. */
  [Symbol.dispose](): void {
    this.#stream.write(`${this.#rewind()}${SHOW_CURSOR}`);
    this.#height = 0;
  }

  #rewind(): string {
    return this.#height > 0 ? `\x1b[${this.#height}F${CLEAR_BELOW}` : '';
  }
}
