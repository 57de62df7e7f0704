// Stopping and going on: a checkpoint at the end of a stopped run, torn checkpoints passed over, the same bits at the end.
import assert from 'node:assert/strict';
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { before, test } from 'node:test';
import { type Outcome, outcomeOf, run, startJob, type TestJob, temporaryFolder } from './processes.ts';

const TIMEOUT = { timeout: 120_000 };
const JOB: TestJob = { workers: 2, servers: 2, batchSize: 32, epochs: 4, everySteps: 20 };

let undisturbed: Outcome;
before(async () => {
  undisturbed = await run(JOB);
});

/** Trains up to about step 50 and stops; gives the folders of the checkpoints, oldest first. */
async function trainHalf(directory: string): Promise<string[]> {
  await using job = await startJob({ ...JOB, testing: { delayMs: 2 } }, directory);
  assert.ok(await job.until(({ step }) => step >= 45));
  await job.stop();
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Stopped', JSON.stringify(error));
  const folders = await readdir(join(directory, 'checkpoints'));
  return folders.sort().map((folder) => join(directory, 'checkpoints', folder));
}

async function finish(
  directory: string,
  servers = 2,
): Promise<{ outcome: Outcome; said: string[]; from: number }> {
  await using job = await startJob({ ...JOB, servers, resume: true }, directory);
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
  const passedOver = job.logged('checkpoint passed over, trying the one before');
  const from = Number(job.logged('job goes on from a checkpoint')[0]?.fields['step'] ?? 0);
  return {
    outcome: await outcomeOf(directory),
    said: passedOver.map(({ fields }) => JSON.stringify(fields)),
    from,
  };
}

test('a stopped run goes on where it stopped, to the same bits', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const folders = await trainHalf(folder.path);
  assert.ok(folders.length > 0);
  const { outcome, said, from } = await finish(folder.path);
  assert.deepEqual(said, []);
  assert.ok(from >= 45, `went on from step ${from}`);
  assert.equal(outcome.digest, undisturbed.digest);
  assert.deepEqual(outcome.history, undisturbed.history);
});

for (const servers of [1, 3]) {
  test(`a run of two servers goes on with ${servers}, to the same bits`, TIMEOUT, async () => {
    await using folder = await temporaryFolder();
    await trainHalf(folder.path);
    const { outcome, said, from } = await finish(folder.path, servers);
    assert.deepEqual(said, []);
    assert.ok(from >= 45, `went on from step ${from}`);
    assert.equal(outcome.digest, undisturbed.digest);
    assert.deepEqual(outcome.history, undisturbed.history);
  });
}

/** Folders are called run-step-epoch. */
function stepOf(folder: string): number {
  return Number(basename(folder).split('-')[1]);
}

type Spoil = (folder: string) => Promise<void>;

async function shardOf(folder: string): Promise<string> {
  const names = await readdir(folder);
  return join(folder, names.find((name) => name.endsWith('.safetensors'))!);
}

const TEARS: Readonly<Record<string, Spoil>> = {
  'a truncated shard': async (folder) => truncate(await shardOf(folder), 1000),
  'a shard of zeros': async (folder) => {
    const shard = await shardOf(folder);
    await writeFile(shard, new Uint8Array((await readFile(shard)).length));
  },
  'a missing shard': async (folder) => rm(await shardOf(folder)),
  'a missing manifest': async (folder) => rm(join(folder, 'manifest.json')),
  'a truncated manifest': async (folder) => truncate(join(folder, 'manifest.json'), 40),
};

for (const [what, spoil] of Object.entries(TEARS)) {
  test(`${what}: the checkpoint before is used, and the log says so`, TIMEOUT, async () => {
    await using folder = await temporaryFolder();
    const folders = await trainHalf(folder.path);
    const [before, newest] = folders.slice(-2) as [string, string];
    await spoil(newest);
    const { outcome, said, from } = await finish(folder.path);
    assert.equal(from, stepOf(before));
    assert.match(said.join('\n'), new RegExp(basename(newest)));
    assert.equal(outcome.digest, undisturbed.digest);
    assert.deepEqual(outcome.history, undisturbed.history);
  });
}

/** A file where the folder of a checkpoint has to be: it cannot be written, whoever tries. Gives what takes it away. */
async function block(directory: string, step: number): Promise<() => Promise<void>> {
  const checkpoints = join(directory, 'checkpoints');
  const [known] = await readdir(checkpoints);
  const path = join(checkpoints, known!.replace(/-\d+-/, `-${String(step).padStart(9, '0')}-`));
  await writeFile(path, '');
  return () => rm(path);
}

const UNWRITTEN = 'checkpoint cannot be written';

test(
  'checkpoints that cannot be written: training goes on, says so, and writes the next',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    await using job = await startJob({ ...JOB, testing: { delayMs: 6 } }, folder.path);
    assert.ok(await job.until(({ step }) => step >= 1));
    for (const step of [60, 80]) await block(folder.path, step);
    assert.ok(await job.until(({ step }) => step >= 85));
    await job.until(() => job.logged(UNWRITTEN).length === 2);
    assert.deepEqual(
      job.logged(UNWRITTEN).map(({ fields }) => fields['step']),
      [60, 80],
    );
    assert.ok(
      await job.until(
        ({ checkpoint }) => checkpoint?.step === 40 && /not a folder/.test(checkpoint.failing ?? ''),
      ),
    );
    assert.ok(await job.until(({ checkpoint }) => (checkpoint?.step ?? 0) >= 100 && !checkpoint?.failing));
    const { phase, error } = await job.finished;
    assert.equal(phase, 'Succeeded', JSON.stringify(error));
    const outcome = await outcomeOf(folder.path);
    assert.equal(outcome.digest, undisturbed.digest);
    assert.deepEqual(outcome.history, undisturbed.history);
  },
);

test('the last checkpoint is tried again until there is room', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await using job = await startJob({ ...JOB, testing: { delayMs: 6 } }, folder.path);
  assert.ok(await job.until(({ step }) => step >= 1));
  const unblock = await block(folder.path, 120);
  assert.ok(await job.until(() => job.logged(UNWRITTEN).length >= 2));
  await unblock();
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
  assert.equal((await outcomeOf(folder.path)).digest, undisturbed.digest);
});

test(
  'the last checkpoint cannot be written for too long: the job fails and says why, those before are whole',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    const job: TestJob = { ...JOB, testing: { delayMs: 6 }, deadlines: { checkpointSeconds: 2 } };
    {
      await using running = await startJob(job, folder.path);
      assert.ok(await running.until(({ step }) => step >= 1));
      await block(folder.path, 120);
      const { phase, error } = await running.finished;
      assert.equal(phase, 'Failed');
      assert.equal(error?.code, 'CHECKPOINT_WRITE_FAILED');
      assert.match(error.message, /000000120.*not a folder/);
    }
    const { outcome, said, from } = await finish(folder.path);
    assert.deepEqual(said, []);
    assert.equal(from, 100);
    assert.equal(outcome.digest, undisturbed.digest);
  },
);
