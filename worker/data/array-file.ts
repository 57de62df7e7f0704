// Arrays of numbers in a byte source, the first dimension counting samples: as samples, and as labels. No headers.
import { type ByteSource, readBytes } from './bytes/byte-source.ts';
import { DataError } from './errors.ts';
import { decodeNumbers, elementOf, isRaw, type NumberType } from './numbers.ts';
import { readRecords } from './records.ts';
import { allocate, type Labels, type SampleArray, type SampleSource, sizeOf } from './samples.ts';

/** Row-major numbers from byte `start` on. Whoever makes one has checked that the bytes are there. */
export interface ArrayFile {
  readonly bytes: ByteSource;
  readonly type: NumberType;
  readonly dimensions: readonly number[];
  readonly start: number;
}

/** Reads samples straight from the file. */
export function readerOf({ bytes, type, dimensions, start }: ArrayFile): SampleSource['read'] {
  const layout = { start, size: sizeOf(dimensions.slice(1)) * type.bytes };
  return async (indices, into) => {
    const raw = isRaw(type, into) ? bytesOf(into) : new Uint8Array(indices.length * layout.size);
    await readRecords(bytes, layout, indices, raw);
    decodeNumbers(raw, type, into, bytes.name);
  };
}

function bytesOf(array: SampleArray): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * Whole numbers from 0, one for each sample, are classes; everything else is numbers to be predicted.
 * @throws DataError COUNT_MISMATCH where there is not one label for each of `samples`.
 */
export async function labelsOf(file: ArrayFile, samples: number, of: string): Promise<Labels> {
  const { bytes, type, dimensions, start } = file;
  const [count = 0, ...rest] = dimensions;
  if (count !== samples) {
    const what = `${bytes.name}: expected ${samples} labels, one for each sample of ${of}, got ${count}`;
    throw new DataError('COUNT_MISMATCH', what);
  }
  const values = allocate(elementOf(type), sizeOf(dimensions));
  decodeNumbers(await readBytes(bytes, start, values.length * type.bytes), type, values, bytes.name);
  const single = rest.length === 0 || (rest.length === 1 && rest[0] === 1);
  if (single && type.kind !== 'float' && values.every((value) => value >= 0)) {
    const where = (index: number): string => `${bytes.name}: byte ${start + index * type.bytes}`;
    return { kind: 'class', values: Int32Array.from(values), where };
  }
  return { kind: 'value', values: Float32Array.from(values), shape: single ? [1] : rest };
}
