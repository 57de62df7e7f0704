// From raw numbers to what the model sees: (raw * scale - mean) / deviation, channel by channel. Tight loops only.
import type { Shape } from '../../native/graph.ts';
import { DataError } from './errors.ts';
import type { Element, SampleArray } from './samples.ts';

export interface Scaling {
  readonly scale: number;
  readonly mean?: readonly number[];
  readonly deviation?: readonly number[];
}

/** Copies `count` elements of raw[from..] to out[to..]; `from` and `to` stand on the first channel. */
export interface Scaler {
  copy(raw: SampleArray, from: number, out: Float32Array, to: number, count: number): void;
  /** What a raw zero becomes in each channel: the colour of padding. */
  readonly zero: Float32Array;
}

/** @throws DataError SHAPE_MISMATCH where mean or deviation do not fit the last dimension. */
export function createScaler(element: Element, shape: Shape, scaling: Scaling, where: string): Scaler {
  const channels = Math.max(1, shape.at(-1) ?? 1);
  const mean = perChannel(scaling.mean, channels, 0, `${where}: normalize.mean`);
  const deviation = perChannel(scaling.deviation, channels, 1, `${where}: normalize.deviation`);
  const uniform = mean.every((m) => m === mean[0]) && deviation.every((d) => d === deviation[0]);
  const value = (raw: number, channel: number): number =>
    (raw * scaling.scale - mean[channel]!) / deviation[channel]!;
  const zero = Float32Array.from(mean, (_, channel) => value(0, channel));
  if (element === 'uint8') return { zero, copy: copyBytes(value, uniform ? 1 : channels) };
  return { zero, copy: copyNumbers(scaling.scale, mean, deviation, uniform ? 1 : channels) };
}

function perChannel(
  values: readonly number[] | undefined,
  channels: number,
  fallback: number,
  where: string,
): readonly number[] {
  if (values === undefined) return new Array<number>(channels).fill(fallback);
  if (values.length === 1) return new Array<number>(channels).fill(values[0]!);
  if (values.length === channels) return values;
  throw new DataError(
    'SHAPE_MISMATCH',
    `${where}: expected 1 or ${channels} numbers (one for each channel), got ${values.length}`,
  );
}

/** Bytes go through a table of 256 entries for each channel: one rounding, no arithmetic in the loop. */
function copyBytes(value: (raw: number, channel: number) => number, channels: number): Scaler['copy'] {
  const table = new Float32Array(256 * channels);
  for (let i = 0; i < table.length; i++) table[i] = value(i & 255, i >> 8);
  if (channels === 1) {
    return (raw, from, out, to, count) => {
      for (let i = 0; i < count; i++) out[to + i] = table[raw[from + i]!]!;
    };
  }
  const end = 256 * channels;
  return (raw, from, out, to, count) => {
    for (let i = 0, base = 0; i < count; i++) {
      out[to + i] = table[base + raw[from + i]!]!;
      base += 256;
      if (base === end) base = 0;
    }
  };
}

function copyNumbers(
  scale: number,
  mean: readonly number[],
  deviation: readonly number[],
  channels: number,
): Scaler['copy'] {
  if (channels === 1 && scale === 1 && mean[0] === 0 && deviation[0] === 1) {
    return (raw, from, out, to, count) => out.set(raw.subarray(from, from + count), to);
  }
  return (raw, from, out, to, count) => {
    for (let i = 0, channel = 0; i < count; i++) {
      out[to + i] = (raw[from + i]! * scale - mean[channel]!) / deviation[channel]!;
      if (++channel === channels) channel = 0;
    }
  };
}
