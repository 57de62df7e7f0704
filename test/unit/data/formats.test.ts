// Every format gives the samples and labels that are in the file.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import sharp from 'sharp';
import { bytesOf, cifar10, idx, npy, open, readAll, type Source, temporaryFolder, zip } from './files.ts';

test('idx: plain and gzip, images and labels', async () => {
  await using folder = await temporaryFolder();
  await folder.write('train-images-idx3-ubyte', idx([2, 1, 2], Uint8Array.of(0, 255, 51, 102)));
  await folder.write('train-labels-idx1-ubyte.gz', gzipSync(idx([2], Uint8Array.of(3, 1))));
  await using data = await open({ format: 'idx', uri: folder.path });
  assert.deepEqual(data.inputs[0]?.shape, [1, 2, 1]);
  const { x, y } = await readAll(data);
  assert.deepEqual(x, [0, 1, Math.fround(0.2), Math.fround(0.4)]);
  assert.deepEqual(y, [3, 1]);
});

test('cifar10: planes become pixels; classes filter and renumber', async () => {
  await using folder = await temporaryFolder();
  for (const i of [1, 2, 3, 4, 5]) await folder.write(`data_batch_${i}.bin`, cifar10([3, 5, 9]));
  await using data = await open({ format: 'cifar10', uri: folder.path, classes: ['dog', 'cat'], scale: 1 });
  assert.deepEqual([data.length, data.classNames], [10, ['dog', 'cat']]);
  const { x, y } = await readAll(data);
  assert.deepEqual(y, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
  assert.deepEqual(x.slice(0, 6), [0, 1, 2, 0, 1, 2]);
  assert.deepEqual(x.slice(3072, 3078), [10, 11, 12, 10, 11, 12]);
});

test('csv: titles, quotes, a byte order mark, named classes', async () => {
  await using folder = await temporaryFolder();
  const text = '\ufeff"a, left",b,kind\r\n1,2.5,rose\r\n-3e2,"4",iris\r\n\r\n5,6,rose\r\n';
  for (const [name, bytes] of [
    ['plain.csv', Buffer.from(text)],
    ['packed.csv.gz', gzipSync(text)],
  ] as const) {
    const uri = await folder.write(name, bytes);
    await using data = await open({ format: 'csv', uri }, 'sparseCategoricalCrossentropy');
    assert.deepEqual(data.classNames, ['iris', 'rose']);
    assert.deepEqual(await readAll(data), { x: [1, 2.5, -300, 4, 5, 6], y: [1, 0, 1] });
  }
});

test('csv: chosen columns; whole labels serve regression and classes alike', async () => {
  await using folder = await temporaryFolder();
  const uri = await folder.write('data.csv', 'price,area,rooms\n2,10,1\n0,20,3\n');
  const chosen = { format: 'csv', uri, columns: ['rooms', 'area'], labelColumn: 'price' } satisfies Source;
  await using numbers = await open(chosen, 'meanSquaredError');
  assert.deepEqual(await readAll(numbers), { x: [1, 10, 3, 20], y: [2, 0] });
  assert.deepEqual(numbers.targets[0], { name: 'target', shape: [1], type: 'float32' });
  await using classes = await open(chosen, 'categoricalCrossentropy');
  assert.deepEqual((await readAll(classes)).y, [0, 0, 1, 1, 0, 0]);
  await using unlabelled = await open({ format: 'csv', uri, columns: ['rooms'] });
  assert.deepEqual([unlabelled.targets.length, (await readAll(unlabelled)).x], [0, [1, 3]]); // rooms was the last column
});

test('npy: every type, byte order and version', async () => {
  await using folder = await temporaryFolder();
  const big = Buffer.alloc(16);
  big.writeDoubleBE(1.5, 0);
  big.writeDoubleBE(-2, 8);
  const cases: Record<string, Buffer> = {
    '<f4': npy('<f4', [2, 1], bytesOf(Float32Array.of(1.5, -2))),
    '<f8': npy('<f8', [2, 1], bytesOf(Float64Array.of(1.5, -2)), { version: 2 }),
    '>f8': npy('>f8', [2, 1], big, { version: 3 }),
    '<f2': npy('<f2', [2, 1], bytesOf(Uint16Array.of(0x3e00, 0xc000))),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    await using data = await open({ format: 'npy', uri: await folder.write('x.npy', bytes) });
    assert.deepEqual((await readAll(data)).x, [1.5, -2], name);
  }
  await using integers = await open({
    format: 'npy',
    uri: await folder.write('i.npy', npy('<i8', [2], bytesOf(BigInt64Array.of(7n, -8n)))),
  });
  assert.deepEqual((await readAll(integers)).x, [7, -8]);
});

test('npy: Fortran order, features and labels beside each other', async () => {
  await using folder = await temporaryFolder();
  // [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]] with the first index innermost
  const columns = Float32Array.of(0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11);
  await folder.write('x.npy', npy('<f4', [2, 3, 2], bytesOf(columns), { fortran: true }));
  await folder.write('y.npy', npy('<f4', [2, 2], bytesOf(Float32Array.of(1, 2, 3, 4))));
  await using data = await open({ format: 'npy', uri: folder.path, features: 'x.npy', labels: 'y.npy' });
  assert.deepEqual(data.inputs[0]?.shape, [3, 2]);
  assert.deepEqual(data.targets[0]?.shape, [2]);
  assert.deepEqual(await readAll(data), { x: Array.from({ length: 12 }, (_, i) => i), y: [1, 2, 3, 4] });
});

test('npz: stored and deflated', async () => {
  await using folder = await temporaryFolder();
  const files = {
    'x.npy': npy('|u1', [2, 2], Uint8Array.of(1, 2, 3, 4)),
    'y.npy': npy('<i4', [2], bytesOf(Int32Array.of(1, 0))),
  };
  for (const compress of [false, true]) {
    const uri = await folder.write('data.npz', zip(files, { compress }));
    await using data = await open({ format: 'npz', uri, features: 'x', labels: 'y' });
    assert.deepEqual(await readAll(data), { x: [1, 2, 3, 4], y: [1, 0] });
  }
});

test('imageFolder: classes by folder, resized, grey or colour', async () => {
  await using folder = await temporaryFolder();
  const image = (r: number, g: number, b: number, side: number) =>
    sharp({ create: { width: side, height: side, channels: 3, background: { r, g, b } } });
  await folder.write('red/1.png', await image(255, 0, 0, 4).png().toBuffer());
  await folder.write('blue/1.webp', await image(0, 0, 255, 8).webp({ lossless: true }).toBuffer());
  await folder.write('blue/readme.txt', 'no image');
  await using data = await open({ format: 'imageFolder', uri: folder.path, imageSize: [2, 3] });
  assert.deepEqual(
    [data.classNames, data.inputs[0]?.shape],
    [
      ['blue', 'red'],
      [2, 3, 3],
    ],
  );
  const { x, y } = await readAll(data);
  assert.deepEqual(y, [0, 1]);
  assert.deepEqual(x, [...Array(6).fill([0, 0, 1]), ...Array(6).fill([1, 0, 0])].flat());
  await using grey = await open({ format: 'imageFolder', uri: folder.path, imageSize: [2, 2], channels: 1 });
  assert.deepEqual(grey.inputs[0]?.shape, [2, 2, 1]);
  const values = (await readAll(grey)).x;
  assert.ok(values[0]! > 0 && values[0]! < values[4]!, String(values)); // blue is darker than red
});

test('parquet: row groups, numbers of all kinds, named classes', async () => {
  await using folder = await temporaryFolder();
  const rows = 2500;
  const column = (f: (i: number) => unknown) => Array.from({ length: rows }, (_, i) => f(i));
  const file = parquetWriteBuffer({
    columnData: [
      { name: 'a', data: column((i) => i / 4), type: 'DOUBLE' },
      { name: 'b', data: column((i) => BigInt(i)), type: 'INT64' },
      { name: 'ok', data: column((i) => i % 2 === 0), type: 'BOOLEAN' },
      { name: 'kind', data: column((i) => (i % 3 === 0 ? 'x' : 'w')), type: 'STRING' },
    ],
    rowGroupSize: 1000,
  });
  const uri = await folder.write('data.parquet', new Uint8Array(file));
  await using data = await open({ format: 'parquet', uri });
  assert.deepEqual([data.length, data.classNames], [rows, ['w', 'x']]);
  const { x, y } = await readAll(data);
  assert.deepEqual(x.slice(3 * 2401, 3 * 2403), [600.25, 2401, 0, 600.5, 2402, 1]);
  assert.deepEqual(y.slice(0, 4), [1, 0, 0, 1]);
});

test('file:// and relative paths', async () => {
  await using folder = await temporaryFolder();
  const uri = await folder.write('x.npy', npy('<f4', [1], bytesOf(Float32Array.of(7))));
  for (const name of [`file://${uri}`, join('/', uri)]) {
    await using data = await open({ format: 'npy', uri: name });
    assert.deepEqual((await readAll(data)).x, [7]);
  }
});
