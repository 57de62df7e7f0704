// Processes of neighbouring versions work together, others refuse each other by name: as of version 1, whose protos are kept, and as
// of the version after ours, which nobody has written yet.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import type { loadSync } from '@grpc/proto-loader';
import { freePorts } from '../../../worker/launch/ports.ts';
import { RuntimeError } from '../../../worker/protocol/errors.ts';
import { chosenVersion, commonVersion, PROTOCOL } from '../../../worker/transport/protocol.ts';
import { plainDefinitions } from '../../../worker/transport/services.ts';
import { startFixture } from '../transport/fixture.ts';
import { type Edition, interpret, NEXT, VERSION_1 } from './interpreter.ts';
import { runSmallJob, type SmallJob, temporaryFolder } from './small-job.ts';

const TIMEOUT = { timeout: 60_000 };
const JOB = { workers: 2, servers: 2, batchSize: 16, epochs: 1 };

async function weightsOf(job: Partial<SmallJob>): Promise<string> {
  await using folder = await temporaryFolder();
  await runSmallJob({ ...JOB, directory: folder.path, ...job });
  return createHash('sha256')
    .update(await readFile(join(folder.path, 'weights.safetensors')))
    .digest('hex');
}

/** All that the processes of a job tell each other goes through interpreters. */
async function through(edition: Edition, job: Partial<SmallJob>): Promise<string> {
  const ports = await freePorts(2 * JOB.servers);
  const ways = new Map<number, number>();
  const interpreters: Promise<AsyncDisposable>[] = [];
  const way = (port: number): number => {
    const known = ways.get(port);
    if (known !== undefined) return known;
    const between = ports.pop()!;
    ways.set(port, between);
    interpreters.push(interpret(edition, between, port));
    return between;
  };
  try {
    const digest = await weightsOf({ ...job, way });
    assert.equal(interpreters.length, JOB.servers);
    return digest;
  } finally {
    for (const each of interpreters) await (await each)[Symbol.asyncDispose]();
  }
}

const JOBS: readonly Partial<SmallJob>[] = [
  {},
  { elsewhere: ['worker 0', 'server 1'], clipNorm: 5, everySteps: 3 },
  { elsewhere: ['worker 0', 'worker 1'], gradientCodec: { codec: 'int8' } },
];
let undisturbed: string[] = [];
before(async () => {
  undisturbed = await Promise.all(JOBS.map(weightsOf));
});

for (const [name, edition] of [
  ['the version before', VERSION_1],
  ['the version after', NEXT],
] as const)
  test(`a job among processes that take each other for ${name}: the same bits`, TIMEOUT, async () => {
    for (const [at, job] of JOBS.entries())
      assert.equal(await through(edition, job), undisturbed[at], JSON.stringify(job));
  });

function refusal(...words: readonly string[]) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.code, 'PROTOCOL_VERSION', error.message);
    for (const word of words) assert.ok(error.message.includes(word), `${word} in: ${error.message}`);
    return true;
  };
}

const OURS = `versions ${PROTOCOL.oldest} to ${PROTOCOL.newest}`;
const FAR = { oldest: PROTOCOL.newest + 1, newest: PROTOCOL.newest + 2 };
const THEIRS = `versions ${FAR.oldest} to ${FAR.newest}`;

test('processes two versions apart refuse each other in words that name both', TIMEOUT, async () => {
  await using fixture = await startFixture(
    { attend: () => ({ step: 1 }) },
    { join: async () => ({ epoch: 1 }) as never, enlist: (_, out) => out.end() },
  );
  const [port] = (await freePorts(1)) as [number];
  await using _ = await interpret({ ...NEXT, speaks: FAR }, port, fixture.listener.port);
  const address = { address: `127.0.0.1:${port}` };
  const [exchange, coordination] = [fixture.exchange(address), fixture.coordination(address)];
  await assert.rejects(exchange.attend({ rank: 3, epoch: 1 }, 2000), refusal('rank 3', THEIRS, OURS));
  const join = { rank: 4, attempt: 0, plan: '{}' };
  await assert.rejects(coordination.join(join, 2000), refusal('rank 4', THEIRS, OURS));
  const enlisted = coordination.enlist({ server: 5, attempt: 0 });
  enlisted.onMessage(() => {});
  const end = await new Promise((resolve) => enlisted.onEnd(resolve));
  refusal('server 5', THEIRS, OURS)(end);
});

test('the newest that both speak', () => {
  const range = (oldest: number, newest: number) => ({ oldest, newest });
  assert.equal(commonVersion('a', range(1, 2), range(1, 2)), 2);
  assert.equal(commonVersion('a', range(1, 1), range(1, 2)), 1);
  assert.equal(commonVersion('a', range(2, 3), range(1, 2)), 2);
  assert.equal(commonVersion('a', range(1, 9), range(3, 4)), 4);
  for (const theirs of [range(3, 4), range(0, 0), range(2, 1), null, undefined])
    assert.throws(() => commonVersion('a', theirs, range(1, 2)), refusal('a speaks', 'versions 1 to 2'));
});

test('an answer in a version that was not offered is refused; one that names none is of version 1', () => {
  assert.equal(chosenVersion('peer', 2, { oldest: 1, newest: 2 }), 2);
  assert.equal(chosenVersion('peer', 0, { oldest: 1, newest: 2 }), 1);
  assert.throws(() => chosenVersion('peer', 3, { oldest: 1, newest: 2 }), refusal('peer', 'version 3'));
  assert.throws(() => chosenVersion('peer', 0, { oldest: 2, newest: 3 }), refusal('peer', 'version 1'));
});

interface Field {
  readonly name: string;
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

/** Message -> its fields. */
function messagesOf(definitions: ReturnType<typeof loadSync>): Map<string, Field[]> {
  const messages = Object.entries(definitions).filter(([, { format }]) => format !== undefined);
  return new Map(
    messages.map(([name, definition]) => [
      name,
      (definition as unknown as { type: { field: Field[] } }).type.field,
    ]),
  );
}

test('no field of version 1 has another number or type now, and no number another field', () => {
  const now = messagesOf(plainDefinitions());
  const before = messagesOf(VERSION_1.definitions);
  assert.ok(before.size > 40, `${before.size} messages`);
  for (const [message, fields] of before)
    for (const { name, number, label, type, typeName } of fields) {
      const there = now.get(message)?.filter((field) => field.name === name || field.number === number);
      assert.deepEqual(
        there?.map((field) => [field.name, field.number, field.label, field.type, field.typeName]),
        [[name, number, label, type, typeName]],
        `${message}.${name}`,
      );
    }
});
