// Every rule between fields, asked of both judges: zod and the API server must say the same about the same manifest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leptonJobStructural } from '../../../crds/crd.ts';
import { leptonJobSchema } from '../../../crds/leptonjob.ts';
import { admit } from './api-server.ts';
import { changed } from './jobs.ts';

const idx = { format: 'idx', uri: '/data' };
const csv = { format: 'csv', uri: '/data.csv' };
const npz = { format: 'npz', uri: '/data.npz' };
const layers = [{ flatten: {} }];

/** [what, path below spec, value, part of the message or undefined where it is right] */
const CASES: readonly (readonly [string, string, unknown, string?])[] = [
  ['layers', 'model', { layers }],
  ['a source', 'model', { source: { uri: 'runs/x' } }],
  ['a program', 'model', { program: { module: './model.ts' } }],
  ['no model at all', 'model', {}, 'exactly one of layers, source, program'],
  ['two models', 'model', { layers, source: { uri: 'x' } }, 'exactly one of layers, source, program'],
  ['a layer of two kinds', 'model.layers', [{ flatten: {}, relu: {} }], 'exactly one of conv2d'],
  ['a layer of no kind', 'model.layers', [{}], 'exactly one of conv2d'],
  ['two optimizers', 'training.optimizer', { sgd: {}, adam: {} }, 'exactly one of sgd, adam'],
  ['two schedules', 'training.schedule', { constant: {}, cosine: {} }, 'exactly one of constant, step'],
  ['two codecs', 'exchange', { gradientCodec: { int8: {}, topK: {} } }, 'exactly one of bfloat16, int8'],
  ['a codec', 'exchange', { gradientCodec: { topK: { ratio: 0.001 } } }],
  ['momentum before the choice', 'exchange', { gradientCodec: { topK: { momentum: 0.9 } } }],
  [
    'momentum of local steps',
    'exchange',
    { consistency: { mode: 'localSteps' }, gradientCodec: { oneBit: { momentum: 0.9 } } },
    'expected momentum of gradientCodec only with',
  ],
  ['data from nowhere', 'data', undefined, 'expected data'],
  [
    'both kinds of evaluation',
    'data',
    { train: idx, evaluate: idx, validationSplit: 0.1 },
    'at most one of evaluate',
  ],
  ['columns of a csv', 'data.train', { ...csv, columns: ['a'], labelColumn: 'b' }],
  ['columns of images', 'data.train', { ...idx, columns: ['a'] }, 'columns only with format csv, parquet'],
  ['a split of a csv', 'data.train', { ...csv, split: 'test' }, 'split only with format idx'],
  [
    'an image size of a csv',
    'data.train',
    { ...csv, imageSize: [8, 8] },
    'imageSize only with format imageFolder',
  ],
  ['augmented rows of a csv', 'data.train', { ...csv, augment: { shift: 2 } }, 'augment only with format'],
  ['keys of an npz', 'data.train', { ...npz, features: 'x', labels: 'y' }],
  ['labels without features', 'data.train', { ...npz, labels: 'y' }, 'labels needs features'],
  ['coarse labels', 'data.train', { format: 'cifar100', uri: '/data', labels: 'coarse' }],
];

/** Optimizers, and whether workers may have the momentum. */
const MOMENTS = [
  [{ sgd: {} }, true],
  [{ sgd: { momentum: 0.9 } }, false],
  [{ rmsprop: {} }, true],
  [{ rmsprop: { momentum: 0.5 } }, false],
  [{ adam: { beta1: 0 } }, true],
  [{ adam: {} }, false],
  [{ adamW: { beta1: 0 } }, true],
  [{ adamW: {} }, false],
] as const;

for (const [optimizer, once] of MOMENTS)
  for (const codec of ['oneBit', 'topK'])
    test(`momentum of ${codec} and ${JSON.stringify(optimizer)}: ${once ? 'accepted' : 'refused'} by both`, () => {
      const job = changed('exchange', { gradientCodec: { [codec]: { momentum: 0.9 } } });
      (job['spec'] as { training: { optimizer: unknown } }).training.optimizer = optimizer;
      const parsed = leptonJobSchema.safeParse(job);
      const answer = admit(leptonJobStructural(), job);
      assert.equal(parsed.success, once, parsed.error?.message);
      if (once) assert.deepEqual(answer, { stored: parsed.data });
      else
        assert.ok(
          'problems' in answer && answer.problems.join().includes('expected momentum of gradientCodec'),
        );
    });

function assertJudged(job: unknown, message: string | undefined): void {
  const answer = admit(leptonJobStructural(), job);
  const parsed = leptonJobSchema.safeParse(job);
  if (message === undefined) {
    assert.deepEqual(answer, { stored: parsed.data });
    return;
  }
  assert.ok(
    'problems' in answer && answer.problems.some((problem) => problem.includes(message)),
    JSON.stringify(answer),
  );
  assert.ok(
    parsed.error?.issues.some((issue) => issue.message.includes(message)),
    parsed.error?.message,
  );
}

for (const [what, path, value, message] of CASES)
  test(`${what}: ${message === undefined ? 'accepted' : 'refused'} by zod and by the API server`, () =>
    assertJudged(changed(path, value), message));

test('parameters in servers and in workers: more workers that stay than servers, and not too many', () => {
  const judge = (replicas: number, worker: object, message?: string): void => {
    const job = changed('parameterServer', { replicas, placement: 'mixed' });
    assertJudged({ ...job, spec: { ...(job['spec'] as object), worker } }, message);
  };
  judge(1, { replicas: 2 });
  judge(24, { replicas: 40 });
  judge(2, { replicas: 9, minReplicas: 3 });
  judge(0, { replicas: 2 }, 'mixed only with at least 1 server');
  judge(2, { replicas: 2 }, 'mixed only with at least 1 server');
  judge(2, { replicas: 9, minReplicas: 2 }, 'mixed only with at least 1 server');
  judge(25, { replicas: 40 }, 'mixed only with at least 1 server');
});
