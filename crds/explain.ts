// zod's issues in the words of this project: what was expected, what was found, what may have been meant.
import type { z } from 'zod';
import { fieldsAt, findField, formatPath, type Path } from './schema-walk.ts';
import { suggest } from './suggest.ts';

export interface Explanation {
  readonly path: Path;
  readonly message: string;
  /** The unknown field, where the path is that of its object. */
  readonly key?: string;
}

/** Every problem once: where a misspelt field is named, what is missing because of it is not. */
export function explainIssues(schema: z.core.$ZodType, issues: readonly z.core.$ZodIssue[]): Explanation[] {
  const unknown = issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? [issue] : []));
  const isMeant = (path: Path) =>
    unknown.some(
      ({ path: parent, keys }) =>
        formatPath(path.slice(0, -1)) === formatPath(parent) &&
        keys.some((key) => suggest(key, fieldsAt(schema, parent)) === path.at(-1)),
    );
  const isExplained = (issue: z.core.$ZodIssue) =>
    issue.code === 'custom'
      ? unknown.some(({ path }) => formatPath(path) === formatPath(issue.path))
      : issue.input === undefined && isMeant(issue.path);
  return issues.filter((issue) => !isExplained(issue)).flatMap((issue) => explainIssue(schema, issue));
}

function explainIssue(schema: z.core.$ZodType, issue: z.core.$ZodIssue): Explanation[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: issue.path,
      key,
      message: unknownField(schema, issue.path, key),
    }));
  }
  return [{ path: issue.path, message: messageOf(issue) }];
}

function messageOf(issue: z.core.$ZodIssue): string {
  const got = show(issue.input);
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined)
        return `expected ${article(issue.expected)}, got nothing (required field)`;
      if (issue.input === null && issue.expected === 'object')
        return 'expected an object ({} for no options), got nothing';
      return `expected ${article(issue.expected)}, got ${got}`;
    case 'invalid_value':
      return `expected ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}, got ${got}${meant(issue)}`;
    case 'too_small':
      return `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unit(issue.origin)}, got ${amount(issue)}`;
    case 'too_big':
      return `expected ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unit(issue.origin)}, got ${amount(issue)}`;
    case 'invalid_format':
      return `${issue.message}, got ${got}`;
    case 'invalid_union':
      return `expected a whole number or text, got ${got}`;
    default:
      return issue.message;
  }
}

function meant(issue: z.core.$ZodIssueInvalidValue): string {
  if (typeof issue.input !== 'string') return '';
  const near = suggest(issue.input, issue.values.map(String));
  return near === undefined ? '' : ` (did you mean ${near}?)`;
}

/** A slip of the pen first, then a known field in the wrong place. */
function unknownField(schema: z.core.$ZodType, path: Path, key: string): string {
  const siblings = fieldsAt(schema, path);
  const near = suggest(key, siblings);
  if (near !== undefined) return `unknown field; did you mean ${near}?`;
  const elsewhere = findField(schema, key);
  if (elsewhere) return `unknown field here; did you mean ${formatPath(elsewhere)}?`;
  const known = siblings.length > 0 ? siblings.join(', ') : 'no field';
  return `unknown field; expected ${known}`;
}

const ARTICLES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

function article(expected: string): string {
  return ARTICLES[expected] ?? expected;
}

function unit(origin: string): string {
  if (origin === 'array') return ' entries';
  return origin === 'string' ? ' characters' : '';
}

function amount({ origin, input }: { origin: string; input?: unknown }): string {
  if (origin === 'array' && Array.isArray(input)) return String(input.length);
  return origin === 'string' && typeof input === 'string' ? String(input.length) : show(input);
}

const SHOWN_LENGTH = 60;

/** A value in one short line. */
function show(value: unknown): string {
  if (value === undefined) return 'nothing (required field)';
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}
