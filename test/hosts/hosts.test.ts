// Jobs whose workers are on another host than their servers, with a bad cable in between. The result is always that of the undisturbed
// run on one host, bit for bit, with every sample counted once.
//   test/cluster/cluster.sh node --test test/hosts/hosts.test.ts
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { ConsistencyChoice } from '../../crds/leptonjob.ts';
import type { LogLine } from '../../worker/protocol/progress.ts';
import { type Outcome, run, SAMPLES, type TestJob, type WatchedJob } from '../process/processes.ts';
import { FarHost } from './far-host.ts';

const TIMEOUT = { timeout: 60_000 };
const JOB: TestJob = {
  net: 'coded-net.ts',
  workers: 2,
  servers: 2,
  batchSize: 32,
  everySteps: 1000,
  testing: { chunkLength: 32_768 },
};
/** So that the job is not over before something happens to it. */
const LASTING = { ...JOB.testing, extraStepMs: [40, 40] };
/** Bytes per second of 100 Mbit/s. */
const FAST_ETHERNET = 12_500_000;

let host: FarHost;
let undisturbed: Outcome;

before(async () => {
  host = await FarHost.make();
  undisturbed = await run(JOB);
});

after(() => host[Symbol.asyncDispose]());

afterEach(() => {
  host.cable.set({});
  host.cable.mend();
});

type Hurt = (running: WatchedJob) => Promise<void>;

/** Runs with all workers on the other host; fails unless the job ends as if nothing had happened. Gives its log. */
async function unharmed(changes: Partial<TestJob>, hurt?: Hurt): Promise<readonly LogLine[]> {
  const testing = hurt ? LASTING : JOB.testing!;
  const { digest, history, lines } = await run(
    { ...JOB, testing, placeOf: host.placing(), ...changes },
    hurt,
  );
  for (const { epoch, samples } of history) assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
  assert.deepEqual(history, undisturbed.history);
  assert.equal(digest, undisturbed.digest);
  return lines;
}

const inTraining = (running: WatchedJob): Promise<boolean> => running.until(({ step }) => step >= 10);

test('a good cable: nothing is shared, all bytes go through it', TIMEOUT, async () => {
  const before = host.cable.there.bytes;
  const lines = await unharmed({});
  const exchanging = lines.filter(({ message }) => message === 'exchanging');
  assert.deepEqual(
    exchanging.map(({ fields }) => fields['sharedMemory']),
    [0, 0],
  );
  assert.ok(host.cable.there.bytes - before > 10 * 2 ** 20);
});

test('20 ms each way, and sometimes 10 more', TIMEOUT, async () => {
  host.cable.set({ delayMs: 20, jitterMs: 10 });
  await unharmed({});
});

test('one segment of a thousand is lost', TIMEOUT, async () => {
  host.cable.set({ loss: 0.001, retransmitMs: 40 });
  await unharmed({});
});

test('100 Mbit/s', TIMEOUT, async () => {
  host.cable.set({ bytesPerSecond: FAST_ETHERNET });
  await unharmed({});
});

test('cut for two seconds', TIMEOUT, async () => {
  await unharmed({}, async (running) => {
    await inTraining(running);
    host.cable.cut();
    await pause(2000);
    host.cable.mend();
  });
});

test('the interface is down for a second', TIMEOUT, async () => {
  await unharmed({}, async (running) => {
    await inTraining(running);
    await host.unplug();
    await pause(1000);
    await host.plug();
  });
});

test('connections are reset again and again', TIMEOUT, async () => {
  let resets = 0;
  const lines = await unharmed({}, async (running) => {
    for (let step = 5; step <= 25; step += 5) {
      if (!(await running.until((progress) => progress.step >= step))) return;
      resets += host.cable.reset();
    }
  });
  assert.ok(resets >= 10, `${resets} connections`);
  assert.ok(lines.some(({ message }) => message === 'session lost, joining again'));
});

/** Who notices that nothing comes any more, after how long, and what it says. */
const NOTICED = {
  there: { deadlines: { silentSeconds: 1.5 }, source: 'server-0', message: 'worker is silent' },
  back: { deadlines: { stallSeconds: 1.5 }, source: 'worker-0', message: 'process failed' },
} as const;

for (const way of ['there', 'back'] as const)
  test(`connections that say nothing any more, ${way}: who waits gives them up`, TIMEOUT, async () => {
    const { deadlines, source, message } = NOTICED[way];
    const lines = await unharmed({ maxRestarts: 2, deadlines }, async (running) => {
      await inTraining(running);
      host.cable[way].freeze();
    });
    const noticed = lines.some((line) => line.message === message && line.source === source);
    assert.ok(noticed, `${source} says nothing of it`);
  });

/** Everything but bulkSynchronous, whose bits all rows above hold. */
const MODES: readonly ConsistencyChoice[] = [
  { mode: 'localSteps', localSteps: { steps: 3 } },
  { mode: 'staleSynchronous' },
  { mode: 'asynchronous' },
];

for (const consistency of MODES)
  test(`${consistency.mode} over a bad cable: every sample once, and it learns`, TIMEOUT, async () => {
    host.cable.set({ delayMs: 5, jitterMs: 5, loss: 0.001, retransmitMs: 40, bytesPerSecond: FAST_ETHERNET });
    const bad = { ...JOB, epochs: 2, consistency, placeOf: host.placing() };
    const { history } = await run(bad, async (running) => {
      await running.until(({ step }) => step >= 3);
      host.cable.reset();
      await running.until(({ step }) => step >= 6);
      host.cable.cut();
      await pause(500);
      host.cable.mend();
    });
    for (const { epoch, samples } of history) assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
    const [first, last] = history.map(({ train }) => train!['accuracy']!);
    assert.ok(last! > first! && last! > 0.9, `accuracy ${first}, then ${last}`);
  });
