// Peers that answer pings and take no data: streams that stand still are failed by name, and hold next to nothing until then.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { RuntimeError } from '../../../worker/protocol/errors.ts';
import { ExchangeClient } from '../../../worker/transport/clients.ts';
import type { PushMessage } from '../../../worker/transport/messages.ts';
import type { Outgoing } from '../../../worker/transport/streams.ts';
import { newToken, TOKEN_KEY } from '../../../worker/transport/token.ts';
import { Cable } from '../../hosts/cable.ts';
import { CHUNK_BYTES, startFixture } from './fixture.ts';

const TIMEOUT = { timeout: 20_000 };
const STUCK_MS = 600;
const MiB = 2 ** 20;
const CHUNKS = 64;

const heldMiB = (): number => process.memoryUsage().arrayBuffers / MiB;

/** Takes what is pushed as `take` does; a peer of an ExchangeClient that knows HTTP/2 and nothing else. */
async function rawServer(take: (stream: ServerHttp2Stream) => void) {
  const server = createServer();
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    take(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const security = { kind: 'token', token: newToken() } as const;
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new ExchangeClient({ address, security, chunkBytes: CHUNK_BYTES, stuckMs: STUCK_MS });
  return {
    client,
    [Symbol.dispose]() {
      client.close();
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

/** Rejects in time, so that what a test has opened is closed whatever happens. */
async function failureOf(push: Outgoing<PushMessage>): Promise<RuntimeError> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error('the stream never failed')), 10 * STUCK_MS);
  try {
    return await Promise.race([
      new Promise<RuntimeError>((resolve) => push.onFailure(resolve)),
      late.promise,
    ]);
  } finally {
    clearTimeout(timer);
  }
}

const message = (data: Uint8Array) => ({ epoch: 1, rank: 0, step: 0, data });

test('push: a server that takes nothing is found, and nothing is copied for it', TIMEOUT, async () => {
  using peer = await rawServer(() => {});
  const data = new Uint8Array(MiB);
  const push = peer.client.push();
  const before = heldMiB();
  for (let chunk = 0; chunk < CHUNKS; chunk++) push.write(message(data));
  const failed = failureOf(push);
  await new Promise((resolve) => setTimeout(resolve, STUCK_MS / 2));
  const grownMiB = heldMiB() - before;
  const error = await failed;
  assert.equal(error.code, 'STREAM_STUCK');
  assert.match(error.message, /takes nothing of Push any more while 64 messages wait/);
  assert.ok(grownMiB < 4, `${grownMiB} MiB held for ${CHUNKS} MiB that wait`);
  await assert.rejects(push.finish(), { code: 'STREAM_STUCK' });
});

test('push: no message counts as sent before the connection has taken it', TIMEOUT, async () => {
  // A retry buffer would take a MiB of small messages at once, and the stream would seem to move.
  using peer = await rawServer(() => {});
  const push = peer.client.push();
  for (let chunk = 0; chunk < 8; chunk++) push.write(message(new Uint8Array(100_000)));
  const error = await failureOf(push);
  assert.match(error.message, /while 8 messages wait/);
});

test('push: a server that is only slow is waited for', TIMEOUT, async () => {
  let taken = 0;
  using peer = await rawServer((stream) => {
    stream.on('data', (data: Buffer) => {
      taken += data.length;
      stream.pause();
      setTimeout(() => stream.resume(), 50);
    });
  });
  const push = peer.client.push();
  let failure: RuntimeError | undefined;
  push.onFailure((error) => {
    failure = error;
  });
  const started = performance.now();
  for (let chunk = 0; chunk < 40; chunk++) push.write(message(new Uint8Array(16_384)));
  while (taken < 40 * 16_384 && !failure) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(failure, undefined);
  assert.ok(performance.now() - started > 2 * STUCK_MS, 'expected it to take longer than a stuck stream may');
  push.cancel();
});

test(
  'pull: a worker that takes nothing loses its connection, and nothing is copied for it',
  TIMEOUT,
  async () => {
    const data = new Uint8Array(MiB);
    const closed = Promise.withResolvers<void>();
    await using fixture = await startFixture(
      {
        pull: (_, out) => {
          out.onClose(closed.resolve);
          for (let chunk = 0; chunk < CHUNKS; chunk++) out.write({ step: 0, parameters: { chunk }, data });
        },
      },
      undefined,
      { stuckMs: STUCK_MS },
    );
    const { address, security } = fixture.peer;
    const session = connect(`http://${address}`);
    session.on('error', () => {});
    const before = heldMiB();
    const request = session.request({
      ':method': 'POST',
      ':path': '/lepton.exchange.v1.Exchange/Pull',
      'content-type': 'application/grpc',
      te: 'trailers',
      [TOKEN_KEY]: security.kind === 'token' ? security.token : '',
    });
    request.on('error', () => {});
    request.end(Buffer.from([0, 0, 0, 0, 0]));
    const gone = once(session, 'close');
    await once(request, 'response');
    await new Promise((resolve) => setTimeout(resolve, STUCK_MS / 2));
    const grownMiB = heldMiB() - before;
    await Promise.all([closed.promise, gone]);
    assert.ok(grownMiB < 4, `${grownMiB} MiB held for ${CHUNKS} MiB that wait`);
  },
);

test('a listener ends although the host of a peer is gone without a word', TIMEOUT, async () => {
  const heard = Promise.withResolvers<void>();
  await using fixture = await startFixture({ pull: () => heard.resolve() });
  await using cable = new Cable();
  const target = { host: '127.0.0.1', port: fixture.listener.port };
  const { host, port } = await cable.open({ host: '127.0.0.1', port: 0 }, target);
  fixture.exchange({ address: `${host}:${port}` }).pull({ rank: 0, epoch: 1, step: 0 });
  await heard.promise;
  cable.cut();
  const sinceMs = performance.now();
  await fixture.listener.close();
  const tookMs = performance.now() - sinceMs;
  assert.ok(tookMs < 3000, `${tookMs} ms`);
});
