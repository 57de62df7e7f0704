// Exit codes of every role: how a process tells launcher and operator whether starting it again makes sense.
import { RuntimeError } from '../protocol/errors.ts';

export const EXIT = {
  done: 0,
  /** Something went wrong that a new process may not meet again. */
  failed: 1,
  /** Wrong configuration, model, data or a diverged loss: a new process would meet it again. */
  hopeless: 3,
  /** A newer process has this rank. */
  replaced: 4,
  /** The process that started this one has died. */
  orphaned: 5,
} as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof RuntimeError) {
    if (error.code === 'REPLACED') return EXIT.replaced;
    if (error.code === 'PARENT_LOST') return EXIT.orphaned;
    // What another process said or kept to itself may be gone after a restart.
    const passing = error.retryable || error.code === 'INTERNAL' || error.code === 'STALLED';
    return passing || error.code === 'DEADLINE_EXCEEDED' ? EXIT.failed : EXIT.hopeless;
  }
  return codeOf(error) === undefined ? EXIT.failed : EXIT.hopeless;
}

/** The code of an error that one of our rooms made; system errors (with errno) and bugs have none. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || 'errno' in error) return undefined;
  return typeof error.code === 'string' && !error.code.startsWith('ERR_') ? error.code : undefined;
}
