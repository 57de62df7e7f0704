// CIFAR-10 and CIFAR-100 in their binary version (https://www.cs.toronto.edu/~kriz/cifar.html). No other layout.
import type { DataSource } from '../../../crds/leptonjob.ts';
import { type ByteSource, type Location, readBytes } from '../bytes/byte-source.ts';
import { findFirst, openFirst } from '../bytes/location.ts';
import { plainBytes } from '../bytes/unpack.ts';
import { DataError } from '../errors.ts';
import { readRecords } from '../records.ts';
import type { Labels, SampleSource } from '../samples.ts';

const SIDE = 32;
const PLANE = SIDE * SIDE;
const PIXELS = 3 * PLANE;

interface Variant {
  readonly labelBytes: number;
  readonly train: readonly string[];
  readonly test: readonly string[];
  /** One entry for each label byte: which names file, how many classes. */
  readonly labels: readonly { readonly names: string; readonly classes: number }[];
}

const CIFAR10: Variant = {
  labelBytes: 1,
  train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  test: ['test_batch.bin'],
  labels: [{ names: 'batches.meta.txt', classes: 10 }],
};

const CIFAR100: Variant = {
  labelBytes: 2,
  train: ['train.bin'],
  test: ['test.bin'],
  labels: [
    { names: 'coarse_label_names.txt', classes: 20 },
    { names: 'fine_label_names.txt', classes: 100 },
  ],
};

/** The names of CIFAR-10's classes where the folder has no batches.meta.txt. */
const CIFAR10_NAMES = [
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
];

export function openCifar10(location: Location, source: DataSource): Promise<SampleSource> {
  return openCifar(location, source, CIFAR10, 0);
}

export function openCifar100(location: Location, source: DataSource): Promise<SampleSource> {
  return openCifar(location, source, CIFAR100, source.labels === 'coarse' ? 0 : 1);
}

async function openCifar(
  location: Location,
  source: DataSource,
  variant: Variant,
  labelByte: number,
): Promise<SampleSource> {
  const { names, classes } = variant.labels[labelByte]!;
  const classNames = await readNames(location, names, classes);
  const wanted = location.file ? [location.file] : source.split === 'test' ? variant.test : variant.train;
  await using opened = new AsyncDisposableStack();
  const files: ByteSource[] = [];
  for (const name of wanted) files.push(opened.use(await openFirst(location, [name])));
  const recordBytes = variant.labelBytes + PIXELS;
  const counts = files.map((file) => countRecords(file, recordBytes));
  const length = counts.reduce((sum, count) => sum + count, 0);
  const values = new Int32Array(length);
  let first = 0;
  for (const [i, file] of files.entries()) {
    await readLabels(file, recordBytes, labelByte, classes, values.subarray(first, first + counts[i]!));
    first += counts[i]!;
  }
  const owned = opened.move();
  const labels: Labels = {
    kind: 'class',
    values,
    ...(classNames ? { names: classNames } : {}),
    where: (index) => `${location.uri}: image ${index}`,
  };
  return {
    name: location.uri,
    length,
    shape: [SIDE, SIDE, 3],
    element: 'uint8',
    labels,
    read: (indices, into) => readImages(files, counts, variant.labelBytes, indices, into as Uint8Array),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function countRecords(file: ByteSource, recordBytes: number): number {
  if (file.size > 0 && file.size % recordBytes === 0) return file.size / recordBytes;
  const what = `${file.name}: expected a multiple of ${recordBytes} bytes (one image each), got ${file.size}`;
  throw new DataError('TRUNCATED_FILE', what);
}

async function readLabels(
  file: ByteSource,
  recordBytes: number,
  labelByte: number,
  classes: number,
  into: Int32Array,
): Promise<void> {
  const step = 1000;
  for (let from = 0; from < into.length; from += step) {
    const count = Math.min(step, into.length - from);
    const records = await readBytes(file, from * recordBytes, count * recordBytes);
    for (let i = 0; i < count; i++) {
      const label = records[i * recordBytes + labelByte]!;
      if (label >= classes) {
        const at = (from + i) * recordBytes + labelByte;
        throw new DataError(
          'LABEL_OUT_OF_RANGE',
          `${file.name}: byte ${at}: expected a label from 0 to ${classes - 1}, got ${label}`,
        );
      }
      into[from + i] = label;
    }
  }
}

/** Reads whole records and turns the colour planes (channel, row, column) into pixels (row, column, channel). */
async function readImages(
  files: readonly ByteSource[],
  counts: readonly number[],
  labelBytes: number,
  indices: Uint32Array,
  into: Uint8Array,
): Promise<void> {
  const size = labelBytes + PIXELS;
  const records = new Uint8Array(indices.length * size);
  for (let from = 0; from < indices.length; ) {
    const { file, first } = locate(counts, indices[from]!);
    let to = from + 1;
    while (to < indices.length && locate(counts, indices[to]!).file === file) to++;
    const local = indices.slice(from, to).map((index) => index - first);
    await readRecords(files[file]!, { start: 0, size }, local, records.subarray(from * size, to * size));
    from = to;
  }
  for (let i = 0; i < indices.length; i++) interleave(records, i * size + labelBytes, into, i * PIXELS);
}

function locate(counts: readonly number[], index: number): { file: number; first: number } {
  let first = 0;
  let file = 0;
  while (index - first >= counts[file]!) first += counts[file++]!;
  return { file, first };
}

function interleave(planes: Uint8Array, from: number, pixels: Uint8Array, to: number): void {
  for (let i = 0; i < PLANE; i++) {
    pixels[to++] = planes[from + i]!;
    pixels[to++] = planes[from + i + PLANE]!;
    pixels[to++] = planes[from + i + 2 * PLANE]!;
  }
}

async function readNames(
  location: Location,
  file: string,
  classes: number,
): Promise<readonly string[] | undefined> {
  const found = await findFirst(location, [file]);
  if (found === undefined) return classes === 10 ? CIFAR10_NAMES : undefined;
  await using bytes = await plainBytes(await location.open(found));
  if (bytes.size > 2 ** 16) {
    throw new DataError(
      'TOO_LARGE',
      `${bytes.name}: expected at most 65536 bytes of class names, got ${bytes.size}`,
    );
  }
  const text = Buffer.from(await readBytes(bytes, 0, bytes.size)).toString('utf8');
  const names = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (names.length === classes) return names;
  throw new DataError(
    'COUNT_MISMATCH',
    `${bytes.name}: expected ${classes} class names, one on each line, got ${names.length}`,
  );
}
