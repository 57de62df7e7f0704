// The spans of one process in a file: a ring of records of equal size, written once a second, so that memory and disk are bounded and
// a process that is killed leaves what it did until then. Read by the same host only.
import { closeSync, openSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PHASES, type Phase } from '../../protos/phases.ts';
import type { Trace } from './trace.ts';

export interface PartHeader {
  readonly role: 'server' | 'worker';
  readonly rank: number;
  readonly attempt: number;
  readonly process: number;
}

export interface Span {
  readonly phase: Phase;
  readonly step: number;
  /** By the host's monotonic clock, which all its processes share. */
  readonly fromMs: number;
  readonly milliseconds: number;
  readonly rank?: number;
}

export interface Part extends PartHeader {
  /** In the order in which they ended. */
  readonly spans: readonly Span[];
  /** Spans that newer ones have replaced. */
  readonly overwritten: number;
}

const MAGIC = 0x4c545231; // LTR1
const HEADER_BYTES = 64;
/** fromMs and milliseconds as float64, step, phase, rank + 1 and nothing as uint32. */
const RECORD_BYTES = 32;
/** 4 MiB on disk: some ten thousand steps. */
const CAPACITY = 131_072;
/** 32 KiB of memory; written when full, whatever the time. */
const BUFFERED = 1024;
const WRITE_INTERVAL_MS = 1000;
/** A process may be interrupted between two clocks, but not every time. */
const LOOKS = 20;

export interface PartOptions extends PartHeader {
  /** Replaced where it exists. */
  readonly path: string;
  /** Spans that are kept. */
  readonly capacity?: number;
  /** Nothing is recorded any more. */
  readonly failed: (error: Error) => void;
}

export class PartWriter implements Trace, Disposable {
  readonly #options: PartOptions;
  readonly #capacity: number;
  readonly #times = new Float64Array((BUFFERED * RECORD_BYTES) / 8);
  readonly #numbers = new Uint32Array(this.#times.buffer);
  readonly #timer: NodeJS.Timeout;
  readonly #zeroMs = hostZeroMs();
  /** Undefined once it is closed. */
  #file: number | undefined;
  #buffered = 0;
  #written = 0;

  /** Throws where the file cannot be made. */
  constructor(options: PartOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? CAPACITY;
    this.#file = openSync(options.path, 'w', 0o600);
    this.flush();
    this.#timer = setInterval(() => this.flush(), WRITE_INTERVAL_MS);
    this.#timer.unref();
  }

  span(phase: Phase, step: number, fromMs: number, untilMs = performance.now(), rank = -1): void {
    if (this.#file === undefined) return;
    if (this.#buffered === BUFFERED) this.flush();
    const at = this.#buffered++;
    this.#times[4 * at] = fromMs;
    this.#times[4 * at + 1] = untilMs - fromMs;
    this.#numbers[8 * at + 4] = step;
    this.#numbers[8 * at + 5] = PHASES.indexOf(phase);
    this.#numbers[8 * at + 6] = rank + 1;
  }

  /** What is buffered is safe from the end of this process, not from that of the host. */
  flush(): void {
    if (this.#file === undefined) return;
    try {
      let from = 0;
      while (from < this.#buffered) {
        const slot = this.#written % this.#capacity;
        const count = Math.min(this.#buffered - from, this.#capacity - slot);
        writeSync(this.#file, this.#bytes(from, count), 0, undefined, HEADER_BYTES + slot * RECORD_BYTES);
        this.#written += count;
        from += count;
      }
      this.#buffered = 0;
      writeSync(this.#file, this.#header(), 0, undefined, 0);
    } catch (error) {
      this[Symbol.dispose](false);
      this.#options.failed(error as Error);
    }
  }

  [Symbol.dispose](flush = true): void {
    if (flush) this.flush();
    clearInterval(this.#timer);
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #bytes(from: number, count: number): Uint8Array {
    return new Uint8Array(this.#times.buffer, from * RECORD_BYTES, count * RECORD_BYTES);
  }

  #header(): Uint8Array {
    const { role, rank, attempt, process } = this.#options;
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    const numbers = [MAGIC, this.#capacity, process, rank, attempt, role === 'server' ? 0 : 1];
    for (const [at, number] of numbers.entries()) header.setUint32(4 * at, number, true);
    header.setFloat64(24, this.#written, true);
    header.setFloat64(32, this.#zeroMs, true);
    return new Uint8Array(header.buffer);
  }
}

/** What the host's monotonic clock showed when performance.now() was 0 here: of several looks at both the one that took least. */
function hostZeroMs(): number {
  let [least, zeroMs] = [Number.POSITIVE_INFINITY, 0];
  for (let look = 0; look < LOOKS; look++) {
    const before = performance.now();
    const hostMs = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    if (after - before < least) [least, zeroMs] = [after - before, hostMs - (before + after) / 2];
  }
  return zeroMs;
}

/** Undefined for a file that no writer has begun. */
export async function readPart(path: string): Promise<Part | undefined> {
  const bytes = await readFile(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < HEADER_BYTES || view.getUint32(0, true) !== MAGIC) return undefined;
  const [capacity, process, rank, attempt, role] = [4, 8, 12, 16, 20].map((at) => view.getUint32(at, true));
  const written = view.getFloat64(24, true);
  const zeroMs = view.getFloat64(32, true);
  const first = written > capacity! ? written % capacity! : 0;
  const kept = Math.min(written, capacity!, Math.floor((bytes.byteLength - HEADER_BYTES) / RECORD_BYTES));
  const spans = Array.from({ length: kept }, (_, at) =>
    spanAt(view, HEADER_BYTES + ((first + at) % capacity!) * RECORD_BYTES, zeroMs),
  );
  return {
    role: role === 0 ? 'server' : 'worker',
    rank: rank!,
    attempt: attempt!,
    process: process!,
    spans,
    overwritten: written - kept,
  };
}

function spanAt(view: DataView, at: number, zeroMs: number): Span {
  const rank = view.getUint32(at + 24, true) - 1;
  return {
    fromMs: zeroMs + view.getFloat64(at, true),
    milliseconds: view.getFloat64(at + 8, true),
    step: view.getUint32(at + 16, true),
    phase: PHASES[view.getUint32(at + 20, true)]!,
    ...(rank < 0 ? {} : { rank }),
  };
}
