// The command line itself: usage, exit codes, what goes to which stream. Nothing here trains.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { smallJob, text } from '../crds/jobs.ts';
import { lepton } from './lepton.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-command-'));
  await writeFile(join(folder, 'job.yaml'), text(smallJob()));
});
after(() => rm(folder, { recursive: true, force: true }));

test('help goes to standard output with code 0, wrong usage to standard error with code 2', async () => {
  const help = await lepton(['run', '--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: lepton run/);
  const wrong: [string[], RegExp][] = [
    [[], /Usage: lepton/],
    [['rn'], /unknown command 'rn'\n\(Did you mean run\?\)/],
    [['run'], /missing required argument 'file'/],
    [['run', 'job.yaml', '--wrokers', '2'], /unknown option '--wrokers'\n\(Did you mean --workers\?\)/],
    [['validate', 'a', 'b'], /too many arguments/],
    [['predict', 'model', '--limit', '0'], /expected a whole number from 1, got 0/],
    [['validate', 'job.yaml', '-o', 'xml'], /Allowed choices are text, json, yaml/],
  ];
  for (const [args, message] of wrong) {
    const said = await lepton(args);
    assert.equal(said.code, 2, args.join(' '));
    assert.equal(said.stdout, '');
    assert.match(said.stderr, message);
  }
});

test('validate prints the manifest with its defaults, relative paths from its folder', async () => {
  const manifest = text({
    ...smallJob(),
    spec: { ...smallJob().spec, data: { train: { format: 'idx', uri: 'data' } } },
  });
  await writeFile(join(folder, 'relative.yaml'), manifest);
  const json = JSON.parse(
    (await lepton(['validate', 'relative.yaml', '-o', 'json'], { cwd: folder })).stdout,
  );
  const yaml = parse((await lepton(['validate', join(folder, 'relative.yaml'), '-o', 'yaml'])).stdout);
  assert.deepEqual(json, yaml);
  assert.equal(json.spec.data.train.uri, join(folder, 'data'));
  assert.equal(json.spec.training.batchSize, 32);
  const args = ['validate', 'relative.yaml', '--set', 'data.train.uri=else/where', '-o', 'json'];
  const moved = JSON.parse((await lepton(args, { cwd: folder })).stdout);
  assert.equal(moved.spec.data.train.uri, join(folder, 'else/where'));
});

test('a wrong manifest: code 2, one line each, no stack', async () => {
  await writeFile(
    join(folder, 'wrong.yaml'),
    text(smallJob()).replace('units:', 'unit:').replace('sgd: {}', 'sdg: {}'),
  );
  for (const command of ['validate', 'run']) {
    const { code, stdout, stderr } = await lepton([command, 'wrong.yaml'], { cwd: folder });
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.deepEqual(
      stderr
        .split('\n')
        .slice(0, -1)
        .map((line) => line.replace(/^(lepton: )?wrong\.yaml:\d+:\d+: /, '')),
      [
        'spec.model.layers[1].dense.unit: unknown field; did you mean units?',
        'spec.training.optimizer.sdg: unknown field; did you mean sgd?',
      ],
    );
  }
});

test('datasets are found by their files, wherever LEPTON_DATA points', async () => {
  await mkdir(join(folder, 'cifar-10-batches-bin'), { recursive: true });
  await writeFile(join(folder, 'cifar-10-batches-bin/data_batch_1.bin'), '');
  const { stdout } = await lepton(['datasets', '-o', 'json'], { env: { LEPTON_DATA: folder } });
  const found = JSON.parse(stdout).datasets.find(({ name }: { name: string }) => name === 'cifar-10');
  assert.equal(found.folder, join(folder, 'cifar-10-batches-bin'));
  const plain = await lepton(['datasets'], { env: { LEPTON_DATA: folder } });
  assert.match(plain.stdout, /cifar-10 \(format cifar10\).*\n {2}\/.*cifar-10-batches-bin\n/);
});

test('LEPTON_DEBUG=1 shows the stack', async () => {
  const { stderr } = await lepton(['validate', 'no-such-file.yaml'], { env: { LEPTON_DEBUG: '1' } });
  assert.match(stderr, /\n {4}at /);
});
