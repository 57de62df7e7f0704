// The modes in which workers do not all meet at every step, on real processes that are killed: nobody hangs, every sample of an epoch
// is counted once, and the job has learned.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsistencyChoice } from '../../crds/leptonjob.ts';
import { run, SAMPLES, type TestJob } from './processes.ts';

const TIMEOUT = { timeout: 120_000 };
const JOB = {
  workers: 3,
  servers: 2,
  batchSize: 32,
  epochs: 8,
  everySteps: 10,
  maxRestarts: 3,
  testing: { delayMs: 2 },
} satisfies TestJob;

const MODES: Readonly<Record<string, ConsistencyChoice>> = {
  asynchronous: { mode: 'asynchronous', asynchronous: { stalenessAware: true } },
  staleSynchronous: { mode: 'staleSynchronous', staleSynchronous: { bound: 2 } },
  localSteps: { mode: 'localSteps', localSteps: { steps: 2 } },
  'backup workers': { mode: 'bulkSynchronous', bulkSynchronous: { backupWorkers: 1 } },
};

/** Of a job that goes on without a killed worker, as many as its next process needs to be there again. */
const epochsOf = (name: string): number => (name === 'backup workers' ? 40 : JOB.epochs);

for (const [name, consistency] of Object.entries(MODES))
  test(`${name}: a worker, then a server is killed`, TIMEOUT, async () => {
    const { history } = await run({ ...JOB, epochs: epochsOf(name), consistency }, async (job) => {
      assert.ok(await job.until(({ step }) => step >= 3));
      process.kill(job.progress.workers[1]!.pid!, 'SIGKILL');
      assert.ok(await job.until(({ workers }) => workers[1]!.restarts === 1));
      assert.ok(await job.until(({ step, workers }) => step >= 8 && workers[1]!.state === 'running'));
      process.kill(job.progress.servers[1]!.pid!, 'SIGKILL');
      assert.ok(await job.until(({ servers }) => servers[1]!.restarts === 1));
    });
    assert.equal(history.length, epochsOf(name));
    for (const { epoch, samples } of history)
      if (name === 'backup workers') assert.ok(samples! >= (2 / 3) * SAMPLES - 32 && samples! <= SAMPLES);
      else assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
    assert.ok(history.at(-1)!.train!['loss']! < history[0]!.train!['loss']!, JSON.stringify(history));
  });
