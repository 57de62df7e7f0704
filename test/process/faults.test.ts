// What may happen to the processes of a job: killed, stopped, spoken to by strangers. The result is always that of the
// undisturbed run, bit for bit, with every sample counted once.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { LogLine } from '../../worker/protocol/progress.ts';
import { Random } from '../../worker/random/philox.ts';
import {
  type Outcome,
  returnsIn,
  run,
  SAMPLES,
  startJob,
  type TestJob,
  temporaryFolder,
  type WatchedJob,
} from './processes.ts';

const TIMEOUT = { timeout: 300_000 };
const JOB: TestJob = { workers: 2, servers: 2, batchSize: 32, epochs: 10, everySteps: 25 };
const WORKER_KILLS = 20;
const SERVER_KILLS = 3;

let undisturbed: Outcome;
before(async () => {
  undisturbed = await run(JOB);
});

function assertUnharmed({ digest, history }: Outcome): void {
  for (const { epoch, samples } of history) assert.equal(samples, SAMPLES, `samples of epoch ${epoch}`);
  assert.deepEqual(history, undisturbed.history);
  assert.equal(digest, undisturbed.digest);
}

function assertFromMemory(lines: readonly LogLine[]): void {
  const returns = returnsIn(lines);
  assert.ok(returns.length > 0);
  for (const { message, fields } of returns) {
    assert.equal(message, 'job goes on from memory');
    assert.ok(Number(fields['lostSteps']) <= 1, `${fields['lostSteps']} steps lost`);
  }
}

/** Kills at random moments, each time after the job has made a step since the last one. */
async function killAtRandom(job: WatchedJob, role: 'workers' | 'servers', times: number): Promise<number> {
  const random = new Random(3, 'kills', role);
  let killed = 0;
  for (let step = 0; killed < times; killed++) {
    const next = step;
    if (!(await job.until((progress) => progress.step > next && progress[role].every(({ pid }) => pid))))
      break;
    await pause(random.uniform() * 20);
    step = job.progress.step;
    // Every server in turn, so that the coordinator's is among them.
    const victims: readonly { pid?: number; restarts: number }[] = job.progress[role];
    const victim = victims[role === 'servers' ? killed % victims.length : random.integer(victims.length)]!;
    if (job.progress.phase !== 'Running' && job.progress.phase !== 'Starting') break;
    process.kill(victim.pid!, 'SIGKILL');
    const { restarts } = victim;
    const rank = victims.indexOf(victim);
    if (!(await job.until((progress) => progress[role][rank]!.restarts > restarts))) break;
  }
  return killed;
}

test(`kill -9 of a random worker ${WORKER_KILLS} times`, TIMEOUT, async (context) => {
  let killed = 0;
  const outcome = await run({ ...JOB, maxRestarts: WORKER_KILLS, testing: { delayMs: 2 } }, async (job) => {
    killed = await killAtRandom(job, 'workers', WORKER_KILLS);
  });
  assert.equal(killed, WORKER_KILLS);
  assertUnharmed(outcome);
  context.diagnostic(`${killed} workers killed, digest ${outcome.digest.slice(0, 12)} as undisturbed`);
});

for (const [memory, snapshots] of [
  ['with its memory', false],
  ['whose memory is kept', true],
] as const)
  test(`kill -9 of a parameter server ${memory}, ${SERVER_KILLS} times`, TIMEOUT, async (context) => {
    let killed = 0;
    const everySteps = snapshots ? 100_000 : JOB.everySteps!;
    const hurt = { ...JOB, everySteps, maxRestarts: 50, testing: { delayMs: 2, snapshots } };
    const { lines, ...outcome } = await run(hurt, async (job) => {
      killed = await killAtRandom(job, 'servers', SERVER_KILLS);
    });
    assert.equal(killed, SERVER_KILLS);
    assertUnharmed(outcome);
    if (snapshots) assertFromMemory(lines);
    else assert.ok(returnsIn(lines).every(({ message }) => message === 'job goes on from a checkpoint'));
    context.diagnostic(`${killed} servers killed, digest ${outcome.digest.slice(0, 12)} as undisturbed`);
  });

test(
  'kill -9 of the coordinator after the last step: its next process still finds the workers',
  TIMEOUT,
  async () => {
    const epochs = 2;
    const last = (epochs * SAMPLES) / (JOB.workers * JOB.batchSize);
    const outcome = await run({ ...JOB, epochs, maxRestarts: 1 }, async (job) => {
      // The results are written from this checkpoint; they take some ten milliseconds.
      const committed = (): boolean =>
        job.logged('checkpoint committed').some(({ fields }) => fields['step'] === last);
      while (!committed()) await pause(1);
      process.kill(job.progress.servers[0]!.pid!, 'SIGKILL');
      assert.ok(await job.until(({ servers }) => servers[0]!.restarts === 1));
    });
    assert.deepEqual(outcome.history, undisturbed.history.slice(0, epochs));
  },
);

