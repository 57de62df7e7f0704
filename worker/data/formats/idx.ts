// IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist): magic, sizes, big-endian numbers. No pixels' meaning.
import type { DataSource } from '../../../crds/leptonjob.ts';
import { type ArrayFile, labelsOf, readerOf } from '../array-file.ts';
import { type Location, readBytes, requireRange } from '../bytes/byte-source.ts';
import { openFirst } from '../bytes/location.ts';
import { DataError } from '../errors.ts';
import { elementOf, type NumberType } from '../numbers.ts';
import { type Labels, type SampleSource, sizeOf } from '../samples.ts';

const TYPES: Readonly<Record<number, NumberType>> = {
  8: { kind: 'unsigned', bytes: 1, littleEndian: false },
  9: { kind: 'signed', bytes: 1, littleEndian: false },
  11: { kind: 'signed', bytes: 2, littleEndian: false },
  12: { kind: 'signed', bytes: 4, littleEndian: false },
  13: { kind: 'float', bytes: 4, littleEndian: false },
  14: { kind: 'float', bytes: 8, littleEndian: false },
};

/** Dimensions past this are refused; MNIST has 3. */
const MAX_DIMENSIONS = 8;

/**
 * Images (count, height, width) become samples (height, width, 1). The URI names a folder with MNIST's file names, or
 * the file of images, whose labels stand beside it (`images` replaced by `labels`, `idx3` by `idx1`).
 */
export async function openIdx(location: Location, source: DataSource): Promise<SampleSource> {
  const names = fileNames(location, source);
  await using opened = new AsyncDisposableStack();
  const images = await openIdxFile(location, names.images);
  opened.use(images.bytes);
  const labels = names.labels && (await readLabels(location, names.labels, images));
  const [length = 0, ...sides] = images.dimensions;
  const shape = sides.length === 2 ? [...sides, 1] : sides;
  const element = elementOf(images.type);
  const owned = opened.move();
  return {
    name: images.bytes.name,
    length,
    shape,
    element,
    ...(labels ? { labels } : {}),
    read: readerOf(images),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function fileNames(location: Location, source: DataSource): { images: string[]; labels?: string[] } {
  if (location.file === undefined) {
    const prefix = source.split === 'test' ? 't10k' : 'train';
    return {
      images: [`${prefix}-images-idx3-ubyte`, `${prefix}-images.idx3-ubyte`],
      labels: [`${prefix}-labels-idx1-ubyte`, `${prefix}-labels.idx1-ubyte`],
    };
  }
  const images = location.file;
  if (!images.includes('images')) return { images: [images] };
  return {
    images: [images],
    labels: [images.replace('images', 'labels').replace('idx3', 'idx1').replace(/\.gz$/, '')],
  };
}

async function openIdxFile(location: Location, names: readonly string[]): Promise<ArrayFile> {
  const bytes = await openFirst(location, names);
  const head = await readBytes(bytes, 0, 4);
  const type = TYPES[head[2]!];
  const rank = head[3]!;
  if (head[0] !== 0 || head[1] !== 0 || !type || rank < 1 || rank > MAX_DIMENSIONS) {
    const magic = Buffer.from(head).toString('hex');
    const what = `${bytes.name}: expected the magic of an IDX file at byte 0 (00000803 for images, 00000801 for labels)`;
    throw new DataError('WRONG_MAGIC', `${what}, got ${magic}`);
  }
  const sizes = await readBytes(bytes, 4, 4 * rank);
  const view = new DataView(sizes.buffer);
  const dimensions = Array.from({ length: rank }, (_, i) => view.getUint32(4 * i));
  const start = 4 + 4 * rank;
  requireRange(bytes, start, sizeOf(dimensions) * type.bytes);
  return { bytes, type, dimensions, start };
}

/** MNIST's labels are classes; anything else in their file is a mistake. */
async function readLabels(location: Location, names: readonly string[], images: ArrayFile): Promise<Labels> {
  const file = await openIdxFile(location, names);
  await using bytes = file.bytes;
  const labels = await labelsOf(file, images.dimensions[0] ?? 0, images.bytes.name);
  if (labels.kind === 'class') return labels;
  const what = `${bytes.name}: expected one whole number from 0 on for each image`;
  const got = `sizes (${file.dimensions.join(', ')}) of ${file.type.kind} numbers`;
  throw new DataError('SHAPE_MISMATCH', `${what}, got ${got}`);
}
