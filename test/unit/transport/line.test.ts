// A peer under a name: unknown at first, moved while it was away, slow at the address that it has. What callers do is done here: a
// call that fails is made again.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RuntimeError } from '../../../worker/protocol/errors.ts';
import type { CoordinationClient } from '../../../worker/transport/clients.ts';
import { listen } from '../../../worker/transport/listener.ts';
import { CHUNK_BYTES, startFixture } from './fixture.ts';

const TIMEOUT = { timeout: 30_000 };
const CALL_MS = 15_000;
const BEAT = {
  rank: 0,
  epoch: 1,
  step: 0,
  samplesPerSecond: 0,
  waitRatio: 0,
  state: 'running',
  waiting: false,
};
const ANSWERS = { heartbeat: () => ({ rejoin: false }) };
const nobody = (): Promise<string> => Promise.reject(new Error('ENOTFOUND'));

/** How long it takes until the peer has answered. */
async function answered(client: CoordinationClient): Promise<number> {
  const startedMs = performance.now();
  for (;;) {
    try {
      await client.heartbeat(BEAT, CALL_MS);
      return performance.now() - startedMs;
    } catch (error) {
      assert.ok(error instanceof RuntimeError && error.code === 'PEER_LOST', String(error));
      await pause(100);
    }
  }
}

test('a name that nobody has yet is found soon after somebody has it', TIMEOUT, async () => {
  await using fixture = await startFixture({}, ANSWERS);
  let lookup = nobody;
  const client = fixture.coordination({
    address: `server-0.invalid:${fixture.listener.port}`,
    lookup: () => lookup(),
  });
  setTimeout(() => (lookup = async () => '127.0.0.1'), 1000);
  const tookMs = await answered(client);
  assert.ok(tookMs < 4000, `found after ${tookMs} ms`);
});

test(
  'a name that has moved is followed, though its old address swallows what it is sent',
  TIMEOUT,
  async () => {
    await using fixture = await startFixture({}, ANSWERS);
    const { port } = fixture.listener;
    let place = '127.0.0.1';
    const client = fixture.coordination({ address: `localhost:${port}`, lookup: async () => place });
    await client.heartbeat(BEAT, CALL_MS);
    await fixture.listener.close();
    const hole = createServer((socket) => socket.unref()).listen(port, '127.0.0.1');
    await once(hole, 'listening');
    const next = await listen({
      address: `127.0.0.2:${port}`,
      security: fixture.peer.security,
      chunkBytes: CHUNK_BYTES,
      peers: 4,
      exchange: {} as never,
      coordination: ANSWERS as never,
    });
    try {
      setTimeout(() => (place = '127.0.0.2'), 1000);
      const tookMs = await answered(client);
      assert.ok(tookMs < 4000, `found after ${tookMs} ms`);
    } finally {
      client.close();
      await next.close();
      hole.close();
    }
  },
);

test('a peer that is slow where its name says it is is waited for', TIMEOUT, async () => {
  await using fixture = await startFixture({}, ANSWERS);
  const slow = createServer((socket) => {
    setTimeout(() => {
      const through = connect(fixture.listener.port, '127.0.0.1');
      through.on('error', () => {});
      socket.pipe(through).pipe(socket);
    }, 3000);
    socket.unref().on('error', () => {});
  }).listen(0, '127.0.0.1');
  await once(slow, 'listening');
  const { port } = slow.address() as AddressInfo;
  let looks = 0;
  const client = fixture.coordination({
    address: `localhost:${port}`,
    lookup: async () => {
      looks++;
      return '127.0.0.1';
    },
  });
  const tookMs = await answered(client);
  assert.ok(tookMs > 2500 && tookMs < 5000, `answered after ${tookMs} ms`);
  const seen = looks;
  await pause(1500);
  assert.equal(looks, seen, 'nobody looks for who has answered');
  client.close();
  slow.close();
});
