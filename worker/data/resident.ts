// Keeps raw samples in memory when they fit, as they are stored (8-bit images stay 8-bit). No scaling.
import { allocate, type SampleArray, type SampleSource, sizeOf } from './samples.ts';

/** Raw samples of a batch: sample i of the request starts at element starts[i] of `data`. */
export interface RawBatch {
  readonly data: SampleArray;
  readonly starts: Uint32Array | Float64Array;
}

/** Raw samples by their index in the source. */
export interface RawSamples extends AsyncDisposable {
  read(indices: Uint32Array): Promise<RawBatch> | RawBatch;
}

/** Read ahead in pieces of about this size. */
const PIECE_BYTES = 4 * 2 ** 20;

/**
 * The samples at `selection` (ascending is fastest), from memory where they take at most `budgetBytes`. Owns `source`.
 * Dear samples (images to decode) are kept as they are first asked for; all others are read at once.
 */
export async function rawSamples(
  source: SampleSource,
  selection: Uint32Array,
  budgetBytes: number,
): Promise<RawSamples> {
  const size = sizeOf(source.shape);
  const bytes = selection.length * size * (source.element === 'uint8' ? 1 : 4);
  if (bytes > budgetBytes) return streamed(source, size);
  const data = allocate(source.element, selection.length * size);
  if (source.costly) return remembered(source, selection, data, size);
  const piece = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, size)));
  for (let from = 0; from < selection.length; from += piece) {
    const indices = selection.subarray(from, from + piece);
    await source.read(indices, data.subarray(from * size, (from + indices.length) * size));
  }
  await source[Symbol.asyncDispose]();
  return resident(selection, data, size);
}

/** Where each selected sample lies in memory, by its index in the source. */
function slots(selection: Uint32Array): (index: number) => number {
  let identity = true;
  for (let i = 0; i < selection.length && identity; i++) identity = selection[i] === i;
  if (identity) return (index) => index;
  const slot = new Map<number, number>();
  for (let i = 0; i < selection.length; i++) slot.set(selection[i]!, i);
  return (index) => slot.get(index)!;
}

function resident(selection: Uint32Array, data: SampleArray, size: number): RawSamples {
  const slot = slots(selection);
  return {
    read: (indices) => ({ data, starts: Float64Array.from(indices, (index) => slot(index) * size) }),
    async [Symbol.asyncDispose]() {},
  };
}

function remembered(
  source: SampleSource,
  selection: Uint32Array,
  data: SampleArray,
  size: number,
): RawSamples {
  const slot = slots(selection);
  const known = new Uint8Array(selection.length);
  return {
    async read(indices) {
      const missing = indices.filter((index) => known[slot(index)] === 0);
      if (missing.length > 0) {
        const fresh = allocate(source.element, missing.length * size);
        await source.read(missing, fresh);
        missing.forEach((index, i) => {
          data.set(fresh.subarray(i * size, (i + 1) * size), slot(index) * size);
          known[slot(index)] = 1;
        });
      }
      return { data, starts: Float64Array.from(indices, (index) => slot(index) * size) };
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

function streamed(source: SampleSource, size: number): RawSamples {
  return {
    async read(indices) {
      const data = allocate(source.element, indices.length * size);
      await source.read(indices, data);
      return { data, starts: Float64Array.from(indices, (_, i) => i * size) };
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
