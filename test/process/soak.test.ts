// 64 MiB pushed and pulled at every step, on both transports, while workers are killed, leave and come back: memory of the servers stays
// flat, no step stands, and no socket, segment or process is left over. Half an hour of it: `make soak`.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { JobProgress } from '../../worker/protocol/progress.ts';
import { Random } from '../../worker/random/philox.ts';
import { configOf } from './attackers.ts';
import { type Held, heldBy, processesWith, residentMiB } from './held.ts';
import { startJob, type TestJob, temporaryFolder, type WatchedJob } from './processes.ts';

/** On each transport. */
const SECONDS = Number(process.env['LEPTON_SOAK_SECONDS'] ?? 5);
const TIMEOUT = { timeout: SECONDS * 1000 + 240_000 };
const WORKERS = 2;
const SAMPLE_MS = 250;
/** Between what happens to workers. */
const PEACE_MS = 1000;
/** Buffers that wait for a collection may be there at one moment and not at the other. */
const FLAT_MIB = 96;
const STEP_SECONDS = 60;
const LET_GO_MS = 10_000;

const JOB: TestJob = {
  net: 'wide-net.ts',
  workers: WORKERS,
  servers: 2,
  batchSize: 4,
  epochs: 100_000,
  everySteps: 1_000_000_000,
  maxRestarts: 100_000,
};

for (const sharedMemory of [true, false])
  test(
    `64 MiB both ways ${sharedMemory ? 'through shared memory' : 'over gRPC'} for ${SECONDS} s`,
    TIMEOUT,
    async (context) => {
      await using folder = await temporaryFolder();
      await using job = await startJob({ ...JOB, testing: { sharedMemory } }, folder.path);
      const servers = await started(job);
      const configs = dirname(configOf(servers[0]!).path);
      const before = countsOf(servers);
      assert.deepEqual(
        before.map(({ segments }) => segments),
        servers.map((_, server) => keptBy(server) + (sharedMemory ? WORKERS : 0)),
      );
      // Buffers of a whole exchange are made when one is first late or repeated: that is warm-up, not growth.
      await disturb(job, 0);
      using watch = new Watch(servers);
      const happened = await disturb(job, SECONDS);
      await quiet(job);
      assert.deepEqual(pidsOf(job), servers, `a server has ended by itself:\n${lastWords(job)}`);
      const memory = watch.memory();
      const after = await countsLike(before, servers);
      const { step } = job.progress;
      await job.stop();
      assert.equal((await job.finished).phase, 'Stopped');
      assert.deepEqual(after, before, 'sockets and segments of the servers');
      for (const [index, [early, late]] of memory.entries())
        assert.ok(
          late < early + FLAT_MIB,
          `server ${index}: ${early.toFixed(0)} MiB, then ${late.toFixed(0)} MiB`,
        );
      assert.deepEqual(processesWith(configs), []);
      const flat = memory.map(([early, late]) => `${early.toFixed(0)} -> ${late.toFixed(0)} MiB`).join(', ');
      context.diagnostic(`${step} steps, ${JSON.stringify(happened)}; servers: ${flat}`);
    },
  );

async function started(job: WatchedJob): Promise<number[]> {
  assert.ok(await job.until(({ step }) => step >= 3, STEP_SECONDS));
  await quiet(job);
  return pidsOf(job);
}

function pidsOf(job: WatchedJob): number[] {
  return job.progress.servers.map(({ pid }) => pid!);
}

/** Whatever is worse than a word of how it goes. */
function lastWords(job: WatchedJob): string {
  const bad = job.lines.filter(({ level }) => level !== 'info').slice(-20);
  return bad
    .map(({ time, source, message, fields }) => `${time} ${source}: ${message} ${JSON.stringify(fields)}`)
    .join('\n');
}

/** All workers train. */
async function quiet(job: WatchedJob): Promise<void> {
  await job.resize(WORKERS);
  await goesOn(
    job,
    ({ workers }) => workers.length === WORKERS && workers.every(({ pid }) => pid !== undefined),
  );
}

/** Steps are made. Their numbers may fall meanwhile: with more workers there are fewer of them. */
async function goesOn(
  job: WatchedJob,
  holds: (progress: JobProgress) => boolean = () => true,
): Promise<void> {
  let { step } = job.progress;
  let made = 0;
  const goes = await job.until((now) => {
    if (now.step !== step) made++;
    step = now.step;
    return made > 1 && holds(now);
  }, STEP_SECONDS);
  assert.ok(goes, `the job goes on\n${lastWords(job)}`);
}

/** One thing after the other, each at least once, each when steps are made again; how often each has happened. */
async function disturb(job: WatchedJob, seconds: number): Promise<Record<string, number>> {
  const random = new Random(SECONDS, 'soak');
  const happened = { killed: 0, left: 0, resized: 0 };
  const kinds = ['killed', 'left', 'resized'] as const;
  const endMs = performance.now() + seconds * 1000;
  for (let at = 0; at < kinds.length || performance.now() < endMs; at++) {
    const kind = kinds[at % kinds.length]!;
    const victim = job.progress.workers[random.integer(job.progress.workers.length)];
    if (kind === 'resized') await job.resize(job.progress.workers.length === WORKERS ? WORKERS - 1 : WORKERS);
    else if (victim?.pid) signal(victim.pid, kind === 'killed' ? 'SIGKILL' : 'SIGTERM');
    happened[kind]++;
    await goesOn(job);
    await pause(random.uniform() * PEACE_MS);
  }
  return happened;
}

/** It may have ended a moment ago. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // nobody is there
  }
}

/** What it inherits for its next process, what it works in of that, and the ledger of the coordinator. */
function keptBy(server: number): number {
  return 3 + (server === 0 ? 1 : 0);
}

type Counts = Pick<Held, 'sockets' | 'segments'>;

function countsOf(pids: readonly number[]): Counts[] {
  return pids.map((pid) => {
    const { sockets, segments } = heldBy(pid);
    return { sockets, segments };
  });
}

/** What earlier workers held is let go soon, memory when it is collected: the counts as soon as they are `wanted`, or those in the end. */
async function countsLike(wanted: readonly Counts[], pids: readonly number[]): Promise<Counts[]> {
  const endMs = performance.now() + LET_GO_MS;
  while (performance.now() < endMs && !isDeepStrictEqual(countsOf(pids), wanted)) await pause(100);
  return countsOf(pids);
}

/** Memory of some processes over time, for as long as they are there. */
class Watch implements Disposable {
  readonly #samples: number[][];
  readonly #timer: NodeJS.Timeout;

  constructor(pids: readonly number[]) {
    this.#samples = pids.map(() => []);
    this.#timer = setInterval(() => {
      pids.forEach((pid, at) => {
        if (existsSync(`/proc/${pid}/status`)) this.#samples[at]!.push(residentMiB(pid));
      });
    }, SAMPLE_MS);
  }

  /** Of each, the median of the second quarter of the time, and of the last. */
  memory(): [early: number, late: number][] {
    return this.#samples.map((samples) => {
      const quarter = (index: number): number =>
        median(samples.slice((index * samples.length) / 4, ((index + 1) * samples.length) / 4));
      return [quarter(1), quarter(3)];
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
