// From errors to exit codes. Knows no process.
import { EXIT } from '../../protos/exit-codes.ts';
import { RuntimeError } from '../protocol/errors.ts';

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
