import assert from 'node:assert/strict';
import { test } from 'node:test';
import { philox, Random } from '../../../worker/random/philox.ts';

test('philox gives the known answers of the Random123 library', () => {
  const known: [number[], [number, number], number[]][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, expected] of known) {
    const block = Uint32Array.from(counter);
    philox(block, ...key);
    assert.deepEqual([...block], expected);
  }
});

test('a stream repeats itself and differs from every other', () => {
  const draw = (...name: (number | string)[]) => {
    const random = new Random(7, ...name);
    return Array.from({ length: 10 }, () => random.word()).join();
  };
  assert.equal(draw('a', 1), draw('a', 1));
  const others = [draw('a', 1), draw('a', 2), draw('b', 1), draw('a1'), draw('a', '1'), draw()];
  assert.equal(new Set(others).size, others.length);
});

test('uniform and normal have their moments, integer is within bounds and even', () => {
  const random = new Random(1, 'moments');
  const n = 20_000;
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / n;
  const uniform = Array.from({ length: n }, () => random.uniform());
  assert.ok(Math.abs(mean(uniform) - 0.5) < 0.01 && Math.min(...uniform) >= 0 && Math.max(...uniform) < 1);
  const normal = Array.from({ length: n }, () => random.normal());
  assert.ok(Math.abs(mean(normal)) < 0.03 && Math.abs(mean(normal.map((x) => x * x)) - 1) < 0.05);
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < n; i++) counts[random.integer(7)]!++;
  for (const count of counts) assert.ok(Math.abs(count - n / 7) < 250, counts.join());
});

test('shuffle keeps every value once', () => {
  const values = Uint32Array.from({ length: 1000 }, (_, i) => i);
  new Random(3).shuffle(values);
  assert.notDeepEqual([...values.slice(0, 5)], [0, 1, 2, 3, 4]);
  assert.deepEqual(
    [...values].sort((a, b) => a - b),
    Array.from({ length: 1000 }, (_, i) => i),
  );
});
