// Which samples of a source are used and what their classes are called: `classes` filters and renumbers, `limit` cuts. Pure.
import { DataError } from './errors.ts';
import type { Labels, SampleSource } from './samples.ts';

export interface Selection {
  /** Indices of the source, ascending. */
  readonly indices: Uint32Array;
  /** Of every sample of the source, renumbered; entries of samples that are left out mean nothing. */
  readonly labels?: Labels;
  readonly classCount?: number;
  readonly classNames?: readonly string[];
}

/** @throws DataError UNKNOWN_CLASS, LABEL_OUT_OF_RANGE, EMPTY_DATASET, BAD_SOURCE */
export function select(
  source: SampleSource,
  classes: readonly (number | string)[] | undefined,
  limit: number | undefined,
): Selection {
  const { labels } = source;
  const all = Uint32Array.from({ length: source.length }, (_, i) => i);
  const selection = classes
    ? selectClasses(source, classes, all)
    : { indices: all, ...(labels ? describe(labels) : {}) };
  const indices = selection.indices.subarray(0, limit ?? selection.indices.length);
  if (indices.length === 0)
    throw new DataError('EMPTY_DATASET', `${source.name}: expected at least one sample, got none`);
  return { ...selection, indices };
}

function describe(labels: Labels): Omit<Selection, 'indices'> {
  if (labels.kind === 'value') return { labels };
  let highest = (labels.names?.length ?? 0) - 1;
  for (const [i, value] of labels.values.entries()) {
    if (value < 0 || (labels.names && value >= labels.names.length)) {
      const bound = labels.names ? `0 to ${labels.names.length - 1}` : '0 or more';
      throw new DataError(
        'LABEL_OUT_OF_RANGE',
        `${labels.where(i)}: expected a label of ${bound}, got ${value}`,
      );
    }
    if (value > highest) highest = value;
  }
  const names = labels.names ? { classNames: labels.names } : {};
  return { labels, classCount: highest + 1, ...names };
}

function selectClasses(
  source: SampleSource,
  classes: readonly (number | string)[],
  all: Uint32Array,
): Selection {
  const { labels, name } = source;
  if (labels?.kind !== 'class')
    throw new DataError('BAD_SOURCE', `${name}: classes: expected a source with class labels, got none`);
  const renumbered = new Map<number, number>();
  for (const [i, wanted] of classes.entries()) renumbered.set(classNumber(wanted, labels.names, name), i);
  if (renumbered.size !== classes.length)
    throw new DataError(
      'UNKNOWN_CLASS',
      `${name}: classes: expected each class once, got ${classes.join(', ')}`,
    );
  const indices = all.filter((i) => renumbered.has(labels.values[i] as number));
  const values = labels.values.map((value) => renumbered.get(value) ?? -1);
  const classNames = classes.map((wanted) =>
    typeof wanted === 'string' ? wanted : (labels.names?.[wanted] ?? String(wanted)),
  );
  return {
    indices,
    labels: { ...labels, values, names: classNames },
    classCount: classes.length,
    classNames,
  };
}

function classNumber(wanted: number | string, names: readonly string[] | undefined, where: string): number {
  if (typeof wanted === 'number') return wanted;
  const found = names?.indexOf(wanted) ?? -1;
  if (found >= 0) return found;
  const known = names ? `one of ${names.join(', ')}` : 'a class number (this source has no names)';
  throw new DataError('UNKNOWN_CLASS', `${where}: classes: expected ${known}, got '${wanted}'`);
}
