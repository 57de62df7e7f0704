// Every way in which a manifest or the schema itself can be wrong, as error classes with a code. No recovery, no logging.

export const MANIFEST_ERROR_CODES = [
  'MANIFEST_UNREADABLE',
  'MANIFEST_SYNTAX',
  'MANIFEST_INVALID',
  'BAD_OVERRIDE',
] as const;

export type ManifestErrorCode = (typeof MANIFEST_ERROR_CODES)[number];

/** One thing that is wrong with a manifest. */
export interface Problem {
  /** `spec.model.layers[0].conv2d.filters`; empty for the document as a whole. */
  readonly path: string;
  /** What was expected and what was found. */
  readonly message: string;
  /** Where the field stands in the text, counted from 1. */
  readonly line?: number;
  readonly column?: number;
}

/** A manifest that cannot be used. The message holds one line for each problem: where, expected, got. */
export class ManifestError extends Error {
  readonly code: ManifestErrorCode;
  readonly problems: readonly Problem[];

  constructor(code: ManifestErrorCode, source: string, problems: readonly Problem[], options?: ErrorOptions) {
    super(problems.map((problem) => `${at(source, problem)}: ${describe(problem)}`).join('\n'), options);
    this.name = 'ManifestError';
    this.code = code;
    this.problems = problems;
  }
}

function at(source: string, { line, column }: Problem): string {
  return line === undefined ? source : `${source}:${line}:${column}`;
}

function describe({ path, message }: Problem): string {
  return path === '' ? message : `${path}: ${message}`;
}

/** A zod schema that has no structural form in a CRD: a mistake of this repository, found when the CRD is generated. */
export class SchemaError extends Error {
  readonly code = 'SCHEMA_NOT_STRUCTURAL';

  constructor(path: string, message: string) {
    super(`${path || '<root>'}: ${message}`);
    this.name = 'SchemaError';
  }
}
