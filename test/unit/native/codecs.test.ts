// Gradient codecs: bytes and numbers equal those of a plain second implementation, to the bit; what a codec loses comes later; bytes from
// outside never do more than throw.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CodecName, engine } from '../../../native/engine.ts';
import { Random } from '../../../worker/random/philox.ts';
import { plainCodecs } from './plain-codecs.ts';

const CODECS: readonly CodecName[] = ['bfloat16', 'int8', 'oneBit', 'topK'];
/** Around the borders of every codec's blocks, and a few blocks of the largest. */
const COUNTS = [0, 1, 7, 8, 15, 255, 256, 257, 1023, 1024, 1025, 4097, 65535, 65537, 140_001];
const f32 = Math.fround;

/** Gradients as layers have them: blocks of very different size, zeros, ties, an outlier, numbers below the normal ones. */
function gradients(random: Random, count: number): Float32Array {
  const values = Float32Array.from({ length: count }, (_, i) => {
    const kind = Math.floor(i / 300) % 5;
    if (kind === 3) return 0;
    if (kind === 4) return i % 2 ? 0.25 : -0.25;
    return random.normal() * 10 ** (2 - 3 * kind);
  });
  if (count > 1000) {
    values[777] = 3e7;
    values[900] = -0;
    values.fill(1e-42, 300, 340);
  }
  return values;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Room that begins where no number would be aligned. */
function oddRoom(bytes: number): Uint8Array {
  return new Uint8Array(bytes + 1).subarray(1);
}

for (const codec of CODECS) {
  test(`${codec}: the bytes, the residual and the sums of the plain implementation, over steps`, () => {
    for (const count of COUNTS) {
      const random = new Random(1, codec, count);
      const from = 3;
      const encoder = engine.createEncoder({ codec }, from + count + 2);
      // Without a residual -0: adding it changes nothing, not even the sign of a zero.
      let residual = new Array<number>(count).fill(encoder.residual ? 0 : -0);
      for (const ratio of [0.25, 0.01, 0.01]) {
        const values = gradients(random, from + count + 2);
        const wire = oddRoom(engine.encodedBytes(codec, count, ratio));
        const written = encoder.encode(values, from, from + count, wire, ratio);
        const bytes = wire.subarray(0, written);
        const wanted = residual.map((kept, i) => f32(values[from + i]! + kept));
        assert.deepEqual(bytes, plainCodecs[codec].encode(wanted, ratio), `${count} values`);
        const decoded = plainCodecs[codec].decode(viewOf(bytes), count);
        if (encoder.residual) residual = wanted.map((value, i) => f32(value - decoded[i]!));
        if (encoder.residual)
          assert.deepEqual(encoder.residual.slice(from, from + count), Float32Array.from(residual));

        const plain = new Float32Array(count + 2).fill(7);
        engine.decode(codec, bytes, plain, 1, count);
        assert.deepEqual(plain, Float32Array.from([7, ...decoded, 7]));
        const sum = Float32Array.from({ length: count + 2 }, () => random.normal());
        const weight = f32(1 / 3);
        const expected = sum.map((before, i) =>
          i === 0 || i > count ? before : f32(before + f32(weight * decoded[i - 1]!)),
        );
        engine.decodeAccumulate(codec, bytes, sum, 1, count, weight);
        assert.deepEqual(sum, expected);
      }
    }
  });

  test(`${codec}: all that was decoded is all that was encoded less the residual`, () => {
    const count = 20_000;
    const random = new Random(2, codec);
    const encoder = engine.createEncoder({ codec }, count);
    const [given, taken] = [new Float64Array(count), new Float64Array(count)];
    const decoded = new Float32Array(count);
    for (let step = 0; step < 30; step++) {
      const values = Float32Array.from({ length: count }, () => random.normal());
      const wire = new Uint8Array(engine.encodedBytes(codec, count, 0.05));
      const written = encoder.encode(values, 0, count, wire, 0.05);
      engine.decode(codec, wire.subarray(0, written), decoded, 0, count);
      for (let i = 0; i < count; i++) {
        given[i] = given[i]! + values[i]!;
        taken[i] = taken[i]! + decoded[i]!;
      }
    }
    // bfloat16 keeps nothing: 2^-9 of each value may be lost, and is no drift.
    const allowed = codec === 'bfloat16' ? 30 * 5 * 2 ** -9 : 1e-4;
    for (let i = 0; i < count; i++)
      assert.ok(Math.abs(taken[i]! + (encoder.residual?.[i] ?? 0) - given[i]!) < allowed, `value ${i}`);
  });

  test(`${codec}: after a flush nothing is kept, and what it says is what was missing`, () => {
    const count = 5000;
    const random = new Random(3, codec);
    const encoder = engine.createEncoder({ codec }, count);
    const first = gradients(random, count);
    const second = gradients(random, count);
    encoder.encode(first, 0, count, new Uint8Array(engine.encodedBytes(codec, count, 0.1)), 0.1);
    const expected = second.map((value, i) => (encoder.residual?.[i] ?? -0) + value);
    const wire = oddRoom(4 * count);
    encoder.flush(second, 0, count, wire);
    assert.deepEqual(new Float32Array(Uint8Array.from(wire).buffer), expected);
    assert.ok(encoder.residual?.every((value) => value === 0) ?? true);
  });

  test(`${codec}: differences: every receiver has the sender's view, which comes to be the values`, () => {
    const count = 70_000;
    const random = new Random(4, codec);
    const values = Float32Array.from({ length: count }, () => random.normal());
    const views = [new Float32Array(count), new Float32Array(count)] as const;
    const receiver = new Float32Array(count);
    const distance = (): number =>
      Math.sqrt(values.reduce((sum, value, i) => sum + (value - receiver[i]!) ** 2, 0) / count);
    for (let step = 0; step < 60; step++) {
      const [view, next] = step % 2 === 0 ? views : [views[1], views[0]];
      const wanted = Array.from(values, (value, i) => f32(value - view[i]!));
      const wire = oddRoom(engine.encodedBytes(codec, count, 0.05));
      const written = engine.encodeDifference(codec, values, view, next, 0, count, wire, 0.05);
      const bytes = wire.subarray(0, written);
      if (step % 20 === 0) assert.deepEqual(bytes, plainCodecs[codec].encode(wanted, 0.05));
      engine.decodeAccumulate(codec, bytes, receiver, 0, count, 1);
      assert.deepEqual(receiver, next);
    }
    // One scale for 1,024 values ends in steps of that scale; the others come as near as one likes.
    assert.ok(distance() < (codec === 'oneBit' ? 0.9 : 1e-3), `distance ${distance()}`);
  });

  test(`${codec}: whatever bytes come, they are decoded or refused by name, and refused ones change nothing`, () => {
    const random = new Random(5, codec);
    const byte = (): number => Math.floor(random.uniform() * 256);
    let [taken, refused] = [0, 0];
    for (let round = 0; round < 3000; round++) {
      const count = Math.floor(random.uniform() * 3000);
      const wire = new Uint8Array(engine.encodedBytes(codec, count, 0.05));
      const good = engine.createEncoder({ codec }, count);
      const written = good.encode(gradients(random, count), 0, count, wire, 0.05);
      let bytes = wire.slice(0, written);
      const kind = round % 4;
      if (kind === 0) bytes = bytes.slice(0, Math.floor(random.uniform() * written));
      if (kind === 1) bytes = Uint8Array.from([...bytes, byte()]);
      if (kind === 2) for (let n = 0; n < 4; n++) bytes[Math.floor(random.uniform() * written)] = byte();
      if (kind === 3) bytes = Uint8Array.from({ length: written }, byte);
      const target = new Float32Array(count + 2).fill(7);
      try {
        engine.decodeAccumulate(codec, bytes, target, 1, count, 1);
        taken++;
        assert.ok(engine.isEncoded(codec, bytes, count));
        assert.ok(target.every(Number.isFinite));
        assert.equal(target[0], 7);
        assert.equal(target[count + 1], 7);
      } catch (error) {
        refused++;
        assert.ok(!engine.isEncoded(codec, bytes, count));
        assert.equal((error as { code?: string }).code, 'ENGINE_WIRE', String(error));
        assert.ok(target.every((value) => value === 7));
        assert.throws(() => engine.decode(codec, bytes, target, 1, count), { code: 'ENGINE_WIRE' });
        assert.ok(target.every((value) => value === 7));
      }
    }
    assert.ok(taken > 100 && refused > 100, `${taken} taken, ${refused} refused`);
  });

  test(`${codec}: values that are not finite are refused by name, in every mode`, () => {
    const wire = new Uint8Array(engine.encodedBytes(codec, 3000, 0.1));
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      for (const place of [0, 255, 2999]) {
        const values = new Float32Array(3000).fill(0.5);
        values[place] = bad;
        const encoder = engine.createEncoder({ codec }, 3000);
        assert.throws(() => encoder.encode(values, 0, 3000, wire, 0.1), { code: 'ENGINE_NOT_FINITE' });
        const view = new Float32Array(3000);
        assert.throws(() => engine.encodeDifference(codec, values, view, view, 0, 3000, wire, 0.1), {
          code: 'ENGINE_NOT_FINITE',
        });
      }
  });
}

for (const codec of CODECS)
  test(`${codec}: a contribution has the bits of its decoded values where it is added block by block`, () => {
    const spec = { optimizer: 'sgd', momentum: 0.9, nesterov: false } as const;
    const options = { learningRate: 0.1, iteration: 1, scale: 0.5 };
    for (const count of COUNTS.filter((count) => count > 0)) {
      const random = new Random(7, codec, count);
      const [from, to] = [5, 5 + count];
      const parts = [1, 0.5].map((weight) => {
        const wire = oddRoom(engine.encodedBytes(codec, count, 0.05));
        const encoder = engine.createEncoder({ codec }, count);
        const written = encoder.encode(gradients(random, count), 0, count, wire, 0.05);
        return { data: wire.subarray(0, written), weight, codec };
      });
      const sum = Float32Array.from({ length: to }, () => random.normal());
      const expected = gradients(random, to);
      const parameters = expected.slice();
      const optimizer = engine.createOptimizer(spec, to);
      assert.equal(optimizer.advance(parameters, parameters, [{ sum, parts, from, to, options }]), -1);
      for (const { data, weight } of parts) engine.decodeAccumulate(codec, data, sum, from, count, weight);
      engine.createOptimizer(spec, to).update(expected, sum, from, to, options);
      assert.deepEqual(parameters, expected, `${count} values`);
      const short = [{ ...parts[0]!, data: parts[0]!.data.subarray(1) }];
      const advance = (): unknown =>
        optimizer.advance(parameters, parameters, [{ parts: short, from, to, options }]);
      assert.throws(advance, { code: 'ENGINE_WIRE' });
      assert.deepEqual(parameters, expected);
    }
  });

test('topK: never more than asked for, and nearly as many, whatever the values are like', () => {
  const count = 262_144;
  const random = new Random(6);
  const kinds: Readonly<Record<string, (i: number) => number>> = {
    normal: () => random.normal(),
    'heavy tails': () => random.normal() / (random.uniform() + 1e-3),
    rising: (i) => i,
    falling: (i) => count - i,
    equal: () => 1,
    'one row in 64 is large': (i) => (i % 4096 < 64 ? 100 : 1) * random.normal(),
    'nearly all zero': (i) => (i % 1000 === 0 ? 1 + random.uniform() : 0),
  };
  for (const [name, value] of Object.entries(kinds)) {
    const values = Float32Array.from({ length: count }, (_, i) => value(i));
    const wire = new Uint8Array(engine.encodedBytes('topK', count, 0.01));
    const written = engine.createEncoder({ codec: 'topK' }, count).encode(values, 0, count, wire, 0.01);
    const kept = (written - 16) / 6;
    const able = values.reduce((n, v) => n + Number(v !== 0), 0);
    const wanted = Math.min(Math.ceil(0.01 * count), able);
    assert.ok(kept <= wanted && kept >= 0.7 * wanted, `${name}: ${kept} of ${wanted}`);
  }
});

test('momentum: gradients become velocities in place, in the range alone, and stay so in the encoder', () => {
  const [count, from, to, momentum, factor] = [3000, 5, 2990, 0.9, 1.25];
  const random = new Random(7);
  const encoder = engine.createEncoder({ codec: 'oneBit', momentum }, count);
  const velocity = new Float32Array(count);
  for (let step = 0; step < 3; step++) {
    const given = Float32Array.from({ length: count }, () => random.normal());
    const values = given.slice();
    encoder.accelerate(values, from, to, factor);
    for (let i = from; i < to; i++) velocity[i] = f32(f32(f32(momentum * factor) * velocity[i]!) + given[i]!);
    assert.deepEqual(encoder.velocity, velocity);
    assert.deepEqual(
      values,
      given.map((value, i) => (i < from || i >= to ? value : velocity[i]!)),
    );
    encoder.encode(values, 0, count, new Uint8Array(engine.encodedBytes('oneBit', count)));
    assert.deepEqual(encoder.velocity, velocity);
  }
  const plain = Float32Array.of(1, 2);
  engine.createEncoder({ codec: 'int8' }, 2).accelerate(plain, 0, 2);
  assert.deepEqual(plain, Float32Array.of(1, 2));
});

for (const codec of ['int8', 'oneBit', 'topK'] as const)
  test(`${codec}: what was kept counts by the factor, coded and flushed`, () => {
    const [count, factor] = [5000, 0.3];
    const random = new Random(8, codec);
    const encoder = engine.createEncoder({ codec }, count);
    const wire = new Uint8Array(4 * count);
    encoder.encode(gradients(random, count), 0, count, wire, 0.1);
    for (const way of ['coded', 'flushed']) {
      const values = gradients(random, count);
      const wanted = values.map((value, i) => value + f32(f32(factor) * encoder.residual![i]!));
      if (way === 'coded') {
        const written = encoder.encode(values, 0, count, wire, 0.1, factor);
        assert.deepEqual(wire.subarray(0, written), plainCodecs[codec].encode(Array.from(wanted), 0.1));
      } else {
        encoder.flush(values, 0, count, wire, factor);
        assert.deepEqual(new Float32Array(wire.buffer), wanted);
      }
    }
  });

test('codecs: wrong arguments are refused', () => {
  const values = new Float32Array(100);
  const wire = new Uint8Array(400);
  const loose = engine as unknown as Record<string, (...args: unknown[]) => unknown>;
  const encoder = engine.createEncoder({ codec: 'topK' }, 100);
  const encode = encoder.encode.bind(encoder) as (...args: unknown[]) => unknown;
  const flush = encoder.flush.bind(encoder) as (...args: unknown[]) => unknown;
  for (const call of [
    () => loose['createEncoder']!({ codec: 'gzip' }, 3),
    () => loose['createEncoder']!({ codec: 'topK', momentum: 1 }, 3),
    () => loose['createEncoder']!({ codec: 'int8' }, -1),
    () => loose['encodedBytes']!('int8', -1),
    () => loose['encodedBytes']!('topK', 10, 0),
    () => encode(values, 0, 101, wire, 1),
    () => encode(values, 0, 100, new Uint8Array(10), 1),
    () => encode(values, 60, 50, wire, 1),
    () => encode(values, 0, 100, wire, 1.5),
    () => encode(values, 0, 100, wire, 1, -1),
    () => encoder.accelerate(values, 0, 101),
    () => encoder.accelerate(values, 0, 100, Number.NaN),
    () => encode([1, 2], 0, 2, wire, 1),
    () => flush(values, 0, 100, new Uint8Array(399)),
    () => loose['encodeDifference']!('int8', values, values, new Float32Array(99), 0, 100, wire),
    () => loose['decode']!('int8', wire, values, 1, 100),
    () => loose['decode']!('int8', values, values, 0, 100),
    () => loose['decodeAccumulate']!('int8', wire, values, 0, 100, Number.NaN),
  ])
    assert.throws(call, { code: 'ENGINE_ARGUMENT' });
});
