// kill -9 of workers, servers and the coordinator at random moments, again and again: every run ends with the parameters of one that nobody
// disturbed, every sample is counted once, training goes on within seconds and one step at most is made again, without any checkpoint. 200
// kills: `make kills`.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LogLine } from '../../worker/protocol/progress.ts';
import { Random } from '../../worker/random/philox.ts';

import { type Outcome, run, SAMPLES, type TestJob, type WatchedJob } from './processes.ts';

const KILLS = Number(process.env['LEPTON_KILLS'] ?? 6);
const TIMEOUT = { timeout: 120_000 + KILLS * 20_000 };
const KINDS = ['worker', 'server', 'coordinator'] as const;
/** No checkpoint but the first and the last. */
const JOB: TestJob = {
  workers: 2,
  servers: 2,
  batchSize: 32,
  epochs: 10,
  everySteps: 100_000,
  maxRestarts: 1000,
  testing: { delayMs: 2 },
};
const MOST_LOST_STEPS = 1;
const LONGEST_PEACE_MS = 300;
const HANG_SECONDS = 60;
/** Nobody is killed in these: workers that have ended do not come back for a coordinator that begins anew. */
const LAST_STEPS = 60;
/** From the kill of a server until a step is made that had not been made before; start of Node included. */
const RECOVERY_MS = 5000;

type Kind = (typeof KINDS)[number];

interface Kill {
  readonly kind: Kind;
  readonly recoveredMs: number;
  /** Of those that had ended; by the coordinator's word, and by that of progress before the kill. */
  readonly lostSteps: number;
}

let undisturbed: Outcome;
before(async () => {
  undisturbed = await run(JOB);
});

test(`${KILLS} kills of workers, servers and the coordinator`, TIMEOUT, async (context) => {
  const random = new Random(KILLS, 'kills');
  const kills: Kill[] = [];
  let runs = 0;
  for (; kills.length < KILLS; runs++) {
    const { digest, history } = await run(JOB, async (job) => {
      while (kills.length < KILLS) {
        const kill = await killOne(job, KINDS[kills.length % KINDS.length]!, random);
        if (!kill) return;
        kills.push(kill);
      }
    });
    assert.equal(digest, undisturbed.digest, `run ${runs}`);
    assert.deepEqual(history, undisturbed.history, `run ${runs}`);
    for (const { epoch, samples } of history) assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
  }
  context.diagnostic(
    `${kills.length} kills in ${runs} runs, all with digest ${undisturbed.digest.slice(0, 12)}`,
  );
  for (const kind of KINDS) {
    const of = kills.filter((kill) => kill.kind === kind);
    const times = of.map(({ recoveredMs }) => recoveredMs).sort((a, b) => a - b);
    const [median, longest] = [times[Math.floor(times.length / 2)]!, times.at(-1)!];
    const lost = Math.max(...of.map(({ lostSteps }) => lostSteps));
    context.diagnostic(
      `${kind}: ${of.length} kills, a new step after ${median.toFixed(0)} ms (median), ${longest.toFixed(0)} ms (longest), ${lost} steps lost at most`,
    );
    assert.ok(median < RECOVERY_MS, `${kind}: ${median} ms`);
    assert.ok(lost <= MOST_LOST_STEPS, `${kind}: ${lost} steps lost`);
  }
});

/** Once the job makes steps. Undefined where the job has ended before it was over. */
async function killOne(job: WatchedJob, kind: Kind, random: Random): Promise<Kill | undefined> {
  const { step: first } = job.progress;
  const trains = ({ step, workers, servers }: WatchedJob['progress']): boolean =>
    step > first && [...workers, ...servers].every(({ pid }) => pid);
  if (!(await job.until(trains, HANG_SECONDS))) return undefined;
  await pause(random.uniform() * LONGEST_PEACE_MS);
  const { step, steps, workers, servers, phase } = job.progress;
  if (phase !== 'Running' || steps - step < LAST_STEPS) return undefined;
  const victim =
    kind === 'worker' ? workers[random.integer(workers.length)] : servers[kind === 'server' ? 1 : 0];
  if (!victim?.pid) return undefined;
  // What each of them leads to, by the log: progress is told some times a second, and may be behind.
  const signs = (): LogLine[] => (kind === 'worker' ? job.logged('worker joined') : job.returns());
  const before = signs().length;
  const startedMs = performance.now();
  process.kill(victim.pid, 'SIGKILL');
  let from: number | undefined;
  let lostSteps = 0;
  const goesOn = (now: WatchedJob['progress']): boolean => {
    const line = signs()[before];
    if (line && from === undefined) {
      from = Number(line.fields['step'] ?? now.step);
      lostSteps = Math.max(0, step - from, Number(line.fields['lostSteps'] ?? 0));
    }
    return from !== undefined && now.step > Math.max(step, from);
  };
  if (!(await job.until(goesOn, HANG_SECONDS))) return undefined;
  return { kind, recoveredMs: performance.now() - startedMs, lostSteps };
}
