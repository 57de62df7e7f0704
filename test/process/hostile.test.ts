// Peers that mean no good, while a job trains: strangers without its token, and members that have it. Servers stay small, everything is
// refused by name, and the others end with the bits of an undisturbed run.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { services } from '../../worker/transport/services.ts';
import {
  type Answer,
  Attacker,
  configOf,
  framed,
  grownMiB,
  pushOf,
  STREAMS,
  unfinished,
} from './attackers.ts';
import { run, startJob, type TestJob, temporaryFolder, type WatchedJob } from './processes.ts';

const TIMEOUT = { timeout: 300_000 };
const MiB = 2 ** 20;
const JOB: TestJob = { workers: 2, servers: 2, batchSize: 32, epochs: 60, testing: { chunkLength: 4096 } };
/** So that it outlives all attacks. */
const SLOW: TestJob = { ...JOB, testing: { ...JOB.testing, delayMs: 6 } };
const MOST_MIB = 150;
/** What a listener of two workers and two servers holds at once. */
const CALLS_AT_ONCE = 48;
/** Of gRPC. */
const STATUS = { resourceExhausted: 8, unauthenticated: 16 };
/** Of HTTP/2. */
const RESET = { refused: 7, calm: 11 };

interface Target {
  readonly job: WatchedJob;
  /** By index. */
  readonly ports: readonly number[];
  readonly pids: readonly number[];
  readonly token: string;
}

test('a job under attack ends with the bits of one that nobody disturbed', TIMEOUT, async (context) => {
  const undisturbed = await run(JOB);
  const attacks = { strangers, unfinishedCalls, lies, hurry, wrongPushes };
  const { digest, history } = await run(SLOW, async (job) => {
    const target = await targetOf(job);
    for (const [name, attack] of Object.entries(attacks)) {
      const over = attack(target);
      const [grown] = await Promise.all([grownMiB(target.pids, over), over]);
      assert.ok(grown < MOST_MIB, `${name}: a server grew by ${grown} MiB`);
      context.diagnostic(`${name}: a server grew by ${grown.toFixed(0)} MiB`);
    }
    assert.equal(job.progress.phase, 'Running', 'the job was over before the attacks were');
    assert.deepEqual(job.logged('session lost, joining again'), []);
  });
  assert.deepEqual(history, undisturbed.history);
  assert.equal(digest, undisturbed.digest);
});

async function targetOf(job: WatchedJob): Promise<Target> {
  assert.ok(await job.until(({ step }) => step >= 5));
  const ports = job
    .logged('listening')
    .sort((a, b) => a.source.localeCompare(b.source))
    .map(({ fields }) => Number(fields['port']));
  assert.equal(ports.length, 2);
  const pids = job.progress.servers.map(({ pid }) => pid!);
  return { job, ports, pids, token: configOf(pids[0]!).token };
}

/** Refused by the head of the call: nothing that they send is kept. */
async function strangers({ ports }: Target): Promise<void> {
  for (const port of ports) {
    const { answers, left } = await unfinished(port, 'not the token of this job');
    assert.deepEqual([answers.length, left], [STREAMS, 0]);
    for (const { status, code } of answers)
      assert.deepEqual([status, code], [STATUS.unauthenticated, 'WRONG_TOKEN']);
  }
  await using liar = new Attacker(ports[0]!, 'not the token of this job');
  const { say, answer } = liar.call('coordination.v1.Coordination', 'Join');
  await say(framed(randomBytes(MiB), 2 ** 32 - 1));
  assert.equal((await answer).code, 'WRONG_TOKEN');
}

/** Of a member: no more than a listener may hold. */
async function unfinishedCalls({ ports, token }: Target): Promise<void> {
  for (const port of ports) {
    const { answers, left } = await unfinished(port, token);
    assert.equal(left + answers.length, STREAMS);
    assert.ok(left <= CALLS_AT_ONCE, `${left} calls are held`);
    for (const { reset } of answers)
      assert.ok(reset === RESET.refused || reset === RESET.calm, `ended by ${reset}`);
  }
}

async function lies({ ports, token }: Target): Promise<void> {
  await using liar = new Attacker(ports[1]!, token);
  const lie = liar.call('exchange.v1.Exchange', 'Push');
  await lie.say(framed(randomBytes(64), 2 ** 32 - 1));
  for (let sent = 0; sent < 64; sent++) await lie.say(randomBytes(MiB));
  assert.equal((await lie.answer).status, STATUS.resourceExhausted);
  const nonsense = liar.call('exchange.v1.Exchange', 'Push');
  await nonsense.say(framed(Buffer.alloc(1000, 0xff)));
  assert.equal((await nonsense.answer).code, 'BAD_MESSAGE');
}

