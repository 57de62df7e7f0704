// Parquet by hyparquet: flat columns of numbers and a label, one row group at a time into a file of floats.
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import {
  type AsyncBuffer,
  type Compressors,
  parquetMetadataAsync,
  parquetRead,
  parquetSchema,
} from 'hyparquet';
import type { DataSource } from '../../../crds/leptonjob.ts';
import { type ByteSource, type Location, readBytes } from '../bytes/byte-source.ts';
import { DataError } from '../errors.ts';
import type { SampleSource } from '../samples.ts';
import { chooseColumns, Table, type TableColumns } from '../table.ts';

/** Beside snappy, which the library has; no page may grow past what it says of itself. */
const COMPRESSORS: Compressors = {
  GZIP: (bytes, length) => gunzipSync(bytes, { maxOutputLength: length }),
  BROTLI: (bytes, length) => brotliDecompressSync(bytes, { maxOutputLength: length }),
  ZSTD: (bytes, length) => zstdDecompressSync(bytes, { maxOutputLength: length }),
};
const MAGIC = 'PAR1';

/** @throws DataError WRONG_MAGIC, CORRUPT_FILE, NO_SUCH_COLUMN, NOT_A_NUMBER naming row and column. */
export async function openParquet(location: Location, source: DataSource): Promise<SampleSource> {
  if (location.file === undefined)
    throw new DataError('BAD_SOURCE', `${location.uri}: expected a Parquet file, got a folder`);
  await using bytes = await location.open(location.file);
  await requireMagic(bytes);
  const file: AsyncBuffer = {
    byteLength: bytes.size,
    slice: async (start, end = bytes.size) => toBuffer(await readBytes(bytes, start, end - start)),
  };
  const metadata = await whole(bytes.name, () => parquetMetadataAsync(file));
  const known = parquetSchema(metadata).children.map(({ element }) => element.name);
  const columns = chooseColumns(known, source, bytes.name);
  const table = new Table(bytes.name, columns);
  try {
    let first = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rows = Number(num_rows);
      const read = () => readGroup(file, metadata, columns, first, first + rows);
      await addRows(table, await whole(bytes.name, read), columns, first, bytes.name);
      first += rows;
    }
    return await table.finish();
  } catch (error) {
    await table.discard();
    throw error;
  }
}

async function requireMagic(bytes: ByteSource): Promise<void> {
  for (const at of [0, Math.max(0, bytes.size - 4)]) {
    const magic = Buffer.from(await readBytes(bytes, at, Math.min(4, bytes.size)));
    if (magic.toString('latin1') === MAGIC) continue;
    throw new DataError(
      'WRONG_MAGIC',
      `${bytes.name}: expected 50415231 (Parquet) at byte ${at}, got ${magic.toString('hex')}`,
    );
  }
}

function toBuffer({ buffer, byteOffset, byteLength }: Uint8Array): ArrayBuffer {
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}

/** Whatever the library stumbles over is the file's fault. */
async function whole<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(
      'CORRUPT_FILE',
      `${name}: expected a whole Parquet file, got: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

type Rows = readonly Readonly<Record<string, unknown>>[];

async function readGroup(
  file: AsyncBuffer,
  metadata: Awaited<ReturnType<typeof parquetMetadataAsync>>,
  { features, label }: TableColumns,
  rowStart: number,
  rowEnd: number,
): Promise<Rows> {
  let rows: Rows = [];
  await parquetRead({
    file,
    metadata,
    columns: [...features, ...(label === undefined ? [] : [label])],
    rowStart,
    rowEnd,
    rowFormat: 'object',
    compressors: COMPRESSORS,
    onComplete: (read) => {
      rows = read;
    },
  });
  if (rows.length !== rowEnd - rowStart)
    throw new Error(`${rows.length} rows in a group of ${rowEnd - rowStart}`);
  return rows;
}

async function addRows(
  table: Table,
  rows: Rows,
  { features, label }: TableColumns,
  first: number,
  name: string,
): Promise<void> {
  for (const [i, row] of rows.entries()) {
    const values = features.map((column) => row[column]);
    const added = table.add(
      values,
      label === undefined ? undefined : row[label],
      () => `${name}: row ${first + i + 1}`,
    );
    if (added) await added;
  }
}
