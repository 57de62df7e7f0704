// A process that answers one line of JSON with another: how benchmarks talk to the sides that they compare, in turns.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

const ANSWER_MS = 300_000;

export class Peer implements Disposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  /** Pinned to these processors (as taskset names them), one thread of every library. */
  constructor(command: readonly string[], processors: number | string) {
    const one = { OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' };
    this.#process = spawn('taskset', ['-c', String(processors), ...command], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...one },
    });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async read<T>(): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`no answer within ${ANSWER_MS / 1000} s`)),
      ANSWER_MS,
    );
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late.promise]);
      if (done) throw new Error('the process ended without an answer');
      return JSON.parse(value as string) as T;
    } finally {
      clearTimeout(timer);
    }
  }

  ask<T>(command: object): Promise<T> {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
    return this.read<T>();
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL');
  }
}
