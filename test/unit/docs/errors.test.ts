// docs/errors.md and the code know the same error codes: every code is explained, and no page outlives its code.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

function files(...patterns: string[]): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...patterns];
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
}

/** Codes are capitals with underscores: as strings, or as keys of a table of codes. */
function codesOf(text: string): string[] {
  const code = '[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|STALLED|REPLACED|INTERNAL|USAGE';
  return [...text.matchAll(new RegExp(`['"](${code})['"]|^ {2}(${code}):`, 'gm'))].map((match) =>
    String(match[1] ?? match[2]),
  );
}

test('errors.md explains every code, and only those', () => {
  const rooms = files('*/errors.ts', 'cli/errors.ts').flatMap((path) => codesOf(read(path)));
  const engine = files('native/*.cc', 'native/*.h', 'native/*.ts')
    .flatMap((path) => [...read(path).matchAll(/\bENGINE_[A-Z]+\b/g)])
    .map(([code]) => code);
  const known = new Set([...rooms, ...engine]);
  assert.ok(known.size > 50, `only ${known.size} codes found`);
  const page = [...read('docs/errors.md').matchAll(/^\| `([A-Z0-9_]+)`\s*\|/gm)].map((match) =>
    String(match[1]),
  );
  assert.deepEqual(
    page.filter((code, i) => page.indexOf(code) !== i),
    [],
    'explained twice',
  );
  assert.deepEqual([...page].sort(), [...known].sort());
});
