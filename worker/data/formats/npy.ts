// NumPy's array files (.npy versions 1 to 3; numpy/lib/format.py) and archives of them (.npz). Numbers only: no pickles.
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { type Entry, fromRandomAccessReader, RandomAccessReader, type ZipFile } from 'yauzl';
import type { DataSource } from '../../../crds/leptonjob.ts';
import { type ArrayFile, labelsOf, readerOf } from '../array-file.ts';
import {
  type ByteSource,
  type Location,
  memorySource,
  readBytes,
  requireRange,
} from '../bytes/byte-source.ts';
import { Sink } from '../bytes/sink.ts';
import { plainBytes } from '../bytes/unpack.ts';
import { DataError } from '../errors.ts';
import { elementOf, type NumberType } from '../numbers.ts';
import { type SampleSource, sizeOf } from '../samples.ts';

const MAGIC = '\u0093NUMPY';
const MAX_HEADER_BYTES = 2 ** 16;
const MAX_DIMENSIONS = 32;
/** Arrays in Fortran order are turned round in memory up to this size. */
const MAX_TURNED_BYTES = 2 ** 31;
const CHUNK_BYTES = 2 ** 20;
const KINDS: Readonly<Record<string, NumberType['kind']>> = {
  f: 'float',
  i: 'signed',
  u: 'unsigned',
  b: 'unsigned',
};

/** `features` and `labels` name files beside each other; without them the URI itself is the file of features. */
export async function openNpy(location: Location, source: DataSource): Promise<SampleSource> {
  const file = source.features ?? location.file;
  if (file === undefined)
    throw new DataError(
      'BAD_SOURCE',
      `${location.uri}: features: expected the name of a .npy file, got none`,
    );
  const open = async (name: string): Promise<ByteSource> => plainBytes(await location.open(name));
  return fromArrays(
    location.uri,
    await open(file),
    source.labels === undefined ? undefined : () => open(source.labels!),
  );
}

/** `features` and `labels` name arrays; without them, the archive's only array is the features. */
export async function openNpz(location: Location, source: DataSource): Promise<SampleSource> {
  if (location.file === undefined)
    throw new DataError('BAD_SOURCE', `${location.uri}: expected a .npz file, got a folder`);
  await using archive = await location.open(location.file);
  const entries = await entriesOf(archive);
  try {
    const find = (key: string | undefined): Promise<ByteSource> => {
      const wanted = key ?? (entries.list.size === 1 ? [...entries.list.keys()][0]! : '');
      const entry = entries.list.get(wanted);
      if (entry) return extract(entries.zip, entry, `${archive.name}[${wanted}]`);
      const names = [...entries.list.keys()].slice(0, 20).join(', ');
      const got = key === undefined ? 'no choice by `features`' : `'${key}'`;
      throw new DataError('MISSING_FILE', `${archive.name}: expected an array of ${names}, got ${got}`);
    };
    const labels = source.labels;
    return await fromArrays(
      location.uri,
      await find(source.features),
      labels === undefined ? undefined : () => find(labels),
    );
  } finally {
    entries.zip.close();
  }
}

