// Rows of numbers as they are read from a table: features on the way to a file of floats, labels in memory. No parsing.
import { readerOf } from './array-file.ts';
import { Sink } from './bytes/sink.ts';
import { DataError } from './errors.ts';
import type { Labels, SampleSource } from './samples.ts';

/** Features are collected in pieces of this many bytes. */
const PIECE_BYTES = 2 ** 20;
/** More different names than this are no classes. */
const MAX_CLASSES = 100_000;

export interface TableColumns {
  readonly features: readonly string[];
  /** Absent where the table has no labels. */
  readonly label?: string;
}

/**
 * Which columns are features and which is the label: by default the last column is the label and all others are features.
 * @throws DataError NO_SUCH_COLUMN, BAD_SOURCE
 */
export function chooseColumns(
  known: readonly string[],
  wanted: { readonly columns?: readonly string[]; readonly labelColumn?: string },
  where: string,
): TableColumns {
  const twice = known.find((name, i) => known.indexOf(name) !== i);
  if (twice !== undefined)
    throw new DataError('BAD_SOURCE', `${where}: expected different column names, got '${twice}' twice`);
  const { columns, labelColumn } = wanted;
  for (const name of [...(columns ?? []), ...(labelColumn === undefined ? [] : [labelColumn])]) {
    if (known.includes(name)) continue;
    const shown = known.slice(0, 20).join(', ') + (known.length > 20 ? ', ...' : '');
    throw new DataError('NO_SUCH_COLUMN', `${where}: expected a column of ${shown}, got '${name}'`);
  }
  const last = known.at(-1)!;
  const label = labelColumn ?? (columns?.includes(last) ? undefined : last);
  const features = columns ?? known.filter((name) => name !== label);
  if (features.length === 0)
    throw new DataError('BAD_SOURCE', `${where}: expected a column of features beside '${label}', got none`);
  if (label !== undefined && features.includes(label))
    throw new DataError('BAD_SOURCE', `${where}: '${label}' is among the features and the label as well`);
  return { features, ...(label === undefined ? {} : { label }) };
}

/** Takes rows in order, then becomes a source of samples of shape (features). */
export class Table {
  readonly #name: string;
  readonly #columns: TableColumns;
  readonly #sink: Sink;
  readonly #labels: LabelColumn;
  #piece: Float32Array<ArrayBuffer>;
  #filled = 0;
  #rows = 0;

  constructor(name: string, columns: TableColumns) {
    this.#name = name;
    this.#columns = columns;
    this.#sink = new Sink(name);
    this.#labels = new LabelColumn();
    this.#piece = this.#emptyPiece();
  }

  #emptyPiece(): Float32Array<ArrayBuffer> {
    const width = this.#columns.features.length;
    return new Float32Array(width * Math.max(1, Math.floor(PIECE_BYTES / 4 / width)));
  }

  /** `where` says where the row stands, for messages. @throws DataError NOT_A_NUMBER */
  add(features: readonly unknown[], label: unknown, where: () => string): Promise<void> | undefined {
    const { features: names, label: labelName } = this.#columns;
    for (const [i, value] of features.entries())
      this.#piece[this.#filled + i] = numberOf(value, () => `${where()}, column '${names[i]}'`);
    if (labelName !== undefined) this.#labels.add(label, () => `${where()}, column '${labelName}'`);
    this.#filled += features.length;
    this.#rows++;
    return this.#filled === this.#piece.length ? this.#flush() : undefined;
  }

  async #flush(): Promise<void> {
    const full = new Uint8Array(this.#piece.buffer, 0, 4 * this.#filled);
    this.#piece = this.#emptyPiece();
    this.#filled = 0;
    await this.#sink.add(full);
  }

  /** @throws DataError EMPTY_DATASET */
  async finish(): Promise<SampleSource> {
    if (this.#rows === 0)
      throw new DataError('EMPTY_DATASET', `${this.#name}: expected at least one row, got none`);
    await this.#flush();
    const bytes = this.#sink.finish();
    const { features, label } = this.#columns;
    const dimensions = [this.#rows, features.length];
    const type = { kind: 'float', bytes: 4, littleEndian: true } as const;
    return {
      name: this.#name,
      length: this.#rows,
      shape: [features.length],
      element: 'float32',
      ...(label === undefined ? {} : { labels: this.#labels.finish(this.#name) }),
      read: readerOf({ bytes, type, dimensions, start: 0 }),
      [Symbol.asyncDispose]: () => bytes[Symbol.asyncDispose](),
    };
  }

  discard(): Promise<void> {
    return this.#sink.discard();
  }
}

/** The first label decides: a number means numbers all the way down, anything else names of classes. */
class LabelColumn {
  #values = new Float64Array(1024);
  #rows = 0;
  #names: Map<string, number> | undefined;

  add(value: unknown, where: () => string): void {
    if (this.#rows === 0 && !isNumber(value)) this.#names = new Map();
    if (this.#rows === this.#values.length) {
      const longer = new Float64Array(2 * this.#rows);
      longer.set(this.#values);
      this.#values = longer;
    }
    this.#values[this.#rows++] = this.#names ? this.#idOf(this.#names, value, where) : numberOf(value, where);
  }

  #idOf(names: Map<string, number>, value: unknown, where: () => string): number {
    if (value === null || value === undefined || value === '')
      throw new DataError('NOT_A_NUMBER', `${where()}: expected the name of a class, got nothing`);
    const name = String(value);
    const known = names.get(name);
    if (known !== undefined) return known;
    if (names.size === MAX_CLASSES)
      throw new DataError('TOO_LARGE', `${where()}: expected at most ${MAX_CLASSES} class names, got more`);
    names.set(name, names.size);
    return names.size - 1;
  }

  /** Names are numbered in alphabetical order; whole numbers from 0 are classes as they stand. */
  finish(name: string): Labels {
    const values = this.#values.subarray(0, this.#rows);
    const where = (index: number): string => `${name}: row ${index + 1}`;
    if (this.#names) {
      const names = [...this.#names.keys()].sort();
      const renumbered = [...this.#names.keys()].map((text) => names.indexOf(text));
      return { kind: 'class', values: Int32Array.from(values, (id) => renumbered[id]!), names, where };
    }
    if (values.every((value) => value >= 0 && value === (value | 0)))
      return { kind: 'class', values: Int32Array.from(values), where };
    return { kind: 'value', values: Float32Array.from(values), shape: [1] };
  }
}

function isNumber(value: unknown): boolean {
  if (typeof value === 'string') return value.trim() !== '' && Number.isFinite(Number(value));
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean';
}

function numberOf(value: unknown, where: () => string): number {
  const number = isNumber(value) ? Number(value) : Number.NaN;
  if (Number.isFinite(number)) return number;
  const got =
    value === null || value === undefined || value === '' ? 'nothing' : `'${String(value).slice(0, 80)}'`;
  throw new DataError('NOT_A_NUMBER', `${where()}: expected a finite number, got ${got}`);
}
