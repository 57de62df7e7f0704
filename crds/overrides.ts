// Overrides on the command line: `training.batchSize=64` into a changed copy of a spec. Knows no fields.
import { parse } from 'yaml';
import { ManifestError } from './errors.ts';
import type { Path } from './schema-walk.ts';

export interface Override {
  /** As written on the command line, for messages: `--set training.batchSize=64`, `--workers 2`. */
  readonly text: string;
  /** From the root of the manifest. */
  readonly path: Path;
  readonly value: unknown;
}

const EXAMPLE = 'training.batchSize=64 or data.train.classes=[cat, dog]';

/**
 * `path=value`, the path below spec (`model.layers[0].dense.units`), the value as in YAML.
 * @throws ManifestError BAD_OVERRIDE
 */
export function parseOverride(text: string): Override {
  const at = text.indexOf('=');
  if (at <= 0) throw badOverride(`--set ${text}`, `expected path=value, for example ${EXAMPLE}, got ${text}`);
  const keys = text
    .slice(0, at)
    .split('.')
    .flatMap((part) => parseKey(text, part));
  if (keys[0] === 'spec') keys.shift();
  try {
    return {
      text: `--set ${text}`,
      path: ['spec', ...keys],
      value: parse(text.slice(at + 1), { maxAliasCount: 0 }),
    };
  } catch (error) {
    throw badOverride(`--set ${text}`, `expected a value as in YAML, got ${text.slice(at + 1)}`, {
      cause: error,
    });
  }
}

/** `layers[0]` -> layers, 0. */
function parseKey(text: string, part: string): (string | number)[] {
  const match = /^([A-Za-z][A-Za-z0-9]*)((?:\[\d{1,4}\])*)$/.exec(part);
  if (!match)
    throw badOverride(
      text,
      `expected a path of names and [numbers], got ${text.slice(0, text.indexOf('='))}`,
    );
  const indices = [...(match[2] as string).matchAll(/\d+/g)].map(([digits]) => Number(digits));
  return [match[1] as string, ...indices];
}

function badOverride(text: string, message: string, options?: ErrorOptions): ManifestError {
  return new ManifestError('BAD_OVERRIDE', text, [{ path: '', message }], options);
}

/** A copy of `root` with the value at its path; objects on the way are made where they are missing. */
export function applyOverride(root: unknown, { text, path, value }: Override): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const inner = { text, path: rest, value };
  if (typeof key === 'number') {
    if (Array.isArray(root) && key < root.length) return root.with(key, applyOverride(root[key], inner));
    const length = Array.isArray(root) ? root.length : 0;
    throw badOverride(text, `expected a number below ${length} in [${key}], the length of the list`);
  }
  const object = typeof root === 'object' && root !== null && !Array.isArray(root) ? root : {};
  return { ...object, [key]: applyOverride((object as Record<PropertyKey, unknown>)[key], inner) };
}
