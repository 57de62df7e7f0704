// Whether and when a process that ended is started again: a pure decision over what ended so far.
import { EXIT } from '../../protos/exit-codes.ts';
import type { ChildEnd } from './child.ts';

export interface RestartOptions {
  readonly maxRestarts: number;
}

export type RestartDecision =
  | { readonly kind: 'restart'; readonly delayMs: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'fail'; readonly code: string; readonly message: string };

/** Ends in a row, without a step in between, after which starting again is held to be useless. */
const CRASH_LOOP = 4;
const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 5000;

export class Restarts {
  readonly #maxRestarts: number;
  #used = 0;
  /** Name -> ends since the job last made a step. */
  readonly #inARow = new Map<string, number>();

  constructor({ maxRestarts }: RestartOptions) {
    this.#maxRestarts = maxRestarts;
  }

  /** The job made a step: whoever died before was not in a crash loop. */
  progressed(): void {
    this.#inARow.clear();
  }

  decide(name: string, end: ChildEnd): RestartDecision {
    const reason = reasonOf(name, end);
    if (end.code === EXIT.done) return { kind: 'done' };
    if (end.code === EXIT.hopeless || end.code === EXIT.replaced) return { kind: 'fail', ...reason };
    const inARow = (this.#inARow.get(name) ?? 0) + 1;
    this.#inARow.set(name, inARow);
    // A kill from outside says nothing about the process; an own error that repeats does.
    if (inARow >= CRASH_LOOP && end.signal === null)
      return {
        kind: 'fail',
        code: end.error?.code ?? 'CRASH_LOOP',
        message: `${name} ended ${inARow} times without a step in between: ${reason.message}`,
      };
    if (this.#used >= this.#maxRestarts)
      return {
        kind: 'fail',
        code: 'RESTART_LIMIT',
        message: `${name} ended and maxRestarts (${this.#maxRestarts}) is used up: ${reason.message}`,
      };
    this.#used++;
    return { kind: 'restart', delayMs: Math.min(FIRST_DELAY_MS * 2 ** (inARow - 1), MAX_DELAY_MS) };
  }
}

/** The process's own words where it had any. */
function reasonOf(
  name: string,
  { code, signal, error, lastLines }: ChildEnd,
): { code: string; message: string } {
  if (error) return error;
  const how = signal ? `killed by ${signal}` : `exit code ${code}`;
  const tail = lastLines.length > 0 ? `: ${lastLines.slice(-5).join(' | ')}` : '';
  return { code: 'CRASH_LOOP', message: `${name}: ${how}${tail}` };
}
