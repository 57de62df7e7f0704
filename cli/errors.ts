// What the command itself can refuse, and the exit code of every error. No printing, no ending.
import { ManifestError } from '../crds/errors.ts';

export const COMMAND_ERROR_CODES = [
  'USAGE',
  'OUTPUT_NOT_EMPTY',
  'OUTPUT_UNWRITABLE',
  'NOTHING_TO_RESUME',
  'NO_MODEL',
  'NO_DATA',
  'NO_CLUSTER',
  'CLUSTER_REFUSED',
  'NO_JOB',
  'NO_POD',
  'NO_TEST_CLUSTER',
  'TEST_CLUSTER_FAILED',
] as const;

export type CommandErrorCode = (typeof COMMAND_ERROR_CODES)[number];

export class CommandError extends Error {
  readonly code: CommandErrorCode;

  constructor(code: CommandErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.code = code;
  }
}

export const EXIT = {
  done: 0,
  /** The run, or what the command did, failed. */
  failed: 1,
  /** Refused before anything was started: the manifest or the command line is wrong. */
  refused: 2,
  /** Ended by Ctrl-C, as shells report it: 128 + SIGINT. */
  interrupted: 130,
  terminated: 143,
} as const;

const REFUSALS = new Set<CommandErrorCode>([
  'USAGE',
  'OUTPUT_NOT_EMPTY',
  'NOTHING_TO_RESUME',
  'NO_TEST_CLUSTER',
]);

export function exitCodeOf(error: unknown): number {
  if (error instanceof ManifestError) return EXIT.refused;
  return error instanceof CommandError && REFUSALS.has(error.code) ? EXIT.refused : EXIT.failed;
}

/** The error's own words; a stack only where the error is a bug of ours, or is asked for. */
export function describeError(error: unknown, debug: boolean): string {
  if (!(error instanceof Error)) return String(error);
  if (debug) return error.stack ?? error.message;
  const known = 'code' in error && typeof error.code === 'string';
  return known ? error.message : `internal error: ${error.message} (LEPTON_DEBUG=1 shows where)`;
}
