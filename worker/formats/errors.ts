// What can be wrong with a file of a format that Lepton writes and reads itself.

export type FormatErrorCode = 'SAFETENSORS_INVALID' | 'FILE_UNREADABLE' | 'FILE_UNWRITABLE';

/** Message: file, what, expected, got. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly code: FormatErrorCode;

  constructor(code: FormatErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
