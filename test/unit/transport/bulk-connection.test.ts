// Bulk that goes past Node's HTTP/2: under windows of any size, with padding, under TLS, in pieces of any length, and from peers that
// break the rules.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  connect as connectHttp2,
  constants,
  createServer,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { makeCertificates } from '../../../operator/leptonjob/certificates.ts';
import { Random } from '../../../worker/random/philox.ts';
import { BulkEntrance } from '../../../worker/transport/bulk-entrance.ts';
import { Certificates } from '../../../worker/transport/certificates.ts';
import { ExchangeClient } from '../../../worker/transport/clients.ts';
import type { ExchangeHandlers } from '../../../worker/transport/handlers.ts';
import { PULL_MESSAGE } from '../../../worker/transport/hot-messages.ts';
import { keepAlive } from '../../../worker/transport/keep-alive.ts';
import { Limits } from '../../../worker/transport/limits.ts';
import { listen } from '../../../worker/transport/listener.ts';
import type { PullMessage } from '../../../worker/transport/messages.ts';
import { BULK_SETTING } from '../../../worker/transport/options.ts';
import type { Security } from '../../../worker/transport/security.ts';
import { readInto } from '../../../worker/transport/socket-reads.ts';
import { newToken } from '../../../worker/transport/token.ts';
import { CHUNK_BYTES, startFixture } from './fixture.ts';

const TIMEOUT = { timeout: 20_000 };
const MiB = 2 ** 20;
const DATA = randomBytes(3 * MiB);
const REQUEST = { rank: 0, epoch: 1, step: 0 };
const security = { kind: 'token', token: newToken() } as const;
const push = (data: Uint8Array) => ({ epoch: 1, rank: 0, step: 0, data });
const pull = (data: Uint8Array): PullMessage => ({ step: 0, parameters: { chunk: 0 }, data });