/** Calls begun and cancelled faster than anybody needs end the connection that they come on, nobody else's. */
async function hurry({ ports, token }: Target): Promise<void> {
  await using hurried = new Attacker(ports[0]!, token);
  for (let at = 0; at < 1500 && !hurried.isOver; at++) {
    const { say, cancel, answer } = hurried.call('exchange.v1.Exchange', 'Push');
    await say(framed(Buffer.alloc(0)));
    cancel();
    await answer;
  }
  await pause(500);
  assert.ok(hurried.isOver, 'the connection has ended');
}

/** Chunks again, too early, of other sizes, with NaN: refused by name, or known already. */
async function wrongPushes({ ports, token, job }: Target): Promise<void> {
  await using member = new Attacker(ports[0]!, token);
  /** What one message leads to; undefined: taken, or ignored. */
  const pushed = async (message: Parameters<typeof pushOf>[0]): Promise<Answer | undefined> => {
    const { say, answer } = member.call('exchange.v1.Exchange', 'Push');
    await say(pushOf(message));
    return await Promise.race([answer, pause(200).then(() => undefined)]);
  };
  const { chunkBytes, epoch } = await sessionOf(pushed);
  const data = Buffer.alloc(chunkBytes);
  const push = (step: number, bytes: Uint8Array = data, chunk = 0) =>
    pushed({ epoch, rank: 1, step, gradient: { chunk, weight: 1, learningRate: 0.1 }, data: bytes });
  // Of steps that are over, out of order and more than once.
  for (const step of [2, 0, 1, 0, 2]) assert.equal(await push(step), undefined);
  assert.equal((await push(1_000_000))?.code, 'STEP_AHEAD');
  assert.equal((await push(0, data.subarray(4)))?.code, 'BAD_MESSAGE');
  assert.equal((await push(0, data, 999))?.code, 'BAD_MESSAGE');
  for (const value of [Number.NaN, Number.NEGATIVE_INFINITY]) {
    const bad = Buffer.from(data);
    bad.writeFloatLE(value, chunkBytes - 4);
    const refused = await push(job.progress.step, bad);
    assert.equal(refused?.code, 'GRADIENT_NOT_FINITE', String(value));
    assert.match(refused?.message ?? '', /^gradient of rank 1, step \d+, chunk 0: expected finite values/);
  }
  const initial = { chunk: 0 };
  assert.equal((await pushed({ epoch, rank: 7, step: 0, initial, data }))?.code, 'BAD_MESSAGE');
  assert.equal((await pushed({ epoch: 0, rank: 1, step: 0, initial, data }))?.code, 'OLD_EPOCH');
  assert.equal((await pushed({ epoch, rank: 1, step: 0, data }))?.code, 'BAD_MESSAGE');
  const beat = { epoch, rank: 1, step: 0, samplesPerSecond: Number.NaN, waitRatio: 0, state: 'running' };
  const { say, end, answer } = member.call('coordination.v1.Coordination', 'Heartbeat');
  await say(framed(services().coordination.service['Heartbeat']!.requestSerialize(beat)));
  end();
  assert.equal((await answer).code, 'BAD_MESSAGE');
}

/** The epoch of the session of rank 1, found from below, and how many bytes a chunk has, by the words of those who refuse. */
async function sessionOf(
  pushed: (message: Parameters<typeof pushOf>[0]) => Promise<Answer | undefined>,
): Promise<{ epoch: number; chunkBytes: number }> {
  const gradient = { chunk: 0, weight: 1, learningRate: 0.1 };
  for (let epoch = 0; epoch < 20; epoch++) {
    const sized = await pushed({ epoch, rank: 1, step: 0, gradient, data: Buffer.alloc(0) });
    const chunkBytes = Number(/expected (\d+) bytes/.exec(sized?.message ?? '')?.[1] ?? 0);
    if (chunkBytes === 0) continue;
    const taken = await pushed({ epoch, rank: 1, step: 0, gradient, data: Buffer.alloc(chunkBytes) });
    if (taken === undefined) return { epoch, chunkBytes };
  }
  throw new Error('no session was found');
}

test('a gradient that overflows ends the job with its rank, step and chunk', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const job: TestJob = { ...JOB, net: 'overflow-net.ts', loss: 'meanSquaredError', maxRestarts: 3 };
  await using running = await startJob(job, folder.path);
  const { phase, error } = await running.finished;
  assert.equal(phase, 'Failed');
  assert.equal(error?.code, 'GRADIENT_NOT_FINITE', error?.message);
  assert.match(error?.message ?? '', /^gradient of rank [01], step 0, chunk 0: expected finite values/);
});
