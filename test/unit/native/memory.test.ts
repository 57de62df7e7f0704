// Memory that processes share: who finds it, who is refused, that nothing of it outlives its processes; and that one pass from
// contributions to parameters has the bits of its parts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { engine, type SegmentAddress } from '../../../native/engine.ts';
import { Random } from '../../../worker/random/philox.ts';

const PAGE = 1024;

/** A process that shares `length` floats of 7 and lives until its input ends. */
const OWNER = `
  import { engine } from ${JSON.stringify(new URL('../../../native/engine.ts', import.meta.url).href)};
  const segment = engine.createSegment(Number(process.argv[1]));
  segment.values.fill(7);
  console.log(JSON.stringify(segment.address));
  process.stdin.on('data', () => { segment.values.fill(8); console.log('done'); });
  process.stdin.on('end', () => process.exit());
`;

async function ownerOf(length: number) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', OWNER, String(length)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const address = JSON.parse((await lines.next()).value as string) as SegmentAddress;
  return {
    address,
    write: async () => {
      child.stdin.write('x');
      await lines.next();
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test("another process's memory is seen without a copy, and outlives the process for those who see it", async () => {
  await using owner = await ownerOf(3000);
  const seen = engine.openSegment(owner.address, 3000);
  assert.deepEqual([seen.values.length, seen.values[0], seen.values[2999]], [3000, 7, 7]);
  await owner.write();
  assert.equal(seen.values[2999], 8);
  await owner.kill();
  assert.equal(seen.values[1], 8);
  assert.throws(() => engine.openSegment(owner.address, 3000), {
    code: 'ENGINE_ARGUMENT',
    message: /No such file/,
  });
});

test('what is not the memory that was meant is refused', async () => {
  const { address } = engine.createSegment(100);
  const refused = (wrong: Partial<SegmentAddress>, length: number, message: RegExp): void => {
    assert.throws(() => engine.openSegment({ ...address, ...wrong }, length), {
      code: 'ENGINE_ARGUMENT',
      message,
    });
  };
  refused({ key: '0'.repeat(32) }, 100, /another key/);
  refused({ key: '' }, 100, /another key/);
  refused({}, 5000, /expected 24576 bytes, got 8192/);
  refused({ descriptor: openSync('/dev/null', 'r') }, 100, /expected 8192 bytes/);
  refused({ descriptor: openSync(process.execPath, 'r') }, 100, /expected 8192 bytes/);
  refused({ descriptor: 999_999 }, 100, /No such file/);
  refused({ process: 2 ** 30 }, 100, /No such file/);
  refused({ process: -1 }, 100, /whole number/);
  assert.throws(() => engine.createSegment(2 ** 39), { code: 'ENGINE_MEMORY' });
});

test('ranges of segments lie in an arena where they belong, and follow what their owner writes', () => {
  const arena = engine.createArena(5 * PAGE);
  const segment = engine.createSegment(3 * PAGE);
  segment.values.forEach((_, at) => {
    segment.values[at] = at;
  });
  arena.values[0] = -1;
  arena.lay(2 * PAGE, segment, PAGE, 1500); // to the end of its second page
  assert.deepEqual([arena.values[0], arena.values[2 * PAGE - 1]], [-1, 0]);
  assert.deepEqual(
    [arena.values[2 * PAGE], arena.values[4 * PAGE - 1], arena.values[4 * PAGE]],
    [PAGE, 3 * PAGE - 1, 0],
  );
  segment.values[PAGE + 5] = 0.5;
  assert.equal(arena.values[2 * PAGE + 5], 0.5);
  const wrong: [number, number, number][] = [
    [1, 0, PAGE],
    [0, 1, PAGE],
    [4 * PAGE, 0, 2 * PAGE],
    [0, 2 * PAGE, 2 * PAGE],
    [6 * PAGE, 0, 0],
  ];
  for (const [at, from, length] of wrong)
    assert.throws(
      () => arena.lay(at, segment, from, length),
      { code: 'ENGINE_ARGUMENT' },
      String([at, from, length]),
    );
  // biome-ignore lint/suspicious/noExplicitAny: what the types forbid
  assert.throws(() => arena.lay(0, arena as any, 0, PAGE), { code: 'ENGINE_ARGUMENT' });
  // biome-ignore lint/suspicious/noExplicitAny: what the types forbid
  assert.throws(() => arena.lay(0, {} as any, 0, PAGE), {
    code: 'ENGINE_ARGUMENT',
    message: /memory of the engine/,
  });
});

test('memory that nobody holds any more is given back', { timeout: 30_000 }, async () => {
  const segments = async (): Promise<number> => {
    const folder = '/proc/self/fd';
    const links = (await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => ''));
    return (await Promise.all(links)).filter((link) => link.startsWith('/memfd:lepton')).length;
  };
  const before = await segments();
  for (let round = 0; round < 200; round++) engine.createSegment(2 ** 20).values.fill(1);
  // V8 knows the size of what it holds, so it collects by itself.
  for (let wait = 0; wait < 100 && (await segments()) - before > 60; wait++) {
    engine.createSegment(2 ** 20);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(
    (await segments()) - before <= 60,
    `${(await segments()) - before} of 200 segments are still held`,
  );
});

/** A process that keeps `length` floats of 7 in a file, which may be descriptor 3, and waits to be killed. */
const KEEPER = `
  import { engine } from ${JSON.stringify(new URL('../../../native/engine.ts', import.meta.url).href)};
  const segment = engine.keepSegment(process.argv[1], Number(process.argv[2]));
  segment.values.fill(7);
  console.log(JSON.stringify(segment.address));
  setInterval(() => {}, 1000);
`;

async function keeperOf(file: string, length: number, inherited: readonly number[] = []) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', KEEPER, file, String(length)], {
    stdio: ['ignore', 'pipe', 'inherit', ...inherited],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const address = JSON.parse((await lines.next()).value as string) as SegmentAddress;
  return {
    address,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('memory of another process outlives those that keep a segment there', async () => {
  const number = engine.createMemory();
  let key = '';
  {
    await using keeper = await keeperOf('/proc/self/fd/3', 3000, [number]);
    ({ key } = keeper.address);
    assert.equal(engine.openSegment(keeper.address, 3000).values[2999], 7);
  }
  const path = `/proc/self/fd/${number}`;
  const kept = engine.keepSegment(path, 3000);
  assert.deepEqual([kept.values.length, kept.values[0], kept.values[2999]], [3000, 7, 7]);
  // Others find it under its key, and may trust that it does not shrink.
  assert.equal(kept.address.key, key);
  assert.throws(() => engine.keepSegment(path, 5000), { code: 'ENGINE_MEMORY' });
  closeSync(number);
});

test('a file of a file system keeps a segment as well, which no other process is given', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lepton-memory-'));
  try {
    const path = join(folder, 'shard');
    {
      await using keeper = await keeperOf(path, 3000);
      assert.throws(() => engine.openSegment(keeper.address, 3000), {
        code: 'ENGINE_ARGUMENT',
        message: /sealed/,
      });
    }
    const kept = engine.keepSegment(path, 3000);
    assert.equal(kept.values[2999], 7);
    assert.equal(engine.openSegment(kept.address, 3000).values[2999], 7);
    assert.deepEqual([...engine.keepSegment(path, 5000).values.subarray(0, 2)], [0, 0]);
    assert.throws(() => engine.keepSegment(join(folder, 'no', 'shard'), 10), { code: 'ENGINE_MEMORY' });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('an optimizer of two versions has the bits of one, and leaves the version before as it is', () => {
  const random = new Random(4, 'versions');
  const length = 2 * 4096 + 100;
  const stride = 9 * PAGE;
  const options = { learningRate: 0.1, iteration: 1 };
  for (const spec of [
    { optimizer: 'sgd', momentum: 0.9, nesterov: true },
    { optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    { optimizer: 'rmsprop', rho: 0.9, momentum: 0.5, epsilon: 1e-7 },
  ] as const) {
    const memory = engine.createSegment(5 * stride);
    const two = engine.createOptimizer(spec, length, { place: { memory, at: PAGE, stride } });
    const one = engine.createOptimizer(spec, length);
    let [expected, parameters] = [new Float32Array(length), new Float32Array(length)];
    for (let iteration = 1; iteration <= 5; iteration++) {
      const gradients = Float32Array.from({ length }, () => random.normal());
      const slotsBefore = iteration % 2 === 0 ? two.oddSlots : two.slots;
      const before = structuredClone(slotsBefore);
      const next = [new Float32Array(length), new Float32Array(length)] as const;
      const range = { sum: gradients, parts: [], from: 0, to: length, options: { ...options, iteration } };
      one.advance(next[0], expected, [range]);
      two.advance(next[1], parameters, [range]);
      [expected, parameters] = next;
      assert.deepEqual(parameters, expected, `${spec.optimizer} ${iteration}`);
      assert.deepEqual(slotsBefore, before);
      assert.deepEqual(iteration % 2 === 0 ? two.slots : two.oddSlots, one.slots);
    }
    assert.throws(() => two.update(parameters, parameters, 0, 1, options), { code: 'ENGINE_ARGUMENT' });
    for (const place of [
      { memory, at: 2 * PAGE, stride: 25 * PAGE },
      { memory, at: PAGE, stride: 8 * PAGE },
      { memory, at: 50 * PAGE, stride },
    ])
      assert.throws(() => engine.createOptimizer(spec, length, { place }), { code: 'ENGINE_ARGUMENT' });
  }
});

test('advance has the bits of accumulate and update', () => {
  const random = new Random(3, 'advance');
  const length = 3 * 4096 + 100;
  const numbers = (): Float32Array => Float32Array.from({ length }, () => random.normal());
  const specs = [
    { optimizer: 'sgd', momentum: 0, nesterov: false },
    { optimizer: 'sgd', momentum: 0.9, nesterov: true },
    { optimizer: 'adamW', beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.01 },
    { optimizer: 'rmsprop', rho: 0.9, momentum: 0.5, epsilon: 1e-7 },
  ] as const;
  for (const spec of specs)
    for (const [from, to, withSum] of [
      [0, length, false],
      [4096, 9000, true],
      [7, 8, false],
    ] as const) {
      const options = { learningRate: 0.1, iteration: 2, scale: 1 / 3, clipValue: 1.5 };
      const [previous, sum] = [numbers(), numbers()];
      const parts = [1, 0.5, 2].map((weight) => ({ values: numbers(), weight }));
      const expected = previous.slice();
      const total = withSum ? sum.slice() : new Float32Array(length);
      const bytes = (values: Float32Array): Uint8Array =>
        new Uint8Array(values.buffer, 4 * from, 4 * (to - from));
      for (const { values, weight } of parts) engine.accumulate(total, from, bytes(values), weight);
      engine.createOptimizer(spec, length).update(expected, total, from, to, options);
      const next = previous.slice().fill(9, from, to);
      const data = parts.map(({ values, weight }) => ({ data: bytes(values), weight }));
      const optimizer = engine.createOptimizer(spec, length);
      const range = { sum: withSum ? sum : undefined, parts: data, from, to, options };
      assert.equal(optimizer.advance(next, previous, [range]), -1);
      assert.deepEqual(next, expected, `${spec.optimizer} ${from} to ${to}`);
    }
  const wrong = new Float32Array(5000);
  wrong[4999] = Number.NaN;
  const bad = { data: new Uint8Array(wrong.buffer), weight: 1 };
  const fresh = engine.createOptimizer(specs[0], 5000);
  const step = { learningRate: 1, iteration: 1 };
  const range = { parts: [bad], from: 0, to: 5000, options: step };
  assert.equal(fresh.advance(wrong.slice(), wrong.slice(), [range]), 0);
  const optimizer = engine.createOptimizer(specs[0], 16);
  const floats = new Float32Array(16);
  const advance = (size: number, to: number, sum?: Float32Array): number =>
    optimizer.advance(floats, floats, [
      { sum, parts: [{ data: new Uint8Array(size), weight: 1 }], from: 0, to, options: step },
    ]);
  assert.throws(() => advance(60, 16), { code: 'ENGINE_ARGUMENT', message: /expected 64 bytes, got 60/ });
  assert.throws(() => advance(68, 17), { code: 'ENGINE_ARGUMENT' });
  assert.throws(() => advance(64, 16, new Float32Array(15)), { code: 'ENGINE_ARGUMENT' });
  assert.throws(() => optimizer.advance(floats.subarray(1), floats, []), { code: 'ENGINE_ARGUMENT' });
});

test('however many threads share the ranges of an advance, the bits are those of one', () => {
  const random = new Random(5, 'threads');
  const length = 64 * 1024;
  const count = 16;
  const size = length / count;
  const spec = { optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;
  const optimizers = [1, 2, 5].map((threads) => engine.createOptimizer(spec, length, { threads }));
  let versions = optimizers.map(() => new Float32Array(length));
  for (let iteration = 1; iteration <= 50; iteration++) {
    const gradients = Float32Array.from({ length }, () => random.normal());
    const ranges = Array.from({ length: count }, (_, at) => ({
      parts: [{ data: new Uint8Array(gradients.buffer, 4 * at * size, 4 * size), weight: 0.5 }],
      from: at * size,
      to: (at + 1) * size,
      options: { learningRate: 0.1, iteration },
    }));
    versions = optimizers.map((optimizer, at) => {
      const next = new Float32Array(length);
      assert.equal(optimizer.advance(next, versions[at]!, ranges), -1);
      return next;
    });
    for (const version of versions) assert.deepEqual(version, versions[0]);
    for (const optimizer of optimizers) assert.deepEqual(optimizer.slots, optimizers[0]!.slots);
  }
  const bad = new Uint8Array(new Float32Array(size).fill(Number.NaN).buffer);
  const ranges = Array.from({ length: count }, (_, at) => ({
    parts: at === 3 || at === 11 ? [{ data: bad, weight: 1 }] : [],
    from: at * size,
    to: (at + 1) * size,
    options: { learningRate: 0.1, iteration: 51 },
  }));
  for (const optimizer of optimizers)
    assert.equal(optimizer.advance(new Float32Array(length), new Float32Array(length), ranges), 3);
});
