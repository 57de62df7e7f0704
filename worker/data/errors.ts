// Every way in which data can be wrong, as one error class with a code. No recovery, no logging.

export const DATA_ERROR_CODES = [
  'MISSING_FILE',
  'UNREADABLE_FILE',
  'TRUNCATED_FILE',
  'WRONG_MAGIC',
  'CORRUPT_FILE',
  'TOO_LARGE',
  'UNSUPPORTED_DTYPE',
  'SHAPE_MISMATCH',
  'COUNT_MISMATCH',
  'EMPTY_DATASET',
  'BATCH_TOO_LARGE',
  'LABEL_OUT_OF_RANGE',
  'UNKNOWN_CLASS',
  'NO_SUCH_COLUMN',
  'NOT_A_NUMBER',
  'BAD_SOURCE',
  'S3_STATUS',
  'STALLED',
] as const;

export type DataErrorCode = (typeof DATA_ERROR_CODES)[number];

/** What is wrong, where (path, byte or line), what was expected and what was found: all of it in the message. */
export class DataError extends Error {
  readonly code: DataErrorCode;

  constructor(code: DataErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DataError';
    this.code = code;
  }
}
