// Stopping and going on: a checkpoint at the end of a stopped run, torn checkpoints passed over, the same bits at the end.
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { folderOf } from '../../worker/checkpoint/checkpoints.ts';
import { configOf } from './attackers.ts';
import {
  type Outcome,
  outcomeOf,
  run,
  startJob,
  type TestJob,
  temporaryFolder,
  type WatchedJob,
} from './processes.ts';

const TIMEOUT = { timeout: 120_000 };
const JOB: TestJob = { workers: 2, servers: 2, batchSize: 32, epochs: 4, everySteps: 20 };

let undisturbed: Outcome;
/** A job of half the epochs that has ended, with a checkpoint every 20 steps. */
let half: { path: string } & AsyncDisposable;
const HALF_STEPS = 60;
before(async () => {
  undisturbed = await run(JOB);
  half = await temporaryFolder();
  await using job = await startJob({ ...JOB, epochs: JOB.epochs! / 2 }, half.path);
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
});
after(() => half[Symbol.asyncDispose]());

/** A copy of what `half` left; gives the folders of its checkpoints, oldest first. */
async function copyHalf(directory: string): Promise<string[]> {
  await cp(half.path, directory, { recursive: true });
  return await checkpointsIn(directory);
}

async function checkpointsIn(directory: string): Promise<string[]> {
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
  {
    // Slow enough to be stopped long before its end, though progress is told some times a second only.
    await using job = await startJob({ ...JOB, testing: { delayMs: 5 } }, folder.path);
    assert.ok(await job.until(({ step }) => step >= 45));
    await job.stop();
    const { phase, error } = await job.finished;
    assert.equal(phase, 'Stopped', JSON.stringify(error));
  }
  const { outcome, said, from } = await finish(folder.path);
  assert.deepEqual(said, []);
  assert.ok(from >= 45, `went on from step ${from}`);
  assert.equal(outcome.digest, undisturbed.digest);
  assert.deepEqual(outcome.history, undisturbed.history);
});

for (const servers of [1, 3]) {
  test(`a run of two servers goes on with ${servers}, to the same bits`, TIMEOUT, async () => {
    await using folder = await temporaryFolder();
    await copyHalf(folder.path);
    const { outcome, said, from } = await finish(folder.path, servers);
    assert.deepEqual(said, []);
    assert.equal(from, HALF_STEPS);
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
    const folders = await copyHalf(folder.path);
    const [before, newest] = folders.slice(-2) as [string, string];
    await spoil(newest);
    const { outcome, said, from } = await finish(folder.path);
    assert.equal(from, stepOf(before));
    assert.match(said.join('\n'), new RegExp(basename(newest)));
    assert.equal(outcome.digest, undisturbed.digest);
    assert.deepEqual(outcome.history, undisturbed.history);
  });
}

/**
 * Files where the folders of a job's checkpoints have to be: they cannot be written, whoever tries. At once, so that the job has not begun.
 * Gives what takes one of them away.
 */
async function block(
  job: WatchedJob,
  directory: string,
  steps: readonly number[],
): Promise<(step: number) => Promise<void>> {
  const { path } = configOf(job.progress.servers[0]!.pid!);
  const config = JSON.parse(await readFile(path, 'utf8')) as { job: { run: string } };
  const fileOf = (step: number): string =>
    join(directory, 'checkpoints', folderOf(config.job.run, step, FIRST_EPOCH));
  await mkdir(join(directory, 'checkpoints'), { recursive: true });
  for (const step of steps) await writeFile(fileOf(step), '');
  assert.equal(job.progress.step, 0);
  return (step) => rm(fileOf(step));
}

/** Of a job in which nobody was lost. */
const FIRST_EPOCH = 1;
const UNWRITTEN = 'checkpoint cannot be written';

test(
  'checkpoints that cannot be written: training goes on, says so, and writes the next',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    await using job = await startJob(JOB, folder.path);
    // The job cannot end before 120 is free: what is waited for stays until it was seen.
    const unblock = await block(job, folder.path, [40, 60, 120]);
    assert.ok(await job.until(({ step }) => step === 120));
    assert.ok(await job.until(() => job.logged(UNWRITTEN).length >= 3));
    assert.deepEqual(
      job
        .logged(UNWRITTEN)
        .map(({ fields }) => fields['step'])
        .slice(0, 3),
      [40, 60, 120],
    );
    const committed = job.logged('checkpoint committed').map(({ fields }) => fields['step']);
    assert.deepEqual(committed, [0, 20, 80, 100]);
    assert.ok(
      await job.until(
        ({ checkpoint }) => checkpoint?.step === 100 && /not a folder/.test(checkpoint.failing ?? ''),
      ),
    );
    await unblock(120);
    const { phase, error } = await job.finished;
    assert.equal(phase, 'Succeeded', JSON.stringify(error));
    const { step, failing = '' } = job.progress.checkpoint!;
    assert.deepEqual({ step, failing }, { step: 120, failing: '' });
    const outcome = await outcomeOf(folder.path);
    assert.equal(outcome.digest, undisturbed.digest);
    assert.deepEqual(outcome.history, undisturbed.history);
  },
);

test('the last checkpoint is tried again until there is room', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await using job = await startJob(JOB, folder.path);
  const unblock = await block(job, folder.path, [120]);
  assert.ok(await job.until(() => job.logged(UNWRITTEN).length >= 2));
  await unblock(120);
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
  assert.equal((await outcomeOf(folder.path)).digest, undisturbed.digest);
});

test(
  'the last checkpoint cannot be written for too long: the job fails and says why, those before are whole',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    const job: TestJob = { ...JOB, deadlines: { checkpointSeconds: 2 } };
    {
      await using running = await startJob(job, folder.path);
      await block(running, folder.path, [120]);
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
