// Checkpoints on disk: committed or not there, torn ones are passed over and named, the old one outlives a failed new one.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Checkpoints, folderOf } from '../../../worker/checkpoint/checkpoints.ts';
import type { Manifest } from '../../../worker/checkpoint/manifest.ts';
import { openStore } from '../../../worker/checkpoint/store.ts';
import { RuntimeError } from '../../../worker/protocol/errors.ts';

interface Place extends AsyncDisposable {
  readonly path: string;
  readonly checkpoints: Checkpoints;
}

async function place(): Promise<Place> {
  const path = await mkdtemp(join(tmpdir(), 'lepton-test-'));
  return {
    path,
    checkpoints: new Checkpoints(openStore(path)),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

function values(step: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, at) => step + at / 1000);
}

async function save(
  { checkpoints }: Place,
  step: number,
  options: { run?: string; keep?: number; epoch?: number } = {},
) {
  const { run = 'aaaa', keep = 10, epoch = 1 } = options;
  const folder = folderOf(run, step, epoch);
  const shard = (from: number, to: number) => ({
    from,
    to,
    tensors: { parameters: values(step, to - from), 'slot.momentum': values(-step, to - from) },
  });
  const files = [
    await checkpoints.writeShard(folder, 0, 2, shard(0, 600)),
    await checkpoints.writeShard(folder, 1, 2, shard(600, 1000)),
  ];
  const manifest: Manifest = {
    format: 'lepton/checkpoint',
    version: 1,
    run,
    job: 'test',
    step,
    createdAt: new Date(1e12 + step).toISOString(),
    seed: 1,
    layoutDigest: 'x',
    arenaLength: 1000,
    ledger: { step, train: { samples: 3, sums: [0.1, 2] }, milliseconds: 5, history: [] },
    files,
  };
  await checkpoints.commit(folder, manifest, keep, assert.fail);
  return folder;
}

test('what is committed is read back, bit for bit', async () => {
  await using at = await place();
  const folder = await save(at, 7);
  const found = await at.checkpoints.newest('aaaa', assert.fail);
  assert.equal(found?.folder, folder);
  assert.deepEqual(found?.manifest.ledger.train, { samples: 3, sums: [0.1, 2] });
  const shard = await at.checkpoints.readShard(folder, found!.manifest.files[1]!);
  assert.equal(shard.from, 600);
  assert.deepEqual(shard.tensors['parameters'], values(7, 400));
  assert.deepEqual(shard.tensors['slot.momentum'], values(-7, 400));
});

const damages: Record<string, (folder: string) => Promise<void>> = {
  'a shard cut short': (folder) => truncate(join(folder, 'shard-1-of-2.safetensors'), 100),
  'a shard cut to nothing': (folder) => truncate(join(folder, 'shard-0-of-2.safetensors'), 0),
  'a shard of zeros': async (folder) => {
    const path = join(folder, 'shard-0-of-2.safetensors');
    await writeFile(path, Buffer.alloc((await readFile(path)).length));
  },
  'one bit turned': async (folder) => {
    const path = join(folder, 'shard-1-of-2.safetensors');
    const bytes = await readFile(path);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(path, bytes);
  },
  'a shard missing': (folder) => rm(join(folder, 'shard-1-of-2.safetensors')),
  'no manifest': (folder) => rm(join(folder, 'manifest.json')),
  'an empty manifest': (folder) => truncate(join(folder, 'manifest.json'), 0),
  'half a manifest': (folder) => truncate(join(folder, 'manifest.json'), 200),
  'a manifest of zeros': (folder) => writeFile(join(folder, 'manifest.json'), Buffer.alloc(500)),
};

for (const [name, damage] of Object.entries(damages))
  test(`${name}: the checkpoint before is used, and the reason is told`, async () => {
    await using at = await place();
    const good = await save(at, 5);
    const torn = await save(at, 10);
    await damage(join(at.path, torn));
    const told: string[] = [];
    const found = await at.checkpoints.newest('aaaa', (folder, reason) => told.push(`${folder}: ${reason}`));
    assert.equal(found?.folder, good);
    assert.equal(told.length, 1);
    assert.match(told[0]!, new RegExp(`^${torn}: .*(manifest|shard-)`));
  });

test('every file of every checkpoint damaged: none is found, nothing throws', async () => {
  await using at = await place();
  for (const step of [1, 2]) await damages['one bit turned']!(join(at.path, await save(at, step)));
  assert.equal(await at.checkpoints.newest('aaaa', () => {}), undefined);
});

test('the newest is by step within a run, by time across runs', async () => {
  await using at = await place();
  await save(at, 9, { run: 'aaaa' });
  const later = await save(at, 12, { run: 'bbbb' });
  const own = await at.checkpoints.newest('aaaa', assert.fail);
  assert.equal(own?.manifest.step, 9);
  assert.equal((await at.checkpoints.newest(undefined, assert.fail))?.folder, later);
  assert.equal(await at.checkpoints.newest('cccc', assert.fail), undefined);
});

test('the newest `keep` of the run are kept, other runs and uncommitted work of this run', async () => {
  await using at = await place();
  const other = await save(at, 1, { run: 'bbbb' });
  const abandoned = folderOf('aaaa', 2, 1);
  await at.checkpoints.writeShard(abandoned, 0, 1, { from: 0, to: 1, tensors: { parameters: values(2, 1) } });
  for (const step of [3, 4, 5, 6]) await save(at, step, { keep: 2 });
  const left = (await readdir(at.path)).sort();
  assert.deepEqual(left, [folderOf('aaaa', 5, 1), folderOf('aaaa', 6, 1), other].sort());
});

test('a checkpoint that was not committed gives its room back; those before stay', async () => {
  await using at = await place();
  const good = await save(at, 1);
  const given = folderOf('aaaa', 2, 1);
  await at.checkpoints.writeShard(given, 0, 2, { from: 0, to: 1, tensors: { parameters: values(2, 1) } });
  await at.checkpoints.discard(given);
  assert.deepEqual(await readdir(at.path), [good]);
  assert.equal((await at.checkpoints.newest('aaaa', assert.fail))?.folder, good);
});

test('a store that cannot be written: a named error, and the checkpoint before stays', async (context) => {
  if (process.getuid?.() === 0) return context.skip('root may write everywhere');
  await using at = await place();
  const good = await save(at, 1);
  await chmod(at.path, 0o500);
  await assert.rejects(
    save(at, 2),
    (error) => error instanceof RuntimeError && error.code === 'CHECKPOINT_WRITE_FAILED',
  );
  await chmod(at.path, 0o700);
  assert.equal((await at.checkpoints.newest('aaaa', assert.fail))?.folder, good);
});

test('a path below a file: a named error with path and reason', async () => {
  await using at = await place();
  await writeFile(join(at.path, 'file'), '');
  const checkpoints = new Checkpoints(openStore(join(at.path, 'file')));
  await assert.rejects(
    checkpoints.writeShard('aaaa-000000001-1', 0, 1, {
      from: 0,
      to: 1,
      tensors: { parameters: values(1, 1) },
    }),
    (error: Error) =>
      error instanceof RuntimeError && /not a folder/.test(error.message) && error.message.includes(at.path),
  );
});

test('a full disk: a named error, nothing under the final name', async (context) => {
  // A file system of one page is the honest full disk; /dev/full refuses every write in the same way.
  if (process.platform !== 'linux') return context.skip('needs /dev/full');
  const { writeAtomically } = await import('../../../worker/formats/atomic-file.ts');
  await assert.rejects(writeAtomically('/dev/full/x', [Buffer.alloc(1)]));
});
