// A worker's two versions: what differences make of them, with whole versions in between, is to the bit what a plain sum makes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engine } from '../../../native/engine.ts';
import { Random } from '../../../worker/random/philox.ts';
import { Arenas } from '../../../worker/roles/arenas.ts';
import { bytesOf } from '../../../worker/roles/float-bytes.ts';

const LENGTH = 20_000;
const CHUNKS = [0, 1].map((index) => ({
  index,
  from: (index * LENGTH) / 2,
  to: ((index + 1) * LENGTH) / 2,
  state: false,
}));

for (const codec of ['topK', 'int8', 'oneBit', 'bfloat16'] as const)
  test(`${codec}: versions of differences are the sums of what was sent`, () => {
    const layout = { entries: [], trainableLength: LENGTH, length: LENGTH };
    const arenas = new Arenas(engine, layout, false);
    const encoder = engine.createEncoder({ codec }, LENGTH);
    const random = new Random(1, codec);
    const expected = Float32Array.from({ length: LENGTH }, () => random.normal());
    for (const chunk of CHUNKS) arenas.write(chunk, 0, bytesOf(expected, chunk.from, chunk.to));
    for (let step = 1; step < 40; step++)
      for (const chunk of CHUNKS) {
        const { from, to } = chunk;
        if (random.integer(6) === 0) {
          for (let at = from; at < to; at++) expected[at] = random.normal();
          arenas.write(chunk, step, bytesOf(expected, from, to));
        } else {
          const gradients = Float32Array.from({ length: LENGTH }, () => random.normal());
          const ratio = 0.01 + 0.1 * random.uniform();
          const wire = Buffer.alloc(engine.encodedBytes(codec, to - from, ratio));
          const data = wire.subarray(0, encoder.encode(gradients, from, to, wire, ratio));
          engine.decodeAccumulate(codec, data, expected, from, to - from, 1);
          arenas.add(chunk, step, { codec, data });
          data.fill(0xff); // others come to lie there
        }
        const got = arenas.parameters(step).values.subarray(from, to);
        assert.deepEqual(got, expected.subarray(from, to), `step ${step}, chunk ${chunk.index}`);
      }
  });

test('bytes that are no difference are refused, and the next whole version counts', () => {
  const arenas = new Arenas(engine, { entries: [], trainableLength: LENGTH, length: LENGTH }, false);
  const [chunk] = CHUNKS;
  const zeros = new Uint8Array(4 * (chunk!.to - chunk!.from));
  arenas.write(chunk!, 0, zeros);
  assert.throws(() => arenas.add(chunk!, 1, { codec: 'int8', data: Buffer.alloc(5) }), {
    code: 'BAD_MESSAGE',
  });
  arenas.write(chunk!, 1, zeros);
  assert.ok(
    arenas
      .parameters(1)
      .values.subarray(chunk!.from, chunk!.to)
      .every((value) => value === 0),
  );
});
