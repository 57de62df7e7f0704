// From the text of a manifest to a valid LeptonJob with all defaults, or to every problem with its place. Reads no file.
import { type Document, isMap, isNode, isScalar, LineCounter, parseAllDocuments } from 'yaml';
import type { z } from 'zod';
import { type DataSource, dataSourceSchema } from './data-source.ts';
import { ManifestError, type Problem } from './errors.ts';
import { explainIssues } from './explain.ts';
import { type LeptonJob, leptonJobSchema } from './leptonjob.ts';
import { applyOverride, type Override } from './overrides.ts';
import { dropNulls, formatPath, type Path } from './schema-walk.ts';

/** A manifest is written by hand; the API server's own limit is near this. */
export const MAX_MANIFEST_BYTES = 2 ** 20;
const MAX_ALIASES = 100;

/**
 * YAML or JSON text of one LeptonJob. `source` names the text in messages.
 * @throws ManifestError MANIFEST_SYNTAX | MANIFEST_INVALID | BAD_OVERRIDE
 */
export function parseManifest(text: string, source: string, overrides: readonly Override[] = []): LeptonJob {
  return parseAs(leptonJobSchema, text, source, overrides);
}

/** One source of samples, written as in `spec.data.train`. @throws ManifestError */
export function parseDataSource(text: string, source: string): DataSource {
  return parseAs(dataSourceSchema, text, source, []);
}

function parseAs<T extends z.ZodType>(
  schema: T,
  text: string,
  source: string,
  overrides: readonly Override[],
): z.output<T> {
  const lines = new LineCounter();
  const document = parseDocument(text, source, lines);
  const changed = overrides.reduce(applyOverride, toPlain(document, source));
  const parsed = schema.safeParse(dropNulls(schema, changed), { reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = explainIssues(schema, parsed.error.issues).map(({ path, message, key }): Problem => {
    const full = key === undefined ? path : [...path, key];
    const override = overrides.findLast(({ path: set }) => set.every((part, i) => full[i] === part));
    if (override) return { path: formatPath(full), message: `${message} (from ${override.text})` };
    return { path: formatPath(full), message, ...placeOf(document, full, lines) };
  });
  problems.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  throw new ManifestError('MANIFEST_INVALID', source, problems);
}

function parseDocument(text: string, source: string, lines: LineCounter): Document {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_MANIFEST_BYTES) {
    throw syntax(source, `expected at most ${MAX_MANIFEST_BYTES} bytes, got ${bytes}`);
  }
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const list = 'empty' in documents ? [] : documents;
  const document = list[0];
  if (!document) throw syntax(source, 'expected a manifest, got an empty text');
  if (list.length > 1) throw syntax(source, `expected one document, got ${list.length} (separated by ---)`);
  const error = document.errors[0];
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new ManifestError('MANIFEST_SYNTAX', source, [
      { path: '', message: error.message, line, column: col },
    ]);
  }
  return document;
}

function toPlain(document: Document, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    throw syntax(source, `expected at most ${MAX_ALIASES} uses of aliases, got more`, { cause: error });
  }
}

function syntax(source: string, message: string, options?: ErrorOptions): ManifestError {
  return new ManifestError('MANIFEST_SYNTAX', source, [{ path: '', message }], options);
}

/** Line and column of the key at `path`, or of the nearest thing around it. */
function placeOf(document: Document, path: Path, lines: LineCounter): { line?: number; column?: number } {
  for (let length = path.length; length >= 0; length--) {
    const start = startOf(document, path.slice(0, length));
    if (start === undefined) continue;
    const { line, col } = lines.linePos(start);
    return { line, column: col };
  }
  return {};
}

function startOf(document: Document, path: Path): number | undefined {
  const parent = path.length > 0 ? document.getIn(path.slice(0, -1), true) : undefined;
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === path.at(-1));
    return pair && isNode(pair.key) ? pair.key.range?.[0] : undefined;
  }
  const node = path.length > 0 ? document.getIn(path, true) : document.contents;
  return isNode(node) ? node.range?.[0] : undefined;
}
