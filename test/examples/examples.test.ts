// Every example in a short form, by the real command, on data of the right format.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Random } from '../../worker/random/philox.ts';

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const TIMEOUT = { timeout: 300_000 };
let folder: string;

before(async () => {
  await mkdir(join(ROOT, 'build'), { recursive: true });
  folder = await mkdtemp(join(ROOT, 'build', 'examples-'));
  await writeCifar(join(folder, 'cifar'), 200);
});
after(() => rm(folder, { recursive: true, force: true }));

/** CIFAR-10's files with made-up pictures: the class decides the colour. */
async function writeCifar(path: string, perFile: number): Promise<void> {
  await mkdir(path);
  const random = new Random(1, 'pictures');
  for (const name of [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat('test_batch.bin')) {
    const file = new Uint8Array(perFile * 3073);
    for (let i = 0; i < perFile; i++) {
      const label = random.integer(10);
      file[i * 3073] = label;
      for (let at = 1; at < 3073; at++) file[i * 3073 + at] = 20 * label + random.integer(40);
    }
    await writeFile(join(path, name), file);
  }
}

interface Summary {
  readonly status: string;
  readonly steps: number;
  readonly train: Record<string, number>;
  readonly evaluate: Record<string, number>;
}

async function leptonRun(example: string, ...args: readonly string[]): Promise<Summary> {
  const all = [
    'run',
    join(ROOT, `examples/${example}/leptonjob.yaml`),
    '-o',
    'json',
    '--output',
    join(folder, example),
    ...args,
  ];
  const { stdout } = await execute(process.execPath, [join(ROOT, 'cli/main.ts'), ...all], { cwd: folder });
  return JSON.parse(stdout) as Summary;
}

test('fashion-mnist', TIMEOUT, async () => {
  const { stdout } = await execute(join(ROOT, 'scripts/datasets.sh'));
  const uri = `file://${stdout.trim()}`;
  const sources = ['train', 'evaluate'].flatMap((part) => [
    '--set',
    `data.${part}.uri=${uri}`,
    '--set',
    `data.${part}.limit=6000`,
  ]);
  const { status, evaluate } = await leptonRun('fashion-mnist', '--epochs', '1', ...sources);
  assert.equal(status, 'Succeeded');
  assert.ok(evaluate['accuracy']! > 0.7, JSON.stringify(evaluate));
});

test('cat-dog: the manifest', TIMEOUT, async () => {
  const uris = ['--set', `data.train.uri=${folder}/cifar`, '--set', `data.evaluate.uri=${folder}/cifar`];
  const { status, evaluate } = await leptonRun(
    'cat-dog',
    '--epochs',
    '6',
    '--workers',
    '4',
    '--set',
    'training.batchSize=8',
    ...uris,
  );
  assert.equal(status, 'Succeeded');
  assert.ok(evaluate['accuracy']! > 0.8, JSON.stringify(evaluate));
});

test('cat-dog: the program', TIMEOUT, async () => {
  const args = [
    join(ROOT, 'examples/cat-dog/train.ts'),
    join(folder, 'cifar'),
    '--workers',
    '2',
    '--epochs',
    '6',
  ];
  const { stdout } = await execute(process.execPath, args, { cwd: folder });
  assert.match(stdout, /accuracy: [01]/);
});

test('average-gradients: the closed form, and the least-squares solution', TIMEOUT, async () => {
  const { stdout } = await execute(process.execPath, [
    join(ROOT, 'examples/average-gradients/average-gradients.ts'),
  ]);
  const { worstRelativeError, distance, nodes } = JSON.parse(stdout) as Record<string, number>;
  assert.equal(nodes, 100);
  assert.ok(worstRelativeError! < 1e-4, stdout);
  assert.ok(distance! < 0.01, stdout);
});

test('tabular-csv', TIMEOUT, async () => {
  const { status, evaluate } = await leptonRun('tabular-csv');
  assert.equal(status, 'Succeeded');
  assert.ok(evaluate['accuracy']! > 0.9, JSON.stringify(evaluate));
});

test('residual', TIMEOUT, async () => {
  const uris = ['--set', `data.train.uri=${folder}/cifar`, '--set', `data.evaluate.uri=${folder}/cifar`];
  const limits = [
    '--set',
    'data.train.limit=256',
    '--set',
    'data.evaluate.limit=64',
    '--set',
    'training.batchSize=16',
  ];
  const { status, steps, evaluate } = await leptonRun('residual', '--epochs', '1', ...limits, ...uris);
  assert.deepEqual([status, steps], ['Succeeded', 8]);
  assert.ok(Number.isFinite(evaluate['loss']), JSON.stringify(evaluate));
});
