// The two services over real connections: streams, limits, the token, versions, errors by name, garbage on the port.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import { RuntimeError } from '../../../worker/protocol/errors.ts';
import type { PullMessage, PushMessage } from '../../../worker/transport/messages.ts';
import { DATA_WINDOW } from '../../../worker/transport/options.ts';
import { PROTOCOL } from '../../../worker/transport/protocol.ts';
import { CHUNK_BYTES, startFixture } from './fixture.ts';

const TIMEOUT = { timeout: 20_000 };
const gradient = { chunk: 3, weight: 0.5, learningRate: 0.001, codec: '', sharedChunks: 0 } as const;
/** An answer without shared memory. */
const attended = { step: 1, protocol: PROTOCOL.newest, parameters: null };

function failsWith(code: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

test('push: chunks, records and initial values arrive as sent', TIMEOUT, async () => {
  const got: PushMessage[] = [];
  await using fixture = await startFixture({
    push: (messages) =>
      messages.onMessage((message, lease) => {
        lease.keep();
        got.push(message);
      }),
  });
  const stream = fixture.exchange().push();
  const data = randomBytes(CHUNK_BYTES);
  const header = { epoch: 2 ** 40 + 1, rank: 3, step: 12 };
  stream.write({ ...header, gradient, data });
  stream.write({ ...header, record: { samples: 32, sums: [1.5, 1e-9] }, data: new Uint8Array(0) });
  stream.write({ ...header, initial: { chunk: 1 }, data: data.subarray(1, 42) });
  await stream.finish();
  assert.equal(got.length, 3);
  assert.deepEqual({ ...got[0]?.gradient }, gradient);
  assert.equal(got[0]?.epoch, 2 ** 40 + 1);
  assert.ok(Buffer.from(got[0]!.data).equals(data));
  assert.equal(got[0]?.record, undefined);
  assert.deepEqual({ ...got[1]?.record }, { samples: 32, sums: [1.5, 1e-9] });
  assert.deepEqual({ ...got[2]?.initial }, { chunk: 1 });
  assert.ok(Buffer.from(got[2]!.data).equals(data.subarray(1, 42)));
});

test('pull: messages arrive in order until the server ends the stream', TIMEOUT, async () => {
  await using fixture = await startFixture({
    pull: ({ step }, out) => {
      for (let chunk = 0; chunk < 20; chunk++)
        out.write({ step, parameters: { chunk }, data: randomBytes(1000) });
      out.write({ step, begin: { directive: 'finish' }, data: new Uint8Array(0) });
      out.end();
    },
  });
  const got: PullMessage[] = [];
  const pull = fixture.exchange().pull({ rank: 0, epoch: 1, step: 7 });
  pull.onMessage((message) => got.push(message));
  const end = await new Promise((resolve) => pull.onEnd(resolve));
  assert.equal(end, undefined);
  assert.deepEqual(
    got.map(({ parameters, begin }) => parameters?.chunk ?? begin?.directive),
    [...Array.from({ length: 20 }, (_, chunk) => chunk), 'finish'],
  );
});

test('64 MiB pushed and 64 MiB pulled at once, on connections of their own', TIMEOUT, async (context) => {
  const chunks = 64;
  const block = randomBytes(CHUNK_BYTES);
  let pushed = 0;
  await using fixture = await startFixture({
    push: (messages) => messages.onMessage(({ data }) => (pushed += data.byteLength)),
    pull: (_, out) => {
      for (let chunk = 0; chunk < chunks; chunk++) out.write({ step: 0, parameters: { chunk }, data: block });
      out.end();
    },
  });
  const client = fixture.exchange();
  const started = performance.now();
  let pulled = 0;
  const pull = client.pull({ rank: 0, epoch: 1, step: 0 });
  pull.onMessage(({ data }) => (pulled += data.byteLength));
  const ended = new Promise((resolve) => pull.onEnd(resolve));
  const push = client.push();
  for (let chunk = 0; chunk < chunks; chunk++)
    push.write({ epoch: 1, rank: 0, step: 0, gradient, data: block });
  await Promise.all([push.finish(), ended]);
  assert.equal(pushed, chunks * CHUNK_BYTES);
  assert.equal(pulled, chunks * CHUNK_BYTES);
  context.diagnostic(`${Math.round(performance.now() - started)} ms for 64 MiB each way`);
});

test('refusals keep their names over the wire', TIMEOUT, async () => {
  await using fixture = await startFixture(
    {
      attend: () => {
        throw new RuntimeError('OLD_EPOCH', 'attend of rank 0: expected epoch 5 or newer, got 4');
      },
      push: (messages) =>
        messages.onMessage(() => {
          throw new RuntimeError('STEP_AHEAD', 'push of chunk 0: expected step 1 at most, got 9');
        }),
      pull: () => {
        throw new RuntimeError('STEP_GONE', 'gone');
      },
    },
    {
      join: () => Promise.reject(new RuntimeError('PLAN_MISMATCH', 'other model')),
      heartbeat: () => {
        throw new TypeError('a bug with secrets inside');
      },
    },
  );
  const [exchange, coordination] = [fixture.exchange(), fixture.coordination()];
  const attend = { rank: 0, epoch: 4 };
  await assert.rejects(exchange.attend(attend, 1000), failsWith('OLD_EPOCH'));
  const push = exchange.push();
  push.write({ epoch: 1, rank: 0, step: 9, gradient, data: new Uint8Array(4) });
  const failure = await new Promise<RuntimeError>((resolve) => push.onFailure(resolve));
  assert.ok(failsWith('STEP_AHEAD')(failure));
  const pull = exchange.pull({ rank: 0, epoch: 1, step: 0 });
  pull.onMessage(() => {});
  assert.ok(failsWith('STEP_GONE')(await new Promise((resolve) => pull.onEnd(resolve))));
  const join = { rank: 0, attempt: 0, plan: '{}' };
  await assert.rejects(coordination.join(join, 1000), failsWith('PLAN_MISMATCH'));
  const beat = { rank: 0, epoch: 1, step: 0, samplesPerSecond: 0, waitRatio: 0, state: 'running' };
  await assert.rejects(coordination.heartbeat(beat, 1000), (error: Error) => !/secrets/.test(error.message));
});

test('a call without the token of the job is refused', TIMEOUT, async () => {
  let calls = 0;
  await using fixture = await startFixture({ attend: () => ({ step: ++calls }), push: () => calls++ });
  const right = { rank: 0, epoch: 1 };
  const wrong = fixture.exchange({ security: { kind: 'token', token: 'x'.repeat(32) } });
  await assert.rejects(wrong.attend(right, 1000), failsWith('WRONG_TOKEN'));
  await assert.rejects(wrong.push().finish(), failsWith('WRONG_TOKEN'));
  assert.equal(calls, 0);
  assert.deepEqual({ ...(await fixture.exchange().attend(right, 1000)) }, attended);
});

test('a message over the limit is refused', TIMEOUT, async () => {
  await using fixture = await startFixture({ push: (messages) => messages.onMessage(() => {}) });
  const push = fixture.exchange().push();
  push.write({ epoch: 1, rank: 0, step: 0, gradient, data: new Uint8Array(5 * 2 ** 20) });
  await assert.rejects(push.finish(), failsWith('PEER_LOST'));
});

test('nobody answers: the call ends at its deadline, with a name', TIMEOUT, async () => {
  await using fixture = await startFixture({}, { join: () => new Promise(() => {}) });
  const join = { rank: 0, attempt: 0, plan: '{}' };
  await assert.rejects(fixture.coordination().join(join, 200), failsWith('DEADLINE_EXCEEDED'));
  const nobody = fixture.exchange({ address: '127.0.0.1:9' });
  await assert.rejects(nobody.attend({ rank: 0, epoch: 1 }, 300), failsWith('DEADLINE_EXCEEDED'));
});

test('a port that is taken has its own error', TIMEOUT, async () => {
  await using fixture = await startFixture({});
  const { listen } = await import('../../../worker/transport/listener.ts');
  const again = listen({
    address: fixture.peer.address,
    security: fixture.peer.security,
    chunkBytes: CHUNK_BYTES,
    peers: 1,
    exchange: {} as never,
  });
  await assert.rejects(again, failsWith('PORT_TAKEN'));
});

test('garbage on the port: no crash, no growth, and the next peer is served', TIMEOUT, async (context) => {
  await using fixture = await startFixture({ attend: () => ({ step: 1 }) });
  const { port } = fixture.listener;
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const openings = [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    randomBytes(4096),
    Buffer.concat([preface, randomBytes(4096)]),
    // A frame that claims 16 MiB of headers and never sends them.
    Buffer.concat([preface, Buffer.from([0xff, 0xff, 0xff, 1, 4, 0, 0, 0, 1]), randomBytes(64)]),
    Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]), // a TLS handshake
  ];
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 40; round++) await Promise.all(openings.map((bytes) => speak(port, bytes)));
  const grownMiB = (process.memoryUsage.rss() - before) / 2 ** 20;
  assert.deepEqual({ ...(await fixture.exchange().attend({ rank: 0, epoch: 1 }, 2000)) }, attended);
  assert.ok(grownMiB < 64, `memory grew by ${grownMiB} MiB`);
  context.diagnostic(`200 connections with garbage, memory grew by ${grownMiB.toFixed(1)} MiB`);
});

test('windows of streams and connections are as large as was asked for', TIMEOUT, async () => {
  // It touches fields of grpc-js that are not public: when a new version renames them, this test says so.
  await using fixture = await startFixture({});
  const session = connectHttp2(`http://${fixture.peer.address}`);
  await once(session, 'remoteSettings');
  await new Promise((resolve) => setTimeout(resolve, 50)); // the connection's window comes after the settings
  assert.equal(session.remoteSettings.initialWindowSize, DATA_WINDOW);
  assert.equal(session.state.remoteWindowSize, DATA_WINDOW);
  session.destroy();
});

/** Sends bytes, waits shortly for whatever comes, hangs up. */
function speak(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('error', () => {});
    socket.on('data', () => {});
    socket.setTimeout(25, () => socket.destroy());
    socket.on('close', () => resolve());
  });
}
