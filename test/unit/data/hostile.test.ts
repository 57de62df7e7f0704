// Damaged and lying files: always a DataError that names the file, never a crash, a hang or a huge allocation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import sharp from 'sharp';
import { DataError, type DataErrorCode } from '../../../worker/data/errors.ts';
import {
  bytesOf,
  cifar10,
  type Folder,
  idx,
  npy,
  open,
  readAll,
  type Source,
  temporaryFolder,
  zip,
} from './files.ts';

async function refused(source: Source, loss?: string): Promise<DataError> {
  try {
    await using data = await open(source, loss);
    await readAll(data);
  } catch (error) {
    assert.ok(error instanceof DataError, String(error instanceof Error ? error.stack : error));
    return error;
  }
  return assert.fail(`${source.format} was accepted`);
}

const FLOATS = bytesOf(Float32Array.of(1, 2, 3, 4));

interface Case {
  readonly what: string;
  readonly source: Omit<Source, 'uri'>;
  readonly file: string;
  readonly bytes: Uint8Array | string;
  readonly code: DataErrorCode;
  readonly says: readonly string[];
  readonly loss?: string;
}

const csv = (
  what: string,
  bytes: string,
  code: DataErrorCode,
  says: string[],
  rest: Partial<Source> = {},
): Case => ({
  what: `csv: ${what}`,
  source: { format: 'csv', ...rest },
  file: 'data.csv',
  bytes,
  code,
  says,
});

const CASES: readonly Case[] = [
  csv('a word among numbers', 'a,b\n1,2\nx,3\n', 'NOT_A_NUMBER', ["line 3, column 'a'", "got 'x'"]),
  csv('an empty field', 'a,b\n,2\n', 'NOT_A_NUMBER', ["line 2, column 'a'", 'got nothing']),
  csv('a number among words', 'a,b\n1,2\n1,x\n', 'NOT_A_NUMBER', ["line 3, column 'b'", "got 'x'"]),
  csv('infinity', 'a,b\nInfinity,2\n', 'NOT_A_NUMBER', ["got 'Infinity'"]),
  csv('a short row', 'a,b\n1\n', 'CORRUPT_FILE', ['data.csv']),
  csv('a quote that never closes', `a,b\n"${'x'.repeat(3_000_000)}`, 'CORRUPT_FILE', ['data.csv']),
  csv('no rows', 'a,b\n', 'EMPTY_DATASET', ['at least one row']),
  csv('nothing', '', 'EMPTY_DATASET', ['a title line']),
  csv('a title twice', 'a,a\n1,2\n', 'BAD_SOURCE', ["'a' twice"]),
  csv('an unknown column', 'a,b\n1,2\n', 'NO_SUCH_COLUMN', ['a, b', "got 'c'"], { columns: ['c'] }),
  csv('only a label', 'a\n1\n', 'BAD_SOURCE', ["beside 'a'"]),
  {
    what: 'npy: wrong magic',
    source: { format: 'npy' },
    file: 'x.npy',
    bytes: 'no array at all',
    code: 'WRONG_MAGIC',
    says: ['x.npy', 'byte 0'],
  },
  {
    what: 'npy: fewer bytes than the shape says',
    source: { format: 'npy' },
    file: 'x.npy',
    bytes: npy('<f4', [3, 2], FLOATS),
    code: 'TRUNCATED_FILE',
    says: ['24 bytes'],
  },
  {
    what: 'npy: a shape larger than any disk',
    source: { format: 'npy' },
    file: 'x.npy',
    bytes: npy('<f4', [2 ** 40, 2 ** 40], FLOATS),
    code: 'CORRUPT_FILE',
    says: ['shape'],
  },
  {
    what: 'npy: Python objects',
    source: { format: 'npy' },
    file: 'x.npy',
    bytes: npy('|O8', [1], FLOATS),
    code: 'UNSUPPORTED_DTYPE',
    says: ['|O8'],
  },
  {
    what: 'npy: whole numbers past 32 bits',
    source: { format: 'npy' },
    file: 'x.npy',
    bytes: npy('<u4', [1], bytesOf(Uint32Array.of(2 ** 32 - 1))),
    code: 'UNSUPPORTED_DTYPE',
    says: ['4294967295'],
  },
  {
    what: 'npz: a wrong checksum',
    source: { format: 'npz' },
    file: 'x.npz',
    bytes: zip({ 'x.npy': npy('<f4', [4], FLOATS) }, { compress: true, spoilChecksum: true }),
    code: 'CORRUPT_FILE',
    says: ['checksum'],
  },
  {
    what: 'npz: no such array',
    source: { format: 'npz', features: 'z' },
    file: 'x.npz',
    bytes: zip({ 'x.npy': npy('<f4', [4], FLOATS), 'y.npy': npy('<f4', [4], FLOATS) }),
    code: 'MISSING_FILE',
    says: ['x, y', "'z'"],
  },
  {
    what: 'npz: more labels than samples',
    source: { format: 'npz', features: 'x', labels: 'y' },
    file: 'x.npz',
    bytes: zip({ 'x.npy': npy('<f4', [2, 2], FLOATS), 'y.npy': npy('<f4', [4], FLOATS) }),
    code: 'COUNT_MISMATCH',
    says: ['expected 2 labels', 'got 4'],
  },
  {
    what: 'parquet: wrong magic',
    source: { format: 'parquet' },
    file: 'x.parquet',
    bytes: 'something else',
    code: 'WRONG_MAGIC',
    says: ['50415231'],
  },
  {
    what: 'cifar10: a label that does not exist',
    source: { format: 'cifar10' },
    file: 'batch.bin',
    bytes: cifar10([1, 12]),
    code: 'LABEL_OUT_OF_RANGE',
    says: ['byte 3073', 'got 12'],
  },
  {
    what: 'cifar10: half a record',
    source: { format: 'cifar10' },
    file: 'batch.bin',
    bytes: cifar10([1, 2]).subarray(0, 4000),
    code: 'TRUNCATED_FILE',
    says: ['3073', 'got 4000'],
  },
  {
    what: 'csv.gz: a broken stream',
    source: { format: 'csv' },
    file: 'x.csv.gz',
    bytes: gzipSync('a,b\n1,2\n').subarray(0, 20),
    code: 'TRUNCATED_FILE',
    says: ['x.csv.gz'],
  },
];

