// Another number of workers while a job trains: nobody but those who come and go starts or ends, no sample is seen twice, and the
// bits are those of runs that were stopped with a checkpoint at the same steps and went on with the other number.
import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Outcome,
  outcomeOf,
  SAMPLES,
  startJob,
  type TestJob,
  temporaryFolder,
  type WatchedJob,
} from './processes.ts';

const TIMEOUT = { timeout: 300_000 };
const JOB: TestJob = { workers: 2, servers: 2, batchSize: 32, epochs: 20, everySteps: 1000 };
/** Slow enough for a worker to start while the others train. */
const SLOW = { testing: { delayMs: 4 } };

interface Change {
  readonly workers: number;
  /** In the steps of those who trained until then. */
  readonly step: number;
}

/** What the log says of every change of the number of workers. */
function changesOf(job: WatchedJob): Change[] {
  return job
    .logged('job goes on with another number of workers')
    .map(({ fields }) => ({ workers: Number(fields['workers']), step: Number(fields['step']) }));
}

/** The oracle: every change is an end with a checkpoint and a new run from there. */
async function stopAndGoOn(changes: readonly Change[]): Promise<Outcome> {
  await using folder = await temporaryFolder();
  let workers = JOB.workers;
  for (const change of changes) {
    await trainTo(change.step, workers, folder.path);
    workers = change.workers;
  }
  await using job = await startJob({ ...JOB, workers, resume: true }, folder.path);
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
  return await outcomeOf(folder.path);
}

/** Leaves a checkpoint of this step as the newest. */
async function trainTo(step: number, workers: number, directory: string): Promise<void> {
  const all = { everySteps: Math.max(step, 1), keep: 1000 };
  await using job = await startJob({ ...JOB, ...all, workers, resume: true }, directory);
  assert.ok(await job.until((progress) => progress.step > step));
  await job.stop();
  await job.finished;
  const checkpoints = join(directory, 'checkpoints');
  const folders = await readdir(checkpoints);
  const named = folders.filter((name) => Number(name.split('-')[1]) === step);
  assert.ok(named.length > 0, `expected a checkpoint of step ${step}, got ${folders.join(', ')}`);
  // A step of an earlier number of workers may have the same number.
  const written = await Promise.all(named.map((name) => stat(join(checkpoints, name, 'manifest.json'))));
  const newest = Math.max(...written.map(({ mtimeMs }) => mtimeMs));
  const kept = named[written.findIndex(({ mtimeMs }) => mtimeMs === newest)];
  for (const name of folders) if (name !== kept) await rm(join(checkpoints, name), { recursive: true });
}

async function assertAsStopped(changes: readonly Change[], outcome: Outcome): Promise<void> {
  for (const { epoch, samples } of outcome.history)
    assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
  const expected = await stopAndGoOn(changes);
  assert.deepEqual(outcome.history, expected.history);
  assert.equal(outcome.digest, expected.digest);
}

async function finish(job: WatchedJob, directory: string): Promise<Outcome> {
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
  return await outcomeOf(directory);
}

test(
  '2 workers, then 3, then 1: as stopped and started anew, without a restart',
  TIMEOUT,
  async (context) => {
    await using folder = await temporaryFolder();
    await using job = await startJob({ ...JOB, ...SLOW }, folder.path);
    assert.ok(await job.until(({ step }) => step >= 10));
    const pids = job.progress.workers.map(({ pid }) => pid);
    await job.resize(3);
    assert.ok(
      await job.until(({ workers }) => workers.length === 3 && workers.every(({ step }) => step > 0)),
    );
    await job.resize(1);
    assert.ok(await job.until(({ workers }) => workers.length === 1));
    assert.equal(job.progress.workers[0]!.pid, pids[0], 'the worker that stays is the same process');
    const outcome = await finish(job, folder.path);
    assert.deepEqual(job.logged('process ended, starting it again'), []);
    const changes = changesOf(job);
    assert.deepEqual(
      changes.map(({ workers }) => workers),
      [3, 1],
    );
    assert.equal(changes[0]!.step % 3, 0, 'a step boundary of 3 workers as well');
    context.diagnostic(`changed at ${JSON.stringify(changes)}`);
    await assertAsStopped(changes, outcome);
  },
);

