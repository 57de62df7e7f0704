// What a listener puts up with, on bare HTTP/2: who goes when too much is held, who stays, and who has never proven anything.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Stream, connect, constants, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Limits, type LimitsOptions } from '../../../worker/transport/limits.ts';

const TIMEOUT = { timeout: 20_000 };
const MiB = 2 ** 20;
/** With one peer: 16 MiB and two chunks. */
const HELD_MIB = 18;
const AT_ONCE = 24;

async function world(options: Partial<LimitsOptions> = {}) {
  const server = createServer();
  const limits = new Limits({ peers: 1, chunkBytes: MiB, ...options });
  const answered: ServerHttp2Stream[] = [];
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.on('data', () => {});
    if (headers[':path'] === '/refused') stream.end();
    answered.push(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  limits.watch(server);
  const { port } = server.address() as AddressInfo;
  const session = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1000 });
  session.on('error', () => {});
  await once(session, 'connect');
  return {
    limits,
    session,
    port,
    call: (path = '/'): ClientHttp2Stream => {
      const stream = session.request({ ':method': 'POST', ':path': path }, { endStream: false });
      return stream.on('error', () => {}).resume();
    },
    async [Symbol.asyncDispose]() {
      session.destroy();
      limits.close();
      server.close();
      await pause(1);
    },
  };
}

function prefix(bytes: number): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes, 1);
  return head;
}

async function say(stream: ClientHttp2Stream, bytes: Uint8Array): Promise<void> {
  await new Promise((resolve) => stream.write(bytes, resolve));
}

test(
  'too many bytes of messages that do not end: the oldest goes, and those that end stay',
  TIMEOUT,
  async () => {
    await using job = await world();
    const honest = job.call();
    await say(honest, Buffer.concat([prefix(MiB), Buffer.alloc(MiB)]));
    const hanging: ClientHttp2Stream[] = [];
    for (let at = 0; at <= HELD_MIB; at++) {
      const stream = job.call();
      hanging.push(stream);
      await say(stream, Buffer.concat([prefix(MiB), Buffer.alloc(MiB - 100)]));
      await say(honest, Buffer.concat([prefix(1000), Buffer.alloc(1000)]));
      // In pieces: a prefix that is cut is still one.
      for (const piece of [prefix(7).subarray(0, 2), prefix(7).subarray(2), Buffer.alloc(7)])
        await say(honest, piece);
    }
    await pause(100);
    const gone = hanging.map((stream) => stream.rstCode);
    assert.deepEqual(gone.slice(0, 2), [constants.NGHTTP2_ENHANCE_YOUR_CALM, 0]);
    assert.equal(hanging.filter(({ closed }) => closed).length, 1);
    assert.equal(honest.closed, false);
  },
);

test('a call that was answered holds nothing, and is not listened to for long', TIMEOUT, async () => {
  await using job = await world();
  const honest = job.call();
  await say(honest, prefix(MiB)); // the oldest from here on
  const refused = job.call('/refused');
  await say(refused, prefix(2 ** 31));
  for (let sent = 0; sent < 2 * HELD_MIB; sent++) refused.write(Buffer.alloc(MiB), () => {});
  await pause(1500);
  assert.equal(refused.closed, true);
  assert.equal(refused.rstCode, constants.NGHTTP2_NO_ERROR);
  assert.equal(honest.closed, false);
});

test(
  'more calls than a job needs are refused, and there is room again when some have ended',
  TIMEOUT,
  async () => {
    await using job = await world();
    const calls = Array.from({ length: AT_ONCE }, () => job.call());
    await pause(100);
    assert.equal(calls.filter(({ closed }) => closed).length, 0);
    const tooMany = job.call();
    await new Promise((resolve) => tooMany.once('close', resolve));
    assert.equal(tooMany.rstCode, constants.NGHTTP2_REFUSED_STREAM);
    calls[0]!.close();
    await pause(100);
    const fits = job.call();
    await pause(100);
    assert.equal(fits.closed, false);
  },
);

test('a connection that proves nothing ends; one that has stays', TIMEOUT, async () => {
  await using silent = await world({ proofMs: 100 });
  await Promise.race([once(silent.session, 'close'), pause(5000)]);
  assert.equal(silent.session.destroyed, true);
  await using proven = await world({ proofMs: 100 });
  const { localAddress, localPort } = proven.session.socket;
  proven.limits.proven(`${localAddress} ${localPort}`);
  await pause(300);
  assert.equal(proven.session.destroyed, false);
});
