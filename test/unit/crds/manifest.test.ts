// Manifests as text: every mistake gets its place, what was expected, what was found, and what may have been meant.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManifestError } from '../../../crds/errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../../crds/manifest.ts';
import { parseOverride } from '../../../crds/overrides.ts';
import { suggest } from '../../../crds/suggest.ts';
import { changed, smallJob, text } from './jobs.ts';

function refusal(manifest: string, ...sets: string[]): ManifestError {
  try {
    parseManifest(manifest, 'job.yaml', sets.map(parseOverride));
  } catch (error) {
    assert.ok(error instanceof ManifestError, String(error));
    return error;
  }
  return assert.fail('the manifest was accepted');
}

test('defaults are filled in', () => {
  const { spec } = parseManifest(text(smallJob()), 'job.yaml');
  assert.deepEqual(spec.training.optimizer, { sgd: { learningRate: 0.01, momentum: 0, nesterov: false } });
  assert.deepEqual(spec.exchange, { consistency: { mode: 'bulkSynchronous' } });
  assert.equal(spec.worker.replicas, 1);
});

test('JSON is YAML, and an empty section takes its defaults as in an API server', () => {
  assert.equal(parseManifest(JSON.stringify(smallJob()), 'job.json').metadata.name, 'small');
  assert.equal(parseManifest(text(changed('worker', null)), 'job.yaml').spec.worker.replicas, 1);
});

/** [path below spec, value, message] */
const WRONG_FIELDS: readonly (readonly [string, unknown, RegExp])[] = [
  ['training.epoch', 3, /job\.yaml:\d+:5: spec\.training\.epoch: unknown field; did you mean epochs\?$/],
  ['batchSize', 3, /spec\.batchSize: unknown field here; did you mean spec\.training\.batchSize\?$/],
  [
    'model.layers',
    [{ conv2D: {} }],
    /spec\.model\.layers\[0\]\.conv2D: unknown field; did you mean conv2d\?$/,
  ],
  ['model.layers', [{ dense: { unit: 3 } }], /dense\.unit: unknown field; did you mean units\?$/],
  ['training.batchSize', '64', /spec\.training\.batchSize: expected a number, got "64"$/],
  ['training.batchSize', 0, /spec\.training\.batchSize: expected at least 1, got 0$/],
  ['training.epochs', 1.5, /spec\.training\.epochs: expected a whole number, got 1\.5$/],
  [
    'training.loss',
    'hubber',
    /expected one of categoricalCrossentropy, .*, got "hubber" \(did you mean huber\?\)$/,
  ],
  ['training.loss', undefined, /spec\.training\.loss: expected one of .*, got nothing \(required field\)$/],
  ['model.layers', [{ flatten: null }], /flatten: expected an object \(\{\} for no options\), got nothing$/],
  ['model.layers', [], /spec\.model\.layers: expected at least 1 entries, got 0$/],
  ['model', {}, /spec\.model: expected exactly one of layers, source, program, got none$/],
  [
    'data.train.uri',
    'http://x/y',
    /spec\.data\.train\.uri: expected a path, file:\/\/\/path or s3.*, got "http:\/\/x\/y"$/,
  ],
  ['training.optimizer.sgd.learningRate', 0, /learningRate: expected more than 0, got 0$/],
  ['worker', 3, /spec\.worker: expected an object, got 3$/],
];

for (const [path, value, message] of WRONG_FIELDS) {
  test(`one clear line for ${path}: ${JSON.stringify(value)}`, () => {
    const { message: got, problems } = refusal(text(changed(path, value)));
    assert.match(got, message);
    assert.equal(problems.length, 1, got);
  });
}

test('line and column are those of the field', () => {
  const manifest = text(changed('training.epoch', 3));
  const [problem] = refusal(manifest).problems;
  const line = manifest.split('\n')[(problem?.line ?? 0) - 1] ?? '';
  assert.equal(line.slice((problem?.column ?? 0) - 1), 'epoch: 3');
});

test('text that is no manifest is refused whole', () => {
  const bomb = Array.from(
    { length: 9 },
    (_, i) => `a${i}: &a${i} [${i === 0 ? 'x' : Array(9).fill(`*a${i - 1}`)}]`,
  );
  const cases: [string, RegExp][] = [
    ['', /job\.yaml: expected a manifest, got an empty text/],
    ['a: [', /job\.yaml:1:\d+: /],
    ['a: 1\na: 2', /job\.yaml:2:1: .*unique/],
    ['a: 1\n---\nb: 2', /expected one document, got 2/],
    ['just words', /job\.yaml:1:1: expected an object, got "just words"/],
    [bomb.join('\n'), /expected at most 100 uses of aliases/],
    ['x'.repeat(MAX_MANIFEST_BYTES + 1), /expected at most 1048576 bytes, got 1048577/],
  ];
  for (const [manifest, message] of cases) assert.match(refusal(manifest).message, message);
});

test('overrides change any field below spec, lists included', () => {
  const sets = [
    'training.batchSize=64',
    'model.layers[1].dense.units=3',
    'data.train.classes=[cat, 7]',
    'spec.maxRestarts=9',
  ];
  const { spec } = parseManifest(text(smallJob()), 'job.yaml', sets.map(parseOverride));
  assert.equal(spec.training.batchSize, 64);
  assert.equal(spec.model.layers?.[1]?.dense?.units, 3);
  assert.deepEqual(spec.data?.train.classes, ['cat', 7]);
  assert.equal(spec.maxRestarts, 9);
});

test('a wrong override is named in the message', () => {
  const manifest = text(smallJob());
  const cases: [string, RegExp][] = [
    [
      'training.batchSiz=3',
      /spec\.training\.batchSiz: unknown field; did you mean batchSize\? \(from --set training\.batchSiz=3\)$/,
    ],
    ['training.batchSize=x', /expected a number, got "x" \(from --set training\.batchSize=x\)$/],
    ['training.batchSize', /--set training\.batchSize: expected path=value/],
    ['model.layers[7].dense.units=3', /expected a number below 2 in \[7\]/],
    ['__proto__.x=3', /expected a path of names/],
    ['constructor.prototype.x=3', /spec\.constructor: unknown field/],
  ];
  for (const [set, message] of cases) assert.match(refusal(manifest, set).message, message);
  assert.equal(({} as { x?: number }).x, undefined);
});

test('suggestions are near words only', () => {
  assert.equal(suggest('lerningRate', ['learningRate', 'momentum']), 'learningRate');
  assert.equal(suggest('Units', ['units']), 'units');
  assert.equal(suggest('xyz', ['units', 'name']), undefined);
});