for (const { what, source, file, bytes, code, says, loss } of CASES) {
  test(what, async () => {
    await using folder = await temporaryFolder();
    const uri = await folder.write(file, bytes);
    const error = await refused({ ...source, uri } as Source, loss);
    assert.equal(error.code, code, error.message);
    for (const part of [uri, ...says])
      assert.ok(error.message.includes(part), `${part} is not in: ${error.message}`);
  });
}

test('imageFolder: a broken image, images of different sizes, no folders', async () => {
  await using folder = await temporaryFolder();
  const image = (side: number) =>
    sharp({ create: { width: side, height: side, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
  const source = { format: 'imageFolder', uri: folder.path } satisfies Source;
  assert.equal((await refused(source)).code, 'EMPTY_DATASET');
  await folder.write('a/1.png', await image(64));
  await folder.write('a/2.png', await image(32));
  const sizes = await refused(source);
  assert.deepEqual(
    [sizes.code, sizes.message.includes('a/2.png'), sizes.message.includes('64 x 64')],
    ['SHAPE_MISMATCH', true, true],
  );
  await folder.write('a/2.png', (await image(64)).subarray(0, 120));
  const broken = await refused(source);
  assert.deepEqual([broken.code, broken.message.includes('a/2.png')], ['CORRUPT_FILE', true]);
});

/** Cut at every byte of the head and at many later ones, and with bytes flipped: an error or, where nothing was lost, data. */
async function torment(
  folder: Folder,
  name: string,
  good: Uint8Array,
  source: Omit<Source, 'uri'>,
): Promise<void> {
  const survive = async (bytes: Uint8Array): Promise<void> => {
    const uri = await folder.write(name, bytes);
    try {
      await using data = await open({ ...source, uri } as Source);
      await readAll(data);
    } catch (error) {
      assert.ok(error instanceof DataError, String(error instanceof Error ? error.stack : error));
    }
  };
  for (let cut = 0; cut < good.length; cut += cut < 100 ? 3 : Math.ceil(good.length / 40))
    await survive(good.subarray(0, cut));
  for (let at = 0; at < good.length; at += Math.ceil(good.length / 150)) {
    const bytes = Uint8Array.from(good);
    bytes[at] = bytes[at]! ^ 0xff;
    await survive(bytes);
  }
}

test('cut and flipped files of every format', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder();
  const rows = Array.from({ length: 40 }, (_, i) => i / 3);
  const columnData = [
    { name: 'a', data: rows, type: 'DOUBLE' as const },
    { name: 'b', data: rows, type: 'DOUBLE' as const },
  ];
  const array = npy('<f4', [4], FLOATS);
  const goods: [string, Uint8Array, Omit<Source, 'uri'>][] = [
    ['x.npy', array, { format: 'npy' }],
    ['x.npz', zip({ 'x.npy': array }), { format: 'npz' }],
    ['y.npz', zip({ 'x.npy': array }, { compress: true }), { format: 'npz' }],
    ['x.csv', Buffer.from('a,b\n1,"2"\n3,4\n'), { format: 'csv' }],
    ['x.csv.gz', gzipSync('a,b\n1,2\n3,4\n'), { format: 'csv' }],
    ['x.parquet', new Uint8Array(parquetWriteBuffer({ columnData })), { format: 'parquet' }],
    ['images', idx([2, 2, 2], new Uint8Array(8)), { format: 'idx' }],
    ['x.bin', cifar10([1, 2]), { format: 'cifar10' }],
  ];
  for (const [name, good, source] of goods) await torment(folder, name, good, source);
});
