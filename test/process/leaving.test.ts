// SIGTERM, as evictions and drained nodes send it: a worker leaves between two steps, the coordinating server with a checkpoint of the
// step that it has come to. Those who take their places go on to the bits of an undisturbed run.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { type Outcome, outcomeOf, SAMPLES, startJob, type TestJob, temporaryFolder } from './processes.ts';

const TIMEOUT = { timeout: 300_000 };
/** No checkpoint but the first and the last, unless somebody leaves. */
const JOB: TestJob = {
  workers: 2,
  servers: 2,
  batchSize: 32,
  epochs: 12,
  everySteps: 100_000,
  maxRestarts: 2,
};
const TERMINATED = 143;

let undisturbed: Outcome;
before(async () => {
  undisturbed = await terminate(async () => {});
});

type Job = Awaited<ReturnType<typeof startJob>>;

async function terminate(
  disturb: (job: Job) => Promise<void>,
  other: Partial<TestJob> = {},
): Promise<Outcome> {
  await using folder = await temporaryFolder();
  await using job = await startJob({ ...JOB, ...other }, folder.path);
  await disturb(job);
  const { phase, error } = await job.finished;
  assert.equal(phase, 'Succeeded', JSON.stringify(error));
  return await outcomeOf(folder.path);
}

function assertUnharmed({ digest, history }: Outcome): void {
  for (const { epoch, samples } of history) assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
  assert.deepEqual(history, undisturbed.history);
  assert.equal(digest, undisturbed.digest);
}

async function endsTerminated(job: Job, name: string): Promise<void> {
  const ended = () =>
    job.logged('process ended, starting it again').filter(({ fields }) => fields['name'] === name);
  assert.ok(await job.until(() => ended().length > 0));
  assert.deepEqual([ended()[0]?.fields['exitCode'], ended()[0]?.fields['signal']], [TERMINATED, null]);
}

test('a worker leaves between two steps', TIMEOUT, async () => {
  const outcome = await terminate(async (job) => {
    assert.ok(await job.until(({ step }) => step >= 5));
    process.kill(job.progress.workers[1]!.pid!, 'SIGTERM');
    await endsTerminated(job, 'worker-1');
    assert.equal(job.logged('left between two steps').length, 1);
    assert.deepEqual(job.logged('parameter servers changed: everybody goes back to what is kept'), []);
  });
  assertUnharmed(outcome);
});

test('the coordinating server leaves with a checkpoint: no step is lost', TIMEOUT, async (context) => {
  const outcome = await terminate(async (job) => {
    assert.ok(await job.until(({ step }) => step >= 20));
    const { step } = job.progress;
    process.kill(job.progress.servers[0]!.pid!, 'SIGTERM');
    await endsTerminated(job, 'server-0');
    const wentOn = () => job.returns().at(-1);
    assert.ok(await job.until(() => wentOn() !== undefined));
    const from = Number(wentOn()?.fields['step']);
    assert.ok(from >= step, `asked to leave at step ${step} or later, went on from ${from}`);
    const left = job.logged('checkpoint committed').map(({ fields }) => Number(fields['step']));
    assert.ok(left.includes(from), `checkpoints of ${left.join(', ')}`);
    context.diagnostic(`asked at step ${step}, went on from step ${from}`);
  });
  assertUnharmed(outcome);
});

test('a worker that holds parameters and the coordinator leaves with a checkpoint', TIMEOUT, async () => {
  const outcome = await terminate(
    async (job) => {
      assert.ok(await job.until(({ step }) => step >= 20));
      const { step } = job.progress;
      process.kill(job.progress.workers[0]!.pid!, 'SIGTERM');
      await endsTerminated(job, 'worker-0');
      const wentOn = () => job.returns().at(-1);
      assert.ok(await job.until(() => wentOn() !== undefined));
      const from = Number(wentOn()?.fields['step']);
      assert.ok(from >= step, `asked to leave at step ${step} or later, went on from ${from}`);
    },
    { servers: 0 },
  );
  assertUnharmed(outcome);
});

test(
  'everybody is asked at once, as by a drained node: all end, and nothing is counted twice',
  TIMEOUT,
  async () => {
    const outcome = await terminate(async (job) => {
      assert.ok(await job.until(({ step }) => step >= 5));
      const { workers, servers } = job.progress;
      process.kill(servers[0]!.pid!, 'SIGTERM');
      process.kill(workers[0]!.pid!, 'SIGTERM');
      await endsTerminated(job, 'worker-0');
      await endsTerminated(job, 'server-0');
    });
    assertUnharmed(outcome);
  },
);