test('those who hold parameters beside a server stay; another worker comes and goes', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await using job = await startJob({ ...JOB, ...SLOW, servers: 1, placement: 'mixed' }, folder.path);
  assert.ok(await job.until(({ step }) => step >= 10));
  await job.resize(3);
  await assert.rejects(job.resize(1), /at least the 2 workers that hold the parameters/);
  await job.resize(2);
  const outcome = await finish(job, folder.path);
  assert.deepEqual(job.logged('process ended, starting it again'), []);
  assert.equal(job.logged('listening').length, 3);
  const changes = changesOf(job);
  assert.deepEqual(
    changes.map(({ workers }) => workers),
    [3, 2],
  );
  await assertAsStopped(changes, outcome);
});

/** Of a worker's process, also of one that the coordinator does not count yet, or that is about to be started. */
async function pidOf(name: string): Promise<number> {
  const { pid } = process;
  const endMs = performance.now() + 20_000;
  while (performance.now() < endMs) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    for (const child of children.split(' ').filter(Boolean)) {
      const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
      if (command.includes(`/${name}-`)) return Number(child);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return assert.fail(`no process of ${name} within 20 s`);
}

async function endOf(job: WatchedJob): Promise<string> {
  const lines = job.lines.slice(-30).map((line) => JSON.stringify(line));
  return `${JSON.stringify(await job.finished)}\n${lines.join('\n')}`;
}

const HURT: TestJob = { ...JOB, ...SLOW, everySteps: 25, maxRestarts: 50 };

/** What counts in the end: a coordinator that lost its life may have made the same change before. */
function lasting(changes: readonly Change[]): Change[] {
  return changes.filter(({ workers }, at) => changes[at + 1]?.workers !== workers);
}

for (const victim of ['worker-0', 'worker-2', 'server-1', 'server-0'])
  test(`kill -9 of ${victim} while workers come and go`, TIMEOUT, async (context) => {
    await using folder = await temporaryFolder();
    await using job = await startJob(HURT, folder.path);
    assert.ok(await job.until(({ step }) => step >= 10));
    const grown = job.resize(3);
    await job.until(() => job.logged('listening').length >= 2);
    process.kill(await pidOf(victim), 'SIGKILL');
    await grown;
    const shrunk = job.resize(1);
    process.kill(await pidOf(victim), 'SIGKILL');
    await shrunk;
    if (!(await job.until(({ workers }) => workers.length === 1))) assert.fail(await endOf(job));
    const outcome = await finish(job, folder.path);
    assert.ok(job.logged('process ended, starting it again').length >= 2);
    const changes = lasting(changesOf(job));
    context.diagnostic(`changed at ${JSON.stringify(changesOf(job))}`);
    assert.deepEqual(
      changes.map(({ workers }) => workers),
      [3, 1],
    );
    await assertAsStopped(changes, outcome);
  });

test('asked again, taken back and replaced: the last number counts', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await using job = await startJob({ ...JOB, ...SLOW }, folder.path);
  assert.ok(await job.until(({ step }) => step >= 10));
  const asked = [4, 4, 2, 1, 2, 3].map((workers) => job.resize(workers));
  await Promise.all(asked);
  assert.ok(await job.until(({ workers }) => workers.length === 3));
  const outcome = await finish(job, folder.path);
  assert.deepEqual(job.logged('process ended, starting it again'), []);
  const changes = changesOf(job);
  assert.equal(changes.at(-1)?.workers, 3);
  await assertAsStopped(changes, outcome);
});
