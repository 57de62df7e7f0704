// One process of a job: starts it, reads its log, remembers the error it ended with. Decides nothing.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LogLine } from '../protocol/progress.ts';
import { FATAL, parseLogLine } from '../roles/log.ts';

const MAIN = join(import.meta.dirname, '../main.ts');
/** Lines that are no log lines (a native library, a crash of Node) are kept for the error message. */
const KEPT_LINES = 20;

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What the process said about its end. */
  readonly error?: { readonly code: string; readonly message: string };
  readonly lastLines: readonly string[];
}

export interface ChildSurroundings {
  /** Is put in front of the command line. */
  readonly enter?: readonly string[];
  /** Open files that the process has from descriptor 3 on. */
  readonly inherited?: readonly number[];
}

export class Child {
  readonly name: string;
  readonly ended: Promise<ChildEnd>;
  readonly #process: ChildProcess;
  #error: ChildEnd['error'];
  readonly #lastLines: string[] = [];

  constructor(
    name: string,
    configPath: string,
    onLog: (line: LogLine) => void,
    { enter = [], inherited = [] }: ChildSurroundings = {},
  ) {
    this.name = name;
    const [program, ...rest] = [...enter, process.execPath, MAIN, '--config', configPath];
    // Standard input is the leash: it ends when this process dies, however it dies. A process group of its own, so that
    // a terminal's Ctrl-C reaches the launcher alone, which stops the job in order.
    this.#process = spawn(program!, rest, {
      stdio: ['pipe', 'ignore', 'pipe', ...inherited],
      detached: true,
    });
    this.#process.stdin?.on('error', () => {}); // the child ended first
    const lines = createInterface({ input: this.#process.stderr! });
    lines.on('line', (text) => this.#read(text, onLog));
    const read = new Promise((resolve) => lines.once('close', resolve));
    this.ended = new Promise((resolve) => {
      this.#process.once('error', (cause) => {
        this.#error = { code: 'INTERNAL', message: `${name}: cannot be started: ${cause.message}` };
        resolve({ code: null, signal: null, error: this.#error, lastLines: [] });
      });
      this.#process.once('exit', (code, signal) => {
        // A grandchild might hold the pipe open; the log's end is waited for only shortly.
        const timeout = new Promise((done) => setTimeout(done, 500).unref());
        void Promise.race([read, timeout]).then(() => resolve(this.#end(code, signal)));
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Works on stopped processes as well. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #read(text: string, onLog: (line: LogLine) => void): void {
    const line = parseLogLine(text);
    if (!line) {
      this.#lastLines.push(text);
      if (this.#lastLines.length > KEPT_LINES) this.#lastLines.shift();
      onLog({ time: new Date().toISOString(), source: this.name, level: 'debug', message: text, fields: {} });
      return;
    }
    if (line.message === FATAL)
      this.#error = { code: String(line.fields['code']), message: String(line.fields['error']) };
    onLog(line);
  }

  #end(code: number | null, signal: NodeJS.Signals | null): ChildEnd {
    return { code, signal, ...(this.#error ? { error: this.#error } : {}), lastLines: this.#lastLines };
  }
}
