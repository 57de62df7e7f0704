// Holds the table of rooms (ARCHITECTURE.md) and the code equal: every import and #include must be an arrow of the table.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../../..');

/** Room -> rooms it may import. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  crds: [],
  protos: ['crds'],
  native: [],
  worker: ['native', 'protos', 'crds'],
  operator: ['crds', 'protos'],
  cli: ['crds', 'protos', 'native', 'worker', 'operator'],
  charts: ['operator'],
};

/** Folder of native/src -> folders whose headers it may include; only `binding` may know JavaScript. */
const INCLUDES: Readonly<Record<string, readonly string[]>> = {
  graph: ['ops'],
  ops: ['graph'],
  device: ['graph'],
  reference: ['graph', 'ops', 'device'],
  cpu: ['graph', 'ops', 'device'],
  engine: ['graph', 'ops', 'device'],
  codec: ['graph', 'engine'],
  binding: ['graph', 'device', 'engine', 'codec'],
};

interface Arrow {
  readonly from: string;
  readonly to: string;
  readonly file: string;
}

function files(...patterns: string[]): string[] {
  const listed = execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '--', ...patterns],
    {
      cwd: ROOT,
      encoding: 'utf8',
    },
  );
  return listed.split('\n').filter((file) => file !== '' && existsSync(join(ROOT, file)));
}

/** Paths, relative to the root, that a TypeScript file imports, exports from or loads by import(). */
function importsOf(file: string, ofTypes = true): string[] {
  const all = readFileSync(join(ROOT, file), 'utf8');
  const text = ofTypes ? all : all.replaceAll(/(?:^|\n)(?:import|export) type [^;]*;/g, '');
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s+'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)|(?:^|\n)import\s+'(\.[^']+)'/g,
  );
  return [...found].map((match) =>
    normalize(join(dirname(file), (match[1] ?? match[2] ?? match[3]) as string)),
  );
}

function typescriptArrows(): Arrow[] {
  const rooms = Object.keys(ARROWS);
  return files(...rooms.map((room) => `${room}/*.ts`)).flatMap((file) =>
    importsOf(file).map((path) => ({
      from: file.split('/')[0] as string,
      to: path.split('/')[0] as string,
      file,
    })),
  );
}

test('rooms import only what the table allows', () => {
  const arrows = typescriptArrows();
  assert.ok(arrows.length > 0, 'the test found no import at all');
  const wrong = arrows.filter(({ from, to }) => from !== to && !ARROWS[from]?.includes(to));
  assert.deepEqual(wrong, []);
});

test('no import cycles, those of types apart', () => {
  const graph = new Map(
    files(...Object.keys(ARROWS).map((room) => `${room}/*.ts`)).map((file) => [file, importsOf(file, false)]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      return;
    }
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) if (graph.has(next)) visit(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) visit(file, []);
  assert.deepEqual(cycles, []);
});

test('C++ folders include only what the table allows, and only binding knows Node-API', () => {
  const wrong: Arrow[] = [];
  for (const file of files('native/src/*.h', 'native/src/*.cc')) {
    const from = file.split('/')[2] as string;
    for (const [, path = ''] of readFileSync(join(ROOT, file), 'utf8').matchAll(
      /^#include\s+[<"]([^>"]+)[>"]/gm,
    )) {
      const to = path.split('/')[0] as string;
      if (path.startsWith('napi') || path.startsWith('node_api')) {
        if (from !== 'binding') wrong.push({ from, to: path, file });
      } else if (to in INCLUDES && to !== from && !INCLUDES[from]?.includes(to)) {
        wrong.push({ from, to, file });
      }
    }
  }
  assert.deepEqual(wrong, []);
});
