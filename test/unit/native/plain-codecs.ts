// Gradient codecs once more, a value at a time, for the tests of the fast ones: the same bytes, written to be read.
import type { CodecName } from '../../../native/engine.ts';

const f32 = Math.fround;

/** Of the bits of a float. */
function bitsOf(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0);
}

function floatOf(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

/** To the nearest whole number, halves to the even one. */
function nearestEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

class Writer {
  readonly #bytes: number[] = [];

  #write(size: number, put: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(size));
    put(view);
    this.#bytes.push(...new Uint8Array(view.buffer));
  }

  float = (value: number): void => this.#write(4, (view) => view.setFloat32(0, value, true));
  u32 = (value: number): void => this.#write(4, (view) => view.setUint32(0, value, true));
  u16 = (value: number): void => this.#write(2, (view) => view.setUint16(0, value, true));
  i8 = (value: number): void => this.#write(1, (view) => view.setInt8(0, value));
  u8 = (value: number): void => this.#write(1, (view) => view.setUint8(0, value));

  bytes = (): Uint8Array => Uint8Array.from(this.#bytes);
}

function blocks(values: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, b) =>
    values.slice(b * size, (b + 1) * size),
  );
}

interface PlainCodec {
  encode(values: readonly number[], ratio: number): Uint8Array;
  /** What `encode` wrote of `count` values. */
  decode(wire: DataView, count: number): number[];
}

const bfloat16: PlainCodec = {
  encode(values) {
    const writer = new Writer();
    for (const value of values) writer.u16(nearestEven(bitsOf(value) / 65536));
    return writer.bytes();
  },
  decode: (wire, count) =>
    Array.from({ length: count }, (_, i) => floatOf(wire.getUint16(2 * i, true) * 65536)),
};

const int8: PlainCodec = {
  encode(values) {
    const writer = new Writer();
    for (const block of blocks(values, 256)) {
      const peak = Math.max(...block.map(Math.abs));
      const silent = peak < 2 ** -100;
      writer.float(silent ? 0 : f32(peak / 127));
      for (const value of block) writer.i8(silent ? 0 : nearestEven(f32(value * f32(127 / peak))));
    }
    return writer.bytes();
  },
  decode: (wire, count) =>
    Array.from({ length: count }, (_, i) => {
      const block = 260 * Math.floor(i / 256);
      return f32(wire.getInt8(block + 4 + (i % 256)) * wire.getFloat32(block, true));
    }),
};

const oneBit: PlainCodec = {
  encode(values) {
    const writer = new Writer();
    for (const block of blocks(values, 1024)) {
      const lanes = new Array<number>(16).fill(0);
      for (const [i, value] of block.entries()) lanes[i % 16] = f32(lanes[i % 16]! + Math.abs(value));
      writer.float(f32(lanes.reduce((sum, lane) => f32(sum + lane), 0) / block.length));
      for (const eight of blocks(block, 8))
        writer.u8(eight.reduce((byte, value, bit) => byte + (bitsOf(value) >>> 31) * 2 ** bit, 0));
    }
    return writer.bytes();
  },
  decode: (wire, count) =>
    Array.from({ length: count }, (_, i) => {
      const block = 132 * Math.floor(i / 1024);
      const within = i % 1024;
      const bit = (wire.getUint8(block + 4 + Math.floor(within / 8)) >> (within % 8)) & 1;
      const scale = wire.getFloat32(block, true);
      return bit ? -scale : scale;
    }),
};

/** The magnitude that chosen values reach: 1.5 times as many as wanted, of 4,096 samples at most. */
function guessedThreshold(values: readonly number[], most: number): number {
  const { length } = values;
  const samples = Math.min(length, 4096);
  const places = Array.from({ length: samples }, (_, j) =>
    samples === length ? j : Number((BigInt(Math.imul(j, 0x9e3779b9) >>> 0) * BigInt(length)) >> 32n),
  );
  const sizes = places.map((place) => Math.abs(values[place]!)).sort((a, b) => b - a);
  return sizes[Math.floor(((1.5 * most) / length) * samples)] ?? 0;
}

const topK: PlainCodec = {
  encode(values, ratio) {
    const most = Math.max(1, Math.ceil(ratio * values.length));
    const threshold = guessedThreshold(values, most);
    const chosen = values
      .map((value, place) => ({ value, place }))
      .filter(({ value }) => value !== 0 && Math.abs(value) >= threshold)
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value) || a.place - b.place)
      .slice(0, most)
      .sort((a, b) => a.place - b.place);
    const writer = new Writer();
    for (let block = 0; block * 65536 < values.length; block++)
      writer.u32(chosen.filter(({ place }) => Math.floor(place / 65536) === block).length);
    for (const { place } of chosen) writer.u16(place % 65536);
    for (const { value } of chosen) writer.float(value);
    return writer.bytes();
  },
  decode(wire, count) {
    const values = new Array<number>(count).fill(0);
    const counts = Array.from({ length: Math.ceil(count / 65536) }, (_, b) => wire.getUint32(4 * b, true));
    const total = counts.reduce((sum, n) => sum + n, 0);
    let entry = 0;
    for (const [block, n] of counts.entries())
      for (let i = 0; i < n; i++, entry++) {
        const place = wire.getUint16(4 * counts.length + 2 * entry, true);
        values[65536 * block + place] = wire.getFloat32(4 * counts.length + 2 * total + 4 * entry, true);
      }
    return values;
  },
};

export const plainCodecs: Readonly<Record<CodecName, PlainCodec>> = { bfloat16, int8, oneBit, topK };
