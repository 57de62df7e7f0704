// What the coordinator reports of real workers that do not get on: who is silent, who is waited for, for how long.
import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { JobProgress } from '../../worker/protocol/progress.ts';
import { startJob, type TestJob, temporaryFolder } from './processes.ts';

const TIMEOUT = { timeout: 180_000 };
const JOB: TestJob = { workers: 2, batchSize: 32, epochs: 20, everySteps: 50, testing: { delayMs: 2 } };

const silentOf = ({ waits }: JobProgress) => waits?.silent ?? [];
const awaitedOf = ({ waits }: JobProgress) => waits?.awaited ?? [];

test(
  'a stopped worker is reported by rank, with its silence; it is the one that is waited for',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    await using job = await startJob(JOB, folder.path);
    assert.ok(await job.until(({ step }) => step >= 5));
    assert.deepEqual([silentOf(job.progress), awaitedOf(job.progress)], [[], []]);
    const pid = job.progress.workers[1]!.pid!;
    process.kill(pid, 'SIGSTOP');
    try {
      assert.ok(await job.until((progress) => (silentOf(progress)[0]?.seconds ?? 0) > 8));
      const { waits } = job.progress;
      assert.deepEqual(
        waits!.silent.map(({ rank, attempt }) => ({ rank, attempt })),
        [{ rank: 1, attempt: 0 }],
      );
      assert.deepEqual(
        awaitedOf(job.progress).map(({ rank }) => rank),
        [1],
      );
      assert.deepEqual(waits!.absent, []);
      // Silence has a limit of its own: it is no standstill.
      assert.equal(waits!.standingSeconds, 0);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    assert.ok(await job.until((progress) => silentOf(progress).length === 0));
    assert.equal((await job.finished).phase, 'Succeeded');
  },
);

test('a worker whose data does not come is heard and waited for; the step stands', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const hold = join(folder.path, 'hold');
  process.env['LEPTON_TEST_HOLD'] = hold;
  await using job = await startJob({ ...JOB, net: 'held-net.ts' }, folder.path);
  assert.ok(await job.until(({ step }) => step >= 5));
  await writeFile(hold, '');
  assert.ok(await job.until(({ waits }) => (waits?.standingSeconds ?? 0) > 6));
  const { waits, step } = job.progress;
  assert.deepEqual(waits!.silent, []);
  assert.equal(waits!.awaited.length, 1);
  assert.equal(waits!.awaited[0]!.waiting, false, 'it does not wait for others itself');
  const held = (await readdir(folder.path)).find((name) => name.startsWith('hold-'));
  assert.equal(held, `hold-${job.progress.workers[waits!.awaited[0]!.rank]!.pid}`);
  await rm(join(folder.path, held!));
  assert.ok(await job.until((progress) => progress.step > step && progress.waits?.standingSeconds === 0));
  assert.equal((await job.finished).phase, 'Succeeded');
  delete process.env['LEPTON_TEST_HOLD'];
});

test('a coordinator that itself stood still blames nobody', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  await using job = await startJob(JOB, folder.path);
  assert.ok(await job.until(({ step }) => step >= 5));
  const pid = job.progress.servers[0]!.pid!;
  let blamed: JobProgress['waits'];
  process.kill(pid, 'SIGSTOP');
  const continued = new Promise((resolve) => setTimeout(resolve, 12_000)).then(() =>
    process.kill(pid, 'SIGCONT'),
  );
  const { step } = job.progress;
  await continued;
  assert.ok(
    await job.until((progress) => {
      if (silentOf(progress).length > 0 || (progress.waits?.standingSeconds ?? 0) > 5)
        blamed ??= progress.waits;
      return progress.step > step + 5;
    }),
  );
  assert.equal(blamed, undefined);
  assert.equal((await job.finished).phase, 'Succeeded');
});