/** HTTP/2 as Node does it, at the other end of our client. */
async function plainServer(options: ServerOptions, answer: (stream: ServerHttp2Stream) => void) {
  const server = createServer(options);
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.on('stream', (stream) => answer(stream.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new ExchangeClient({ address, security, chunkBytes: 4 * MiB });
  return {
    client,
    [Symbol.dispose]() {
      client.close();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function answerOk(stream: ServerHttp2Stream, frames: readonly Uint8Array[]): void {
  stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  for (const frame of frames) stream.write(frame);
  stream.end();
}

/** All that a pull gives. */
async function pulled(client: ExchangeClient): Promise<Buffer> {
  const got: Buffer[] = [];
  const call = client.pull(REQUEST);
  call.onMessage(({ data }) => got.push(Buffer.from(data)));
  const error = await new Promise((resolve) => call.onEnd(resolve));
  assert.equal(error, undefined);
  return Buffer.concat(got);
}

for (const initialWindowSize of [1, 1000, 65_535, 2 ** 31 - 1])
  test(`push into windows of ${initialWindowSize} bytes`, TIMEOUT, async () => {
    // Node ends a connection whose peer sends more than it may.
    const data = DATA.subarray(0, initialWindowSize === 1 ? 100 : DATA.length);
    const got: Buffer[] = [];
    using peer = await plainServer({ settings: { initialWindowSize } }, (stream) => {
      stream.on('data', (bytes: Buffer) => got.push(bytes));
      stream.on('end', () => answerOk(stream, [Buffer.alloc(5)]));
    });
    const call = peer.client.push();
    let taken = 0;
    for (let at = 0; at < 2; at++) {
      // Once it is taken, what is sent may change.
      const own = Buffer.from(data);
      call.write(push(own), () => {
        taken++;
        own.fill(0);
      });
    }
    await call.finish();
    assert.equal(taken, 2);
    const all = Buffer.concat(got);
    assert.ok(all.subarray(-data.length).equals(data));
    assert.ok(all.length > 2 * data.length && all.length < 2 * data.length + 100);
  });

test('windows that shrink and grow while bytes wait', TIMEOUT, async () => {
  let taken = 0;
  using peer = await plainServer({ settings: { initialWindowSize: 100_000 } }, (stream) => {
    stream.on('data', (bytes: Buffer) => (taken += bytes.length));
    stream.on('end', () => answerOk(stream, [Buffer.alloc(5)]));
    for (const [at, size] of [50_000, 10, 200_000].entries())
      setTimeout(() => stream.session?.settings({ initialWindowSize: size }), 10 * at);
  });
  const call = peer.client.push();
  for (let at = 0; at < 10; at++) call.write(push(DATA));
  await call.finish();
  assert.ok(taken > 10 * DATA.length);
});

for (const paddingStrategy of [constants.PADDING_STRATEGY_MAX, constants.PADDING_STRATEGY_CALLBACK])
  test(`pull of frames that are padded (${paddingStrategy})`, TIMEOUT, async () => {
    const message = pull(DATA.subarray(0, 100_001));
    using peer = await plainServer({ paddingStrategy }, (stream) =>
      answerOk(stream, [PULL_MESSAGE.head(message), message.data, PULL_MESSAGE.head(message), message.data]),
    );
    assert.ok((await pulled(peer.client)).equals(Buffer.concat([message.data, message.data])));
  });

test('pushes and pulls under mutual TLS', TIMEOUT, async () => {
  const jobUid = '44444444-0000-4000-8000-000000000004';
  const files = await makeCertificates(jobUid, Date.now());
  const as = (role: string): Security => ({
    kind: 'mutualTls',
    jobUid,
    certificates: new Certificates({
      read: () => [
        {
          authority: Buffer.from(files['ca.crt']!),
          certificate: Buffer.from(files[`${role}.crt`]!),
          key: Buffer.from(files[`${role}.key`]!),
        },
      ],
    }),
  });
  const got: Buffer[] = [];
  const listener = await listen({
    address: '127.0.0.1:0',
    security: as('server'),
    chunkBytes: 4 * MiB,
    peers: 2,
    exchange: {
      push: (messages) => messages.onMessage(({ data }) => got.push(Buffer.from(data))),
      pull: (_, out) => {
        for (let at = 0; at < 5; at++) out.write(pull(DATA));
        out.end();
      },
    } as Partial<ExchangeHandlers> as ExchangeHandlers,
  });
  const address = `127.0.0.1:${listener.port}`;
  const clients = ['worker', 'operator'].map(
    (role) => new ExchangeClient({ address, security: as(role), chunkBytes: 4 * MiB }),
  );
  try {
    const call = clients[0]!.push();
    for (let at = 0; at < 5; at++) call.write(push(DATA));
    const [back] = await Promise.all([pulled(clients[0]!), call.finish()]);
    const expected = Buffer.concat(Array.from({ length: 5 }, () => DATA));
    assert.ok(Buffer.concat(got).equals(expected));
    assert.ok(back.equals(expected));
    await assert.rejects(clients[1]!.push().finish(), { code: 'WRONG_IDENTITY' });
  } finally {
    for (const client of clients) client.close();
    await listener.close();
  }
});

test('both ends through a wire that cuts the bytes anywhere', TIMEOUT, async () => {
  const got: Buffer[] = [];
  await using fixture = await startFixture({
    push: (messages) => messages.onMessage(({ data }) => got.push(Buffer.from(data))),
    pull: (_, out) => {
      out.write(pull(DATA.subarray(0, 5000)));
      out.end();
    },
  });
  const random = new Random(1, 'cuts');
  const sockets: Socket[] = [];
  const pass = (from: Socket, to: Socket): void => {
    from.on('error', () => to.destroy()).on('close', () => to.end());
    let tail = Promise.resolve();
    from.on('data', (bytes: Buffer) => {
      tail = tail.then(async () => {
        for (let at = 0; at < bytes.length; ) {
          const end = at + 1 + random.integer(at < 200 ? 3 : 2000);
          to.write(bytes.subarray(at, end));
          at = end;
          await new Promise(setImmediate);
        }
      });
    });
  };
  const wire = createTcpServer((from) => {
    const to = connect(fixture.listener.port, '127.0.0.1');
    for (const socket of [from, to]) sockets.push(socket.setNoDelay());
    pass(from, to);
    pass(to, from);
  }).listen(0, '127.0.0.1');
  await once(wire, 'listening');
  const client = fixture.exchange({ address: `127.0.0.1:${(wire.address() as AddressInfo).port}` });
  try {
    const call = client.push();
    for (let at = 0; at < 3; at++) call.write(push(DATA.subarray(at, 20_000 - at)));
    await call.finish();
    assert.deepEqual(
      got.map((bytes, at) => bytes.equals(DATA.subarray(at, 20_000 - at))),
      [true, true, true],
    );
    assert.ok((await pulled(client)).equals(DATA.subarray(0, 5000)));
  } finally {
    client.close();
    wire.close();
    for (const socket of sockets) socket.destroy();
  }
});

async function closed(socket: Socket): Promise<void> {
  const late = AbortSignal.timeout(5000);
  await new Promise<void>((resolve, reject) => {
    socket.once('close', () => resolve());
    late.addEventListener('abort', () => reject(new Error('the connection stands')));
  });
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** What a client of ours begins with. */
function greeting(): Buffer {
  const setting = Buffer.alloc(6);
  setting.writeUInt16BE(BULK_SETTING);
  setting.writeUInt32BE(1, 2);
  return Buffer.concat([PREFACE, frame(4, 0, 0, setting)]);
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const many = (count: number, make: (at: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, at) => make(at)));

const BREAKERS: readonly [name: string, bytes: () => Buffer][] = [
  ['data of a stream that does not exist', () => many(64, () => frame(0, 0, 1, Buffer.alloc(65_536)))],
  [
    'data of many streams that do not exist',
    () => many(1000, (at) => frame(0, 0, 2 * at + 1, Buffer.alloc(1))),
  ],
  ['windows of many streams that do not exist', () => many(1000, (at) => frame(8, 0, 2 * at + 1, number(1)))],
  ['a window beyond all bounds', () => many(4, () => frame(8, 0, 0, number(2 ** 31 - 1)))],
  ['a window update of three bytes', () => frame(8, 0, 0, Buffer.alloc(3))],
  ['more padding than data', () => frame(0, 8, 1, Buffer.from([200, 1, 2, 3]))],
  ['settings without an end', () => frame(4, 0, 0, Buffer.alloc(60_000))],
  ['heads that are none', () => many(20, () => frame(1, 4, 1, randomBytes(100)))],
  [
    'frames of no known kind, then noise',
    () => Buffer.concat([frame(0x77, 0, 3, DATA), randomBytes(100_000)]),
  ],
];

for (const [name, bytes] of BREAKERS)
  test(`a peer that sends ${name} loses its connection and nothing else`, TIMEOUT, async () => {
    await using fixture = await startFixture({ attend: () => ({ step: 1 }) });
    const before = process.memoryUsage().arrayBuffers;
    const socket = connect(fixture.listener.port, '127.0.0.1');
    socket.on('error', () => {}).resume();
    socket.write(Buffer.concat([greeting(), bytes()]));
    await closed(socket);
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 32 * MiB, `${grown} bytes are held`);
    assert.equal((await fixture.exchange().attend({ rank: 0, epoch: 1 }, 2000)).step, 1);
  });

test('who says nothing, or only half a greeting, is not waited for', TIMEOUT, async () => {
  const limits = new Limits({ peers: 1, chunkBytes: CHUNK_BYTES });
  const http2 = createServer();
  const handlers = {} as ExchangeHandlers;
  const options = { security, limits, chunkBytes: CHUNK_BYTES, stuckMs: 1000, handlers, patienceMs: 200 };
  const entrance = new BulkEntrance(http2, options);
  http2.listen(0, '127.0.0.1');
  await once(http2, 'listening');
  const sockets = [Buffer.alloc(0), greeting().subarray(0, 30)].map((bytes) => {
    const socket = connect((http2.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
    socket.resume().write(bytes);
    return socket;
  });
  await Promise.all(sockets.map(closed));
  entrance.destroy();
  http2.close();
});

test('a peer that answers no ping is given up, one that does is not', TIMEOUT, async () => {
  const sockets: Socket[] = [];
  const silent = createTcpServer((socket) => void sockets.push(socket.resume())).listen(0, '127.0.0.1');
  const answering = createServer().listen(0, '127.0.0.1');
  await Promise.all([once(silent, 'listening'), once(answering, 'listening')]);
  const sessions = [silent, answering].map((server) =>
    connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
  );
  for (const session of sessions) keepAlive(session, 50);
  sessions[1]!.on('error', () => {});
  const [error] = await once(sessions[0]!, 'error');
  assert.match(String(error), /no sign of life for 0\.05 s/);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(sessions[1]!.destroyed, false);
  for (const each of [...sessions, ...sockets]) each.destroy();
  silent.close();
  answering.close();
});

test('who makes a listener answer and takes no answers loses his connection', TIMEOUT, async () => {
  await using fixture = await startFixture({});
  const socket = connect(fixture.listener.port, '127.0.0.1').on('error', () => {});
  const gone = closed(socket);
  const pings = many(10_000, () => frame(6, 0, 0, Buffer.alloc(8)));
  const before = process.memoryUsage().rss;
  socket.write(greeting());
  const over = gone.then(() => true);
  while (!socket.destroyed)
    if (!socket.write(pings)) await Promise.race([once(socket, 'drain').catch(() => {}), over]);
  await gone;
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 200 * MiB, `${grown} bytes`);
});

test('an accepted connection is read into one buffer', TIMEOUT, async () => {
  // It sets fields of sockets that are not public: when a new Node renames them, bulk still moves, and this test says so.
  const places = new Set<ArrayBufferLike>();
  let taken = 0;
  const all = Promise.withResolvers<void>();
  const server = createTcpServer((socket) =>
    readInto(socket, (bytes) => {
      places.add(bytes.buffer);
      taken += bytes.length;
      if (taken === DATA.length) all.resolve();
    }),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.end(DATA);
  await all.promise;
  assert.equal(places.size, 1);
  server.close();
});
