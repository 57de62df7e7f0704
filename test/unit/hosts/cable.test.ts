// The cable between simulated hosts does to bytes what it is told, and nothing else: every byte comes, in order, or nobody is told it did.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Cable, WINDOW_BYTES } from '../../hosts/cable.ts';

const LOOPBACK = '127.0.0.1';
const ANY_PORT = { host: LOOPBACK, port: 0 };

/** One end, with everything that it has heard. */
class End {
  readonly socket: Socket;
  heardBytes = 0;
  error: NodeJS.ErrnoException | undefined;
  ended = false;
  readonly #parts: Buffer[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#parts.push(bytes);
      this.heardBytes += bytes.length;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error) => {
      this.error = error;
    });
  }

  get heard(): Buffer {
    return Buffer.concat(this.#parts);
  }

  /** Milliseconds until it has heard so much. */
  async hears(bytes: number): Promise<number> {
    const sinceMs = performance.now();
    await until(`${bytes} bytes`, () => this.heardBytes >= bytes);
    return performance.now() - sinceMs;
  }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 3000;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `${what}: not within 3 s`);
    await pause(1);
  }
}

/** A server behind a cable. */
class Line implements AsyncDisposable {
  readonly cable = new Cable(1);
  readonly accepted: End[] = [];
  readonly #ends: Socket[] = [];
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    this.accepted.push(new End(socket));
    this.#ends.push(socket);
  });
  #port = 0;

  static async open(): Promise<Line> {
    const line = new Line();
    line.#server.listen(0, LOOPBACK);
    await once(line.#server, 'listening');
    const target = { host: LOOPBACK, port: (line.#server.address() as AddressInfo).port };
    line.#port = (await line.cable.open(ANY_PORT, target)).port;
    return line;
  }

  async dial(): Promise<End> {
    const socket = connect({ host: LOOPBACK, port: this.#port, allowHalfOpen: true, noDelay: true });
    this.#ends.push(socket);
    await once(socket, 'connect');
    return new End(socket);
  }

  async pair(): Promise<[near: End, far: End]> {
    const already = this.accepted.length;
    const near = await this.dial();
    await until('a connection', () => this.accepted.length > already);
    return [near, this.accepted.at(-1)!];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#ends) socket.destroy();
    await this.cable[Symbol.asyncDispose]();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const numbered = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, at) => at % 251));

test('both ways pass everything, in order, and count it; an end passes in one direction alone', async () => {
  await using line = await Line.open();
  line.cable.set({ jitterMs: 2 });
  const [near, far] = await line.pair();
  const [asked, answered] = [numbered(300_000), numbered(100_000)];
  near.socket.end(asked);
  await until('the end', () => far.ended);
  assert.deepEqual(far.heard, asked);
  far.socket.end(answered);
  await until('the other end', () => near.ended);
  assert.deepEqual(near.heard, answered);
  assert.equal(line.cable.there.bytes, asked.length);
  assert.equal(line.cable.back.bytes, answered.length);
});

test('a delay of one direction is not one of the other', async () => {
  await using line = await Line.open();
  line.cable.there.set({ delayMs: 60 });
  const [near, far] = await line.pair();
  near.socket.write('there');
  assert.ok((await far.hears(5)) >= 55);
  far.socket.write('back');
  assert.ok((await near.hears(4)) < 50);
});

test('the rate is that of all connections together', async () => {
  await using line = await Line.open();
  line.cable.there.set({ bytesPerSecond: 2_000_000 });
  const pairs = [await line.pair(), await line.pair()];
  const each = 200_000;
  for (const [near] of pairs) near.socket.write(numbered(each));
  const [first, second] = await Promise.all(pairs.map(([, far]) => far.hears(each)));
  // 400 kB without the burst of 64 kB: 168 ms.
  const lastMs = Math.max(first!, second!);
  assert.ok(lastMs > 150 && lastMs < 600, `${lastMs} ms`);
});

test('what is lost comes after the pause of its retransmission, and holds back what is behind it', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  line.cable.there.set({ loss: 1, retransmitMs: 80 });
  near.socket.write('lost');
  await until('the lost bytes to be in the cable', () => near.socket.bytesWritten === 4);
  await pause(5);
  line.cable.there.set({});
  near.socket.write(' and behind');
  await pause(30);
  assert.equal(far.heard.toString(), '');
  await far.hears(15);
  assert.equal(far.heard.toString(), 'lost and behind');
});

test('losses are as frequent as asked for', async () => {
  await using line = await Line.open();
  const { there } = line.cable;
  there.set({ loss: 0.1, retransmitMs: 1000 });
  const nowMs = performance.now();
  const lost = Array.from({ length: 2000 }, () => there.arrivalMs(1000, nowMs) - nowMs).filter(
    (ms) => ms > 500, // the difference of two times is not exact
  );
  assert.ok(lost.length > 140 && lost.length < 260, `${lost.length} of 2000`);
});

test('a cut cable says nothing, not even to who dials or ends; mended, it has lost nothing', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  line.cable.cut();
  near.socket.end('there');
  far.socket.write('back');
  const late = await line.dial();
  late.socket.write('late');
  await pause(60);
  assert.deepEqual([far.heardBytes, far.ended, near.heardBytes], [0, false, 0]);
  assert.ok(line.accepted.every(({ heardBytes }) => heardBytes === 0));
  line.cable.mend();
  await until('the end', () => far.ended);
  await near.hears(4);
  assert.deepEqual([far.heard.toString(), near.heard.toString()], ['there', 'back']);
  await until('who dialled late', () => line.accepted.some(({ heard }) => heard.toString() === 'late'));
});

test('a cut of one direction leaves the other as it is', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  line.cable.back.cut();
  near.socket.write('there');
  far.socket.write('back');
  await far.hears(5);
  await pause(40);
  assert.equal(near.heardBytes, 0);
  line.cable.back.mend();
  await near.hears(4);
});

test('a frozen connection is silent for ever, a new one is not', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  line.cable.there.freeze();
  near.socket.write('there');
  far.socket.write('back');
  await near.hears(4);
  const [another, itsFar] = await line.pair();
  another.socket.write('another');
  await itsFar.hears(7);
  assert.equal(far.heardBytes, 0);
});

test('a reset is one at both ends', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  assert.equal(line.cable.reset(), 1);
  await until('errors', () => near.error !== undefined && far.error !== undefined);
  assert.deepEqual([near.error?.code, far.error?.code], ['ECONNRESET', 'ECONNRESET']);
  assert.equal(line.cable.reset(), 0);
});

test('a reset of one end reaches the other', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  far.socket.resetAndDestroy();
  await until('the error', () => near.error?.code === 'ECONNRESET');
});

test('where nobody listens behind the cable, who dials is reset', async () => {
  await using cable = new Cable();
  const closed = createServer().listen(0, LOOPBACK);
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const door = await cable.open(ANY_PORT, { host: LOOPBACK, port });
  const end = new End(connect(door));
  await until('the error', () => end.error?.code === 'ECONNRESET');
});

test('a receiver that does not read holds its sender up', async () => {
  await using line = await Line.open();
  const [near, far] = await line.pair();
  far.socket.pause();
  const block = Buffer.alloc(WINDOW_BYTES);
  for (let sent = 0; sent < 32; sent++) near.socket.write(block);
  await pause(150);
  const held = near.socket.writableLength;
  assert.ok(held > 8 * WINDOW_BYTES, `${held} bytes still wait at the sender`);
  far.socket.resume();
  await far.hears(32 * WINDOW_BYTES);
});
