// From raw samples to batches: scaling, augmentation, one-hot, splitting, reading ahead. Which file they came from is no matter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fromArrays } from '../../../worker/data/arrays.ts';
import type { Dataset } from '../../../worker/data/dataset.ts';
import { prefetch } from '../../../worker/data/prefetch.ts';
import { splitDataset, subset } from '../../../worker/data/views.ts';
import { bytesOf, npy, open, readAll, temporaryFolder } from './files.ts';

const numbers = (length: number): Dataset =>
  fromArrays([{ data: Float32Array.from({ length }, (_, i) => i), shape: [length, 1] }]);

test('scale, then mean and deviation of each channel', async () => {
  await using folder = await temporaryFolder();
  const uri = await folder.write('x.npy', npy('|u1', [1, 1, 2, 2], Uint8Array.of(0, 10, 20, 30)));
  const normalize = { mean: [1, 2], deviation: [2, 4] };
  await using data = await open({ format: 'npy', uri, scale: 0.5, normalize });
  assert.deepEqual((await readAll(data)).x, [-0.5, 0.75, 4.5, 3.25]);
});

test('augmentation: a function of seed, epoch and sample; what comes in is zero; evaluation sees the plain picture', async () => {
  await using folder = await temporaryFolder();
  const pixels = Uint8Array.from({ length: 16 * 6 * 6 }, (_, i) => 1 + (i % 200));
  const uri = await folder.write('x.npy', npy('|u1', [16, 6, 6, 1], pixels));
  const source = {
    format: 'npy',
    uri,
    scale: 1,
    augment: { flipHorizontal: true, crop: { padding: 2 } },
  } as const;
  await using data = await open(source);
  const first = (await readAll(data, 0)).x;
  assert.deepEqual((await readAll(data, 0)).x, first);
  assert.notDeepEqual((await readAll(data, 1)).x, first);
  const backwards = await data.read(Uint32Array.of(9, 3), 0);
  assert.deepEqual(
    [...backwards.inputs[0]!],
    [...first.slice(9 * 36, 10 * 36), ...first.slice(3 * 36, 4 * 36)],
  );
  assert.deepEqual((await readAll(data.plain!)).x, [...pixels]);
  assert.ok(first.includes(0));
  for (let sample = 0; sample < 16; sample++) {
    const known = new Set([0, ...pixels.subarray(36 * sample, 36 * (sample + 1))]);
    assert.ok(first.slice(36 * sample, 36 * (sample + 1)).every((value) => known.has(value)));
  }
});

test('a split holds every sample once, by seed', async () => {
  const all = numbers(100);
  const [rest, held] = splitDataset(all, 0.25, 7);
  assert.deepEqual([rest.length, held.length], [75, 25]);
  const values = [...(await readAll(rest)).x, ...(await readAll(held)).x];
  assert.deepEqual(
    values.sort((a, b) => a - b),
    (await readAll(all)).x,
  );
  assert.deepEqual((await readAll(splitDataset(all, 0.25, 7)[1])).x, (await readAll(held)).x);
  assert.notDeepEqual((await readAll(splitDataset(all, 0.25, 8)[1])).x, (await readAll(held)).x);
  assert.throws(() => splitDataset(all, 0.001, 7), { code: 'EMPTY_DATASET' });
});

test('labels serve the loss, or are refused', async () => {
  await using folder = await temporaryFolder();
  await folder.write('x.npy', npy('<f4', [3], bytesOf(new Float32Array(3))));
  await folder.write('classes.npy', npy('<i4', [3], bytesOf(Int32Array.of(2, 0, 1))));
  await folder.write('values.npy', npy('<f4', [3], bytesOf(Float32Array.of(0.5, 1, 2))));
  const source = (labels: string) =>
    ({ format: 'npy', uri: folder.path, features: 'x.npy', labels }) as const;
  await using oneHot = await open(source('classes.npy'), 'categoricalCrossentropy');
  assert.deepEqual((await readAll(oneHot)).y, [0, 0, 1, 1, 0, 0, 0, 1, 0]);
  await assert.rejects(open(source('classes.npy'), 'binaryCrossentropy'), /expects 2 classes, got 3/);
  await assert.rejects(open(source('values.npy'), 'sparseCategoricalCrossentropy'), {
    code: 'UNSUPPORTED_DTYPE',
  });
});

test('prefetch: in order, never more than its depth ahead, and stops with its consumer', async () => {
  const data = numbers(40);
  let begun = 0;
  let taken = 0;
  const slow: Dataset = {
    ...data,
    async read(indices, epoch) {
      begun++;
      assert.ok(begun - taken <= 4, `${begun} begun, ${taken} taken`); // three ahead, one being taken
      await pause(indices[0]! % 3);
      return data.read(indices, epoch);
    },
  };
  const requests = Array.from({ length: 20 }, (_, i) => ({ indices: Uint32Array.of(2 * i), epoch: 0 }));
  const seen: number[] = [];
  for await (const { inputs } of prefetch(slow, requests, 3)) {
    taken++;
    seen.push(inputs[0]![0]!);
    if (taken === 15) break;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 15 }, (_, i) => 2 * i),
  );
  assert.ok(begun <= 18);
});

test('prefetch: arrays of a batch are filled again once the next is asked for', async () => {
  const data = numbers(40);
  const requests = Array.from({ length: 20 }, (_, step) => ({
    indices: Uint32Array.of(2 * step, 2 * step + 1),
    epoch: 0,
  }));
  const arrays = new Set<unknown>();
  let next = 0;
  for await (const { inputs } of prefetch(data, requests, 3)) {
    arrays.add(inputs[0]);
    assert.deepEqual([...inputs[0]!], [next++, next++]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([...inputs[0]!], [next - 2, next - 1]); // nothing was read into what is still used
  }
  assert.deepEqual([next, arrays.size], [40, 4]); // three ahead and the one in use
});

test('prefetch: an error comes at its place', async () => {
  const data = numbers(4);
  const broken: Dataset = {
    ...data,
    read: (indices, epoch) =>
      indices[0] === 2 ? Promise.reject(new Error('disk')) : data.read(indices, epoch),
  };
  const requests = [0, 1, 2, 3].map((i) => ({ indices: Uint32Array.of(i), epoch: 0 }));
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const { inputs } of prefetch(broken, requests, 4)) seen.push(inputs[0]![0]!);
  }, /disk/);
  assert.deepEqual(seen, [0, 1]);
});

test('a subset reads what it names', async () => {
  assert.deepEqual((await readAll(subset(numbers(10), Uint32Array.of(7, 2)))).x, [7, 2]);
});
