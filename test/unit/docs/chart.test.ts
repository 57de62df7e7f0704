// The chart's values, their schema and the operator's own configuration say the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { valuesSchema } from '../../../charts/values.ts';
import { type JsonSchema, mustBeDescribed } from '../../../charts/values-page.ts';
import { operatorConfigSchema } from '../../../operator/config.ts';

const ROOT = join(import.meta.dirname, '../../..');

test('the defaults of values.yaml are those of the schema', () => {
  const values = parse(readFileSync(join(ROOT, 'charts/lepton/values.yaml'), 'utf8'));
  assert.deepEqual(valuesSchema.parse(values), valuesSchema.parse({}));
});

test('what a fresh install tells the operator is what the operator would take by itself', () => {
  const text = readFileSync(join(ROOT, 'deploy/kustomize/operator.json'), 'utf8');
  const { leaderElection, image, ...config } = operatorConfigSchema.parse(JSON.parse(text));
  const { leaderElection: _, image: _2, ...own } = operatorConfigSchema.parse({ image: 'x' });
  assert.deepEqual(config, own);
  assert.equal(image, 'lepton/worker:0.1.0');
  assert.deepEqual(leaderElection, { enabled: true, namespace: 'lepton-system', name: 'lepton' });
});

test('a value without a description is not let into the schema', () => {
  const silent: JsonSchema = {
    properties: { a: { description: 'A', properties: { b: { type: 'string' } } } },
  };
  assert.throws(() => mustBeDescribed(silent), /got none of a\.b/);
});

test('chart, operator and package have one version', () => {
  const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
  const { version, appVersion } = parse(read('charts/lepton/Chart.yaml')) as Record<string, string>;
  const { version: own } = JSON.parse(read('package.json')) as { version: string };
  assert.deepEqual([version, appVersion], [own, own]);
});