test('kill -9 of all processes at once', TIMEOUT, async () => {
  const rare = { ...JOB, everySteps: 100_000, maxRestarts: 50, testing: { delayMs: 2 } };
  const { lines, ...outcome } = await run(rare, async (job) => {
    assert.ok(await job.until(({ step }) => step >= 30));
    for (const { pid } of [...job.progress.servers, ...job.progress.workers]) process.kill(pid!, 'SIGKILL');
  });
  assertUnharmed(outcome);
  assertFromMemory(lines);
});

for (const [whom, where] of [
  ['workers that hold the parameters', { servers: 0 }],
  ['a server and of workers that hold the parameters together', { servers: 1, placement: 'mixed' }],
] as const)
  test(`kill -9 of ${whom}`, TIMEOUT, async (context) => {
    let killed = 0;
    const rare = { ...JOB, ...where, everySteps: 100_000, maxRestarts: 50, testing: { delayMs: 2 } };
    const { lines, ...outcome } = await run(rare, async (job) => {
      killed = await killAtRandom(job, 'servers', SERVER_KILLS);
    });
    assert.equal(killed, SERVER_KILLS);
    assertUnharmed(outcome);
    assertFromMemory(lines);
    context.diagnostic(`${killed} processes killed, the coordinator's among them`);
  });

test(
  'a server that has had no command for longer than a stall enlists with the next coordinator',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    const quiet = { ...JOB, epochs: 1000, everySteps: 1_000_000, maxRestarts: 1 };
    await using job = await startJob({ ...quiet, deadlines: { stallSeconds: 5 } }, folder.path);
    assert.ok(await job.until(({ step }) => step >= 5));
    await pause(6000);
    process.kill(job.progress.servers[0]!.pid!, 'SIGKILL');
    assert.ok(await job.until(({ servers }) => servers[0]!.restarts === 1));
    assert.ok(await job.until(() => job.logged('worker joined').length >= 2 * JOB.workers));
    assert.equal(job.progress.servers[1]!.restarts, 0);
    await job.stop();
    await job.finished;
  },
);

test('SIGSTOP of a worker for 20 s', TIMEOUT, async () => {
  const outcome = await run(JOB, async (job) => {
    assert.ok(await job.until(({ step }) => step >= 5));
    const pid = job.progress.workers[1]!.pid!;
    process.kill(pid, 'SIGSTOP');
    await pause(2000); // what was under way has arrived
    const { step } = job.progress;
    await pause(18_000);
    assert.equal(job.progress.step, step, 'no step goes by without the stopped worker');
    process.kill(pid, 'SIGCONT');
  });
  assertUnharmed(outcome);
});

test('a worker that stays silent is replaced', TIMEOUT, async () => {
  const outcome = await run({ ...JOB, maxRestarts: 1, deadlines: { silentSeconds: 2 } }, async (job) => {
    assert.ok(await job.until(({ step }) => step >= 5));
    process.kill(job.progress.workers[0]!.pid!, 'SIGSTOP');
    await job.until(({ workers }) => workers[0]!.restarts === 1);
  });
  assertUnharmed(outcome);
});

test('strangers on the ports: garbage, half a handshake, silence', TIMEOUT, async () => {
  const outcome = await run({ ...JOB, testing: { delayMs: 2 } }, async (job) => {
    assert.ok(await job.until(({ step }) => step >= 2));
    const ports = job.logged('listening').map(({ fields }) => Number(fields['port']));
    assert.equal(ports.length, 2);
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    const random = new Random(9, 'garbage');
    const noise = Uint8Array.from({ length: 100_000 }, () => random.integer(256));
    const sent: (string | Uint8Array)[] = [
      'GET / HTTP/1.1\r\n\r\n',
      noise,
      preface,
      Buffer.concat([Buffer.from(preface), noise]),
      '',
    ];
    for (const port of ports) await Promise.all(sent.map((bytes) => say(port, bytes)));
  });
  assertUnharmed(outcome);
});

/** Says it and listens for a moment; whatever the server does with it is fine. */
async function say(port: number, bytes: string | Uint8Array): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  await Promise.race([once(socket, 'close'), pause(500)]);
  socket.destroy();
}
