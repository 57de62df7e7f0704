// A long-lived program of a test: started in its own folder, logged to a file, ended with the test however that ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';

export interface DaemonOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly logFile: string;
  /** Network namespace that it lives in. */
  readonly network?: string | undefined;
  readonly environment?: Readonly<Record<string, string>>;
}

export class Daemon {
  readonly name: string;
  readonly #logFile: string;
  readonly #process: ChildProcess;

  constructor({ name, command, logFile, network, environment }: DaemonOptions) {
    this.name = name;
    this.#logFile = logFile;
    const log = openSync(logFile, 'a');
    // `ip netns exec` would remount /sys and hide the cgroups; setpriv ends the program with this process.
    const enter = network === undefined ? [] : ['nsenter', `--net=/var/run/netns/${network}`];
    const [program, ...rest] = [...enter, 'setpriv', '--pdeathsig', 'KILL', ...command] as [
      string,
      ...string[],
    ];
    this.#process = spawn(program, rest, {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...environment },
      detached: true, // Ctrl-C goes to the test, which ends everything in order
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** The end of what it said. */
  get lastWords(): string {
    return readFileSync(this.#logFile, 'utf8').slice(-3000);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async stop(graceMs = 5000): Promise<void> {
    if (!this.running) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), graceMs);
    await exited;
    clearTimeout(timer);
  }
}

/** Asks until it holds; throws with the last error and what `about` says when the time is over. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
  daemon?: Daemon,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end || daemon?.running === false)
      throw new Error(
        `${what}: not within ${timeoutMs} ms; ${last instanceof Error ? last.message : ''}\n${daemon?.lastWords ?? ''}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
