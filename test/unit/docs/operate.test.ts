// docs/operate.md and the code know the same conditions, waits, failures, events, metrics and alerts: each is explained once, and
// no row outlives what it is about.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { leptonJobStructural } from '../../../crds/crd.ts';
import { CONDITIONS, EVENT_REASONS, WAITING_ON } from '../../../operator/leptonjob/names.ts';
import { OperatorMetrics } from '../../../operator/metrics.ts';

const ROOT = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const page = read('docs/operate.md');

/** First column of the table whose header begins with `column`; every row must say something in its last one but for metrics. */
function rowsOf(column: string, mayBeSilent = false): string[] {
  const [, table = ''] = page.split(new RegExp(`^\\| ${column} \\|.*\\n\\|[-|]+\\|\\n`, 'm'));
  const rows = (/^(\|.*\|\n)+/.exec(table)?.[0] ?? '').trim().split('\n');
  return rows.map((row) => {
    const cells = row.split('|').slice(1, -1);
    assert.ok(mayBeSilent || cells.every((cell) => cell.trim() !== ''), row);
    return /`(\w+)`/.exec(cells[0] ?? '')?.[1] ?? row;
  });
}

function enumAt(...path: string[]): readonly string[] {
  let at: unknown = leptonJobStructural();
  for (const key of path) at = (at as Record<string, unknown>)[key];
  return at as readonly string[];
}

const field = (name: string): string[] => ['properties', name];

function alerts(): string[] {
  const { groups } = parse(read('charts/lepton/files/alerts.yaml')) as {
    groups: { rules: { alert: string }[] }[];
  };
  return groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
}

function metrics(): string[] {
  const { registry } = new OperatorMetrics({
    version: 'test',
    perJob: true,
    jobs: () => [],
    phases: () => [],
    queueDepth: () => 0,
    unfinishedSeconds: () => [],
    passes: () => ({ active: 0, most: 1 }),
    leads: () => true,
    reflectors: () => [],
  });
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  return names.filter((name) => !/^(nodejs|process)_/.test(name));
}

const reasons = [
  ...field('spec'),
  ...field('failurePolicy'),
  ...field('rules'),
  'items',
  ...field('reasons'),
];

const TABLES: readonly (readonly [column: string, known: readonly string[]])[] = [
  ['phase', enumAt(...field('status'), ...field('phase'), 'enum')],
  ['condition', CONDITIONS],
  ['on', WAITING_ON],
  ['failure', enumAt(...reasons, 'items', 'enum')],
  ['event', EVENT_REASONS],
  ['metric', metrics()],
  ['alert', alerts()],
];

for (const [column, known] of TABLES)
  test(`the table of every ${column}`, () => {
    assert.ok(known.length > 4, `only ${known.length} known`);
    assert.deepEqual(rowsOf(column, column === 'metric').sort(), [...known].sort());
  });

test('links between pages lead somewhere', () => {
  for (const name of ['operate', 'install', 'upgrade', 'uninstall', 'security'])
    for (const [, target = ''] of read(`docs/${name}.md`).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      assert.doesNotThrow(() => readFileSync(join(ROOT, 'docs', target)), `${name}.md: ${target}`);
});
