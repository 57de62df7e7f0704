// Where results go: new folders by time, exactly --output, nothing overwritten, clear words where it cannot be written.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { prepareFolder } from '../../../cli/output-folder.ts';

const now = new Date('2026-11-24T10:15:00Z');
const home = process.cwd();
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-folder-'));
  process.chdir(folder);
});
after(async () => {
  process.chdir(home);
  await rm(folder, { recursive: true, force: true });
});

test('nothing to resume before the first run', async () => {
  await assert.rejects(prepareFolder({ name: 'none', resume: true, now }), { code: 'NOTHING_TO_RESUME' });
});

test('runs of one second get folders of their own; --resume takes the newest', async () => {
  const first = await prepareFolder({ name: 'job', resume: false, now });
  const second = await prepareFolder({ name: 'job', resume: false, now });
  assert.deepEqual(first, { directory: join(folder, 'runs/job/2026-11-24T10-15-00'), isNew: true });
  assert.equal(second.directory, join(folder, 'runs/job/2026-11-24T10-15-00.2'));
  assert.deepEqual(await prepareFolder({ name: 'job', resume: true, now }), { ...second, isNew: false });
  assert.deepEqual(await readdir(first.directory), []);
});

test('--output is taken as it is; what is there is kept unless the run resumes', async () => {
  const output = join(folder, 'mine');
  assert.deepEqual(await prepareFolder({ name: 'job', output, resume: false, now }), {
    directory: output,
    isNew: true,
  });
  await writeFile(join(output, 'kept'), '');
  await assert.rejects(prepareFolder({ name: 'job', output: `file://${output}`, resume: false, now }), {
    code: 'OUTPUT_NOT_EMPTY',
    message: `${output}: expected an empty or new folder for the results, got one with 1 entries; --resume goes on with what is there`,
  });
  assert.equal((await prepareFolder({ name: 'job', output, resume: true, now })).isNew, false);
  assert.deepEqual(await readdir(output), ['kept']);
});

test('a path through a file is no folder', async () => {
  await writeFile('file', '');
  await assert.rejects(prepareFolder({ name: 'job', output: 'file/below', resume: false, now }), {
    code: 'OUTPUT_UNWRITABLE',
    message: /expected a folder that results can be written to, got: a part of the path is not a folder/,
  });
  await mkdir('empty');
});