async function fromArrays(
  name: string,
  features: ByteSource,
  openLabels: (() => Promise<ByteSource>) | undefined,
): Promise<SampleSource> {
  await using opened = new AsyncDisposableStack();
  opened.use(features);
  const array = await openArray(features);
  const [length = 0, ...shape] = array.dimensions;
  if (array.dimensions.length === 0)
    throw new DataError(
      'SHAPE_MISMATCH',
      `${features.name}: expected samples in the first dimension, got one number`,
    );
  const labels = openLabels && (await readLabels(await openLabels(), length, features.name));
  const owned = opened.move();
  return {
    name,
    length,
    shape,
    element: elementOf(array.type),
    ...(labels ? { labels } : {}),
    read: readerOf(array),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function readLabels(source: ByteSource, samples: number, of: string) {
  await using bytes = source;
  return await labelsOf(await openArray(bytes), samples, of);
}

/** Checks everything that the header says against the bytes that are there. */
async function openArray(bytes: ByteSource): Promise<ArrayFile> {
  const head = await readBytes(bytes, 0, Math.min(12, bytes.size));
  const magic = Buffer.from(head.subarray(0, 6)).toString('latin1');
  if (magic !== MAGIC) {
    const got = Buffer.from(head.subarray(0, 6)).toString('hex');
    throw new DataError('WRONG_MAGIC', `${bytes.name}: expected 934e554d5059 (NumPy) at byte 0, got ${got}`);
  }
  const major = head[6] ?? 0;
  if (major < 1 || major > 3)
    throw new DataError('WRONG_MAGIC', `${bytes.name}: expected version 1, 2 or 3 at byte 6, got ${major}`);
  requireRange(bytes, 0, 12);
  const view = new DataView(head.buffer);
  const at = major === 1 ? 10 : 12;
  const headerBytes = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (headerBytes > MAX_HEADER_BYTES)
    throw new DataError(
      'CORRUPT_FILE',
      `${bytes.name}: expected a header of at most ${MAX_HEADER_BYTES} bytes, got ${headerBytes}`,
    );
  const text = Buffer.from(await readBytes(bytes, at, headerBytes)).toString('latin1');
  const { type, dimensions, fortranOrder } = parseHeader(bytes.name, text);
  const start = at + headerBytes;
  requireRange(bytes, start, sizeOf(dimensions) * type.bytes);
  const file = { bytes, type, dimensions, start };
  return fortranOrder && dimensions.length > 1 ? await turned(file) : file;
}

/** The header is a Python literal that numpy writes in exactly one way. */
function parseHeader(name: string, text: string) {
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (descr === undefined && text.includes("'descr'"))
    throw new DataError('UNSUPPORTED_DTYPE', `${name}: expected an array of numbers, got records`);
  if (descr === undefined || order === undefined || shape === undefined)
    throw new DataError(
      'CORRUPT_FILE',
      `${name}: expected a header with descr, fortran_order and shape, got ${text.slice(0, 100)}`,
    );
  const dimensions = shape
    .split(',')
    .filter((side) => side.trim() !== '')
    .map(Number);
  if (dimensions.length > MAX_DIMENSIONS || !Number.isSafeInteger(sizeOf(dimensions)))
    throw new DataError('CORRUPT_FILE', `${name}: expected a shape that fits in memory, got (${shape})`);
  return { type: parseType(name, descr), dimensions, fortranOrder: order === 'True' };
}

function parseType(name: string, descr: string): NumberType {
  const [, order = '', letter = '', digits = ''] = /^([<>|=]?)([a-zA-Z])(\d+)$/.exec(descr) ?? [];
  const kind = KINDS[letter];
  const bytes = Number(digits);
  const sized =
    kind === 'float'
      ? [2, 4, 8].includes(bytes)
      : letter === 'b'
        ? bytes === 1
        : [1, 2, 4, 8].includes(bytes);
  if (!kind || !sized)
    throw new DataError(
      'UNSUPPORTED_DTYPE',
      `${name}: expected numbers (f2 to f8, i1 to i8, u1 to u8, b1), got ${descr}`,
    );
  return { kind, bytes: bytes as NumberType['bytes'], littleEndian: order !== '>' };
}

/** Fortran order stands the first index innermost: turned round to row-major, in memory. */
async function turned({ bytes, type, dimensions, start }: ArrayFile): Promise<ArrayFile> {
  const count = sizeOf(dimensions);
  const size = type.bytes;
  if (count * size > MAX_TURNED_BYTES)
    throw new DataError(
      'TOO_LARGE',
      `${bytes.name}: expected C order for more than ${MAX_TURNED_BYTES} bytes, got Fortran order (save numpy.ascontiguousarray)`,
    );
  const from = await readBytes(bytes, start, count * size);
  const to = new Uint8Array(count * size);
  const strides = dimensions.map((_, axis) => sizeOf(dimensions.slice(0, axis)));
  const index = dimensions.map(() => 0);
  for (let at = 0, source = 0; at < count; at++) {
    for (let byte = 0; byte < size; byte++) to[at * size + byte] = from[source * size + byte]!;
    for (let axis = dimensions.length - 1; axis >= 0; axis--) {
      source += strides[axis]!;
      if (++index[axis]! < dimensions[axis]!) break;
      source -= strides[axis]! * dimensions[axis]!;
      index[axis] = 0;
    }
  }
  return { bytes: memorySource(bytes.name, to), type, dimensions, start: 0 };
}

class SourceReader extends RandomAccessReader {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    super();
    this.#source = source;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(chunksOf(this.#source, start, end));
  }
}

async function* chunksOf(source: ByteSource, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += CHUNK_BYTES)
    yield await readBytes(source, at, Math.min(CHUNK_BYTES, end - at));
}

/** Arrays by name, without `.npy`. @throws DataError WRONG_MAGIC, CORRUPT_FILE */
async function entriesOf(archive: ByteSource): Promise<{ zip: ZipFile; list: Map<string, Entry> }> {
  const magic = await readBytes(archive, 0, Math.min(4, archive.size));
  if (Buffer.from(magic).toString('latin1') !== 'PK\u0003\u0004') {
    const got = Buffer.from(magic).toString('hex');
    throw new DataError('WRONG_MAGIC', `${archive.name}: expected 504b0304 (zip) at byte 0, got ${got}`);
  }
  const broken = (error: Error): DataError =>
    new DataError('CORRUPT_FILE', `${archive.name}: expected a whole zip archive, got: ${error.message}`, {
      cause: error,
    });
  const opened = Promise.withResolvers<ZipFile>();
  const options = { lazyEntries: false, autoClose: false };
  fromRandomAccessReader(new SourceReader(archive), archive.size, options, (error, zip) => {
    if (error) opened.reject(broken(error));
    else opened.resolve(zip);
  });
  const zip = await opened.promise;
  const list = new Map<string, Entry>();
  const read = Promise.withResolvers<void>();
  zip.on('entry', (entry: Entry) => list.set(entry.fileName.replace(/\.npy$/, ''), entry));
  zip.once('end', () => read.resolve());
  zip.on('error', (error: Error) => read.reject(broken(error)));
  await read.promise;
  return { zip, list };
}

/** The plain bytes of an entry, its length and checksum verified. */
async function extract(zip: ZipFile, entry: Entry, name: string): Promise<ByteSource> {
  const sink = new Sink(name, entry.uncompressedSize);
  let checksum = 0;
  try {
    const opened = Promise.withResolvers<Readable>();
    zip.openReadStream(entry, (error, stream) => {
      if (error) opened.reject(error);
      else opened.resolve(stream);
    });
    for await (const chunk of await opened.promise) {
      checksum = crc32(chunk as Uint8Array, checksum);
      await sink.add(chunk as Uint8Array);
    }
    if (checksum !== entry.crc32)
      throw new Error(`checksum ${checksum.toString(16)} instead of ${entry.crc32.toString(16)}`);
    return sink.finish();
  } catch (error) {
    await sink.discard();
    if (error instanceof DataError) throw error;
    throw new DataError(
      'CORRUPT_FILE',
      `${name}: expected ${entry.uncompressedSize} bytes, got: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
