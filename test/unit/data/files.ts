// Makers of small files in each format, by their specifications and not by our readers; a folder to put them in.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import type { z } from 'zod';
import { dataSourceSchema } from '../../../crds/data-source.ts';
import type { Dataset } from '../../../worker/data/dataset.ts';
import { openDataset } from '../../../worker/data/open.ts';

export interface Folder extends AsyncDisposable {
  readonly path: string;
  /** Writes a file below the folder; gives its path. */
  write(name: string, bytes: Uint8Array | string): Promise<string>;
}

export async function temporaryFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'lepton-data-'));
  return {
    path,
    async write(name, bytes) {
      const file = join(path, name);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, bytes);
      return file;
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export type Source = z.input<typeof dataSourceSchema>;

/** As a manifest's source, defaults applied. */
export function open(source: Source, loss?: string): Promise<Dataset> {
  const parsed = dataSourceSchema.parse(source);
  return openDataset(parsed, { seed: 1, training: true, ...(loss === undefined ? {} : { loss }) });
}

/** All samples in order. */
export async function readAll(dataset: Dataset, epoch = 0): Promise<{ x: number[]; y: number[] }> {
  const batch = await dataset.read(
    Uint32Array.from({ length: dataset.length }, (_, i) => i),
    epoch,
  );
  return { x: [...batch.inputs[0]!], y: [...(batch.targets[0] ?? [])] };
}

/** numpy.save: version 1, header padded to a multiple of 64. */
export function npy(
  descr: string,
  shape: readonly number[],
  data: Uint8Array,
  { fortran = false, version = 1 } = {},
): Buffer {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const dict = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${tuple}, }`;
  const lead = version === 1 ? 10 : 12;
  const length = Math.ceil((lead + dict.length + 1) / 64) * 64 - lead;
  const header = Buffer.from(`${dict.padEnd(length - 1)}\n`, 'latin1');
  const size = Buffer.alloc(lead - 8);
  if (version === 1) size.writeUInt16LE(length);
  else size.writeUInt32LE(length);
  return Buffer.concat([Buffer.from('\x93NUMPY', 'latin1'), Buffer.from([version, 0]), size, header, data]);
}

export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** A zip archive (APPNOTE 6.3): local headers, central directory, end record. */
export function zip(
  files: Readonly<Record<string, Uint8Array>>,
  { compress = false, spoilChecksum = false } = {},
): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, plain] of Object.entries(files)) {
    const packed = compress ? deflateRawSync(plain) : Buffer.from(plain);
    const fields = Buffer.alloc(26); // from version to extra length, the same in both headers
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(compress ? 8 : 0, 4);
    fields.writeUInt32LE((crc32(plain) ^ (spoilChecksum ? 1 : 0)) >>> 0, 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(plain.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, Buffer.from(name), packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    central.push(
      Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, tail, Buffer.from(name)]),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(central.length, 8);
  end.writeUInt16LE(central.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

/** IDX with bytes: sizes big-endian. */
export function idx(sizes: readonly number[], data: Uint8Array): Buffer {
  const head = Buffer.alloc(4 + 4 * sizes.length);
  head[2] = 8;
  head[3] = sizes.length;
  for (const [i, size] of sizes.entries()) head.writeUInt32BE(size, 4 + 4 * i);
  return Buffer.concat([head, data]);
}

/** CIFAR-10 records: label, then three planes of 32 x 32; every pixel of record i is (10 i, 10 i + 1, 10 i + 2). */
export function cifar10(labels: readonly number[]): Buffer {
  return Buffer.concat(
    labels.map((label, i) =>
      Buffer.concat([Buffer.from([label]), ...[0, 1, 2].map((c) => Buffer.alloc(1024, 10 * i + c))]),
    ),
  );
}
