// An engine that was compiled from other sources is refused by name before anything is asked of it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fingerprintOf } from '../../../native/load.ts';

const ROOT = join(import.meta.dirname, '../../..');
const ADDON = join(ROOT, 'build/native/lepton.node');

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-native-'));
  await mkdir(join(folder, 'src'));
  for (const file of ['engine.ts', 'errors.ts', 'graph.ts', 'load.ts'])
    await copyFile(join(ROOT, 'native', file), join(folder, file));
});
after(() => rm(folder, { recursive: true, force: true }));

/** What a process says that loads the engine beside the sources of the folder. */
function loading(addon: string): string {
  const env = { ...process.env, LEPTON_ADDON: addon };
  const { stderr, status } = spawnSync(process.execPath, [join(folder, 'engine.ts')], {
    env,
    encoding: 'utf8',
  });
  assert.equal(status === 0, stderr === '', stderr);
  return stderr;
}

test('the engine here is of the sources here; a byte more, and it is refused in words that name both', async () => {
  await cp(join(ROOT, 'native/src'), join(folder, 'src'), { recursive: true });
  const own = fingerprintOf(join(folder, 'src'));
  assert.equal(loading(ADDON), '');
  await writeFile(join(folder, 'src/graph/new.h'), '// changed\n');
  const changed = fingerprintOf(join(folder, 'src'));
  const words = loading(ADDON);
  for (const word of ['ENGINE_OUTDATED', own, changed, ADDON, "run 'make setup'"])
    assert.ok(words.includes(word), `${word} in: ${words}`);
});

test('one from before engines said what they are made of is refused as well', async () => {
  const older = join(folder, 'older.cjs');
  await writeFile(older, 'module.exports = { hostIdentity: "" };');
  assert.match(loading(older), /sources unknown, expected those of native.*ENGINE_OUTDATED/s);
});

test('renaming a file or moving its end into another one is another fingerprint', async () => {
  const at = join(folder, 'prints');
  const print = async (files: Readonly<Record<string, string>>): Promise<string> => {
    await rm(at, { recursive: true, force: true });
    await mkdir(join(at, 'in'), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(at, name), text);
    return fingerprintOf(at);
  };
  const prints = [
    await print({ a: 'one', 'in/b': 'two' }),
    await print({ a: 'one', 'in/c': 'two' }),
    await print({ a: 'onet', 'in/b': 'wo' }),
    await print({ a: 'one', b: 'two' }),
  ];
  assert.equal(new Set(prints).size, prints.length);
  assert.equal(await print({ a: 'one', 'in/b': 'two' }), prints[0]);
});
