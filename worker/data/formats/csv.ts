// CSV (RFC 4180) with a title line: columns of numbers, and a label. Streamed once into a file of floats.
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import type { DataSource } from '../../../crds/leptonjob.ts';
import { type ByteSource, type Location, readBytes } from '../bytes/byte-source.ts';
import { plainBytes } from '../bytes/unpack.ts';
import { DataError } from '../errors.ts';
import type { SampleSource } from '../samples.ts';
import { chooseColumns, Table } from '../table.ts';

const CHUNK_BYTES = 2 ** 18;
/** A longer row is a file that is no CSV, or a quote that never closes. */
const MAX_ROW_BYTES = 2 ** 20;

interface Row {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

/** Plain or gzip. @throws DataError BAD_SOURCE, NO_SUCH_COLUMN, NOT_A_NUMBER, CORRUPT_FILE naming line and column. */
export async function openCsv(location: Location, source: DataSource): Promise<SampleSource> {
  if (location.file === undefined)
    throw new DataError('BAD_SOURCE', `${location.uri}: expected a CSV file, got a folder`);
  await using bytes = await plainBytes(await location.open(location.file));
  const parser = Readable.from(chunks(bytes)).compose(
    parse({ bom: true, info: true, max_record_size: MAX_ROW_BYTES, skip_empty_lines: true, trim: true }),
  ) as AsyncIterable<Row>;
  let table: Table | undefined;
  let pick: (record: readonly string[]) => { features: string[]; label: string | undefined } = unpicked;
  try {
    for await (const { record, info } of parser) {
      if (!table) {
        const columns = chooseColumns(record, source, `${bytes.name}: line 1`);
        table = new Table(bytes.name, columns);
        pick = picker(record, columns);
        continue;
      }
      const { features, label } = pick(record);
      await table.add(features, label, () => `${bytes.name}: line ${info.lines}`);
    }
    if (!table)
      throw new DataError('EMPTY_DATASET', `${bytes.name}: expected a title line, got an empty file`);
    return await table.finish();
  } catch (error) {
    await table?.discard();
    throw asDataError(bytes.name, error);
  }
}

function unpicked(): never {
  throw new Error('a row came before the titles');
}

function picker(titles: readonly string[], columns: { features: readonly string[]; label?: string }) {
  const features = columns.features.map((name) => titles.indexOf(name));
  const label = columns.label === undefined ? -1 : titles.indexOf(columns.label);
  return (record: readonly string[]) => ({
    features: features.map((at) => record[at]!),
    label: record[label],
  });
}

async function* chunks(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += CHUNK_BYTES)
    yield await readBytes(source, at, Math.min(CHUNK_BYTES, source.size - at));
}

function asDataError(name: string, error: unknown): unknown {
  if (!(error instanceof CsvError)) return error;
  const { message } = error;
  return new DataError('CORRUPT_FILE', `${name}: expected rows as long as the title line, got: ${message}`, {
    cause: error,
  });
}
