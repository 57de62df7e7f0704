// Messages in a stream of bytes that is cut anywhere, and the memory that they lie in: used again, but never while somebody keeps it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { Random } from '../../../worker/random/philox.ts';
import { Frames, type Lease, SpareBuffers } from '../../../worker/transport/frames.ts';

const MAX_BYTES = 10_000;

interface Message {
  readonly bytes: Buffer;
}

function frames(onMessage: (message: Message, lease: Lease) => void): Frames<Message> {
  const type = { parse: (bytes: Buffer) => ({ bytes }) };
  return new Frames<Message>({ type, spare: new SpareBuffers(), maxBytes: MAX_BYTES, onMessage });
}

function framed(bytes: Uint8Array, { announced = bytes.length, compressed = 0 } = {}): Buffer {
  const prefix = Buffer.from([compressed, 0, 0, 0, 0]);
  prefix.writeUInt32BE(announced, 1);
  return Buffer.concat([prefix, bytes]);
}

test('messages come out as they went in, wherever the stream is cut', () => {
  const random = new Random(1, 'cuts');
  for (let round = 0; round < 200; round++) {
    const sent = Array.from({ length: 5 }, () =>
      randomBytes([0, 1, 4, 5, 6, 300, MAX_BYTES][random.integer(7)]!),
    );
    const got: string[] = [];
    const reader = frames(({ bytes }) => got.push(bytes.toString('hex')));
    const stream = Buffer.concat(sent.map((bytes) => framed(bytes)));
    for (let at = 0; at < stream.length; ) {
      const end = at + 1 + random.integer(round % 2 ? 7 : 20_000);
      // What comes lies in memory that others overwrite afterwards.
      const piece = Buffer.from(stream.subarray(at, end));
      reader.take(piece);
      piece.fill(0xa5);
      at = end;
    }
    assert.deepEqual(
      got,
      sent.map((bytes) => bytes.toString('hex')),
    );
  }
});

test('memory serves the next message unless it is kept, and after its release again', () => {
  const places = new Set<ArrayBufferLike>();
  const kept: { bytes: Buffer; lease: Lease; content: string }[] = [];
  let keeps = false;
  const reader = frames(({ bytes }, lease) => {
    places.add(bytes.buffer);
    if (!keeps) return;
    lease.keep();
    kept.push({ bytes, lease, content: bytes.toString('hex') });
  });
  const say = (times: number): void => {
    for (let at = 0; at < times; at++) reader.take(framed(randomBytes(8000 + at)));
  };
  say(10);
  assert.equal(places.size, 1);
  keeps = true;
  say(5);
  assert.equal(places.size, 5);
  keeps = false;
  say(10);
  for (const { bytes, content } of kept) assert.equal(bytes.toString('hex'), content);
  const before = places.size;
  for (const { lease } of kept) {
    lease.release();
    lease.release(); // once is enough
  }
  keeps = true;
  say(6);
  assert.equal(places.size, before);
  assert.equal(new Set(kept.slice(5).map(({ bytes }) => bytes.buffer)).size, 6);
});

test('a message kept and released while it is heard is free once', () => {
  const spare = new SpareBuffers();
  const type = { parse: (bytes: Buffer) => ({ bytes }) };
  const onMessage = (_: Message, lease: Lease): void => {
    lease.keep();
    lease.release();
  };
  new Frames<Message>({ type, spare, maxBytes: MAX_BYTES, onMessage }).take(framed(randomBytes(5000)));
  assert.notEqual(spare.take(5000), spare.take(5000));
});

test('memory is free again after a listener that throws', () => {
  const places = new Set<ArrayBufferLike>();
  const reader = frames(({ bytes }) => {
    places.add(bytes.buffer);
    throw new Error('no');
  });
  for (let at = 0; at < 3; at++) assert.throws(() => reader.take(framed(randomBytes(5000))), /no/);
  assert.equal(places.size, 1);
});

test('small messages do not sit in the memory of large ones, and little is kept for nobody', () => {
  const spare = new SpareBuffers();
  const large = spare.take(1_000_000);
  spare.give(large);
  assert.notEqual(spare.take(1000), large);
  assert.equal(spare.take(900_000), large);
  const many = Array.from({ length: 600 }, () => spare.take(1000));
  for (const buffer of many) spare.give(buffer);
  const known = new Set(many);
  let again = 0;
  while (known.has(spare.take(1000))) again++;
  assert.ok(again > 0 && again < 300, `${again} kept`);
});

test('too long and compressed messages are refused by their prefix', () => {
  const reader = () => frames(() => assert.fail('expected no message'));
  const long = framed(Buffer.alloc(1), { announced: 2 ** 32 - 1 });
  assert.throws(() => reader().take(long), { code: status.RESOURCE_EXHAUSTED, message: /got 4294967295/ });
  const squeezed = framed(Buffer.alloc(1), { compressed: 1 });
  assert.throws(() => reader().take(squeezed), { code: status.UNIMPLEMENTED, message: /compressed/ });
});
