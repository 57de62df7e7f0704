// Real processes that exchange gradients in fewer bytes: the net is as good as without, though a worker is killed again and again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GradientCodecChoice } from '../../crds/leptonjob.ts';
import { type Outcome, run, SAMPLES, type TestJob } from './processes.ts';

const TIMEOUT = { timeout: 240_000 };
const JOB: TestJob = {
  net: 'coded-net.ts',
  workers: 2,
  servers: 2,
  batchSize: 32,
  epochs: 6,
  everySteps: 40,
  testing: { sharedMemory: false, chunkLength: 32_768 },
};
const CODECS: readonly GradientCodecChoice[] = [
  { int8: {} },
  { topK: { ratio: 0.01, warmupSteps: 20, momentum: 0 } },
];
/** Points of accuracy. */
const BAND = 0.01;

function accuracyOf({ history }: Outcome): number {
  for (const { epoch, samples } of history) assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
  return history.at(-1)!.train!['accuracy']!;
}

test('int8 and topK: as accurate as without a codec, though a worker is killed', TIMEOUT, async (context) => {
  const plain = accuracyOf(await run(JOB));
  for (const gradientCodec of CODECS) {
    const [name] = Object.keys(gradientCodec);
    let killed = 0;
    const accuracy = accuracyOf(
      await run(
        { ...JOB, gradientCodec, maxRestarts: 3, testing: { ...JOB.testing, delayMs: 3 } },
        async (job) => {
          for (const step of [30, 70, 110]) {
            const lives = await job.until((progress) => progress.step >= step && !!progress.workers[1]?.pid);
            if (!lives) return;
            const { restarts, pid } = job.progress.workers[1]!;
            process.kill(pid!, 'SIGKILL');
            killed++;
            await job.until((progress) => progress.workers[1]!.restarts > restarts);
          }
        },
      ),
    );
    context.diagnostic(`${name}: ${accuracy.toFixed(4)} with ${killed} kills, plain ${plain.toFixed(4)}`);
    assert.equal(killed, 3);
    assert.ok(accuracy > plain - BAND, `${name}: accuracy ${accuracy} instead of ${plain}`);
  }
});
