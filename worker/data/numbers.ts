// Stored number types (of IDX and .npy) and their decoding into raw samples. No headers, no files.
import { DataError } from './errors.ts';
import type { Element, SampleArray } from './samples.ts';

export interface NumberType {
  readonly kind: 'unsigned' | 'signed' | 'float';
  readonly bytes: 1 | 2 | 4 | 8;
  readonly littleEndian: boolean;
}

/** 8-bit unsigned stays as it is, other integers become int32, floats float32. */
export function elementOf(type: NumberType): Element {
  if (type.kind === 'float') return 'float32';
  return type.kind === 'unsigned' && type.bytes === 1 ? 'uint8' : 'int32';
}

const HOST_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/**
 * Decodes into.length numbers from the start of `bytes`.
 * @throws DataError UNSUPPORTED_DTYPE where a whole number does not fit in int32.
 */
export function decodeNumbers(bytes: Uint8Array, type: NumberType, into: SampleArray, where: string): void {
  if (isRaw(type, into)) {
    const raw = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    if (raw.buffer !== bytes.buffer || raw.byteOffset !== bytes.byteOffset)
      raw.set(bytes.subarray(0, raw.length));
    return;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const number = reader(view, type);
  const whole = into instanceof Int32Array;
  for (let i = 0; i < into.length; i++) {
    const value = number(i * type.bytes);
    if (whole && value !== (value | 0)) throw notInt32(where, i, value);
    into[i] = value;
  }
}

/** True where the stored bytes are the bytes of the array: they can be read straight into it. */
export function isRaw(type: NumberType, into: SampleArray): boolean {
  if (type.bytes !== into.BYTES_PER_ELEMENT) return false;
  if (type.bytes > 1 && type.littleEndian !== HOST_LITTLE_ENDIAN) return false;
  if (into instanceof Float32Array) return type.kind === 'float';
  return type.kind === (into instanceof Int32Array ? 'signed' : 'unsigned');
}

function reader(view: DataView, { kind, bytes, littleEndian }: NumberType): (offset: number) => number {
  if (kind === 'float') {
    if (bytes === 2) return (at) => halfToNumber(view.getUint16(at, littleEndian));
    return bytes === 4
      ? (at) => view.getFloat32(at, littleEndian)
      : (at) => view.getFloat64(at, littleEndian);
  }
  const signed = kind === 'signed';
  if (bytes === 1) return signed ? (at) => view.getInt8(at) : (at) => view.getUint8(at);
  if (bytes === 2)
    return signed ? (at) => view.getInt16(at, littleEndian) : (at) => view.getUint16(at, littleEndian);
  if (bytes === 4)
    return signed ? (at) => view.getInt32(at, littleEndian) : (at) => view.getUint32(at, littleEndian);
  const high = littleEndian ? 4 : 0;
  const low = 4 - high;
  return (at) => {
    const upper = signed ? view.getInt32(at + high, littleEndian) : view.getUint32(at + high, littleEndian);
    return upper * 2 ** 32 + view.getUint32(at + low, littleEndian);
  };
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function notInt32(where: string, index: number, value: number): DataError {
  const what = `${where}: expected whole numbers of 32 bits, got ${value} as number ${index}`;
  return new DataError('UNSUPPORTED_DTYPE', what);
}
