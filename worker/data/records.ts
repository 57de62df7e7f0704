// Records of one fixed size inside a byte source, read by index. Nothing about what is in a record.
import type { ByteSource } from './bytes/byte-source.ts';

/** Record i holds the bytes [start + i * size, start + (i + 1) * size). */
export interface RecordLayout {
  readonly start: number;
  readonly size: number;
}

/** Reads in flight for one call: enough to keep the thread pool or a few connections busy. */
const CONCURRENCY = 8;
/** Neighbours are read together up to this many bytes. */
const RUN_BYTES = 4 * 2 ** 20;

/** Fills `into` with the records at `indices`, in that order; ascending neighbours are read in one go. */
export async function readRecords(
  bytes: ByteSource,
  layout: RecordLayout,
  indices: Uint32Array,
  into: Uint8Array,
): Promise<void> {
  const longest = Math.max(1, Math.floor(RUN_BYTES / layout.size));
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < indices.length) {
      const from = next;
      const count = runLength(indices, from, longest);
      next += count;
      const target = into.subarray(from * layout.size, (from + count) * layout.size);
      await bytes.read(layout.start + indices[from]! * layout.size, target);
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, indices.length) }, worker));
}

/** How many indices from `from` on follow each other directly, at most `longest`. */
function runLength(indices: Uint32Array, from: number, longest: number): number {
  let count = 1;
  while (count < longest && from + count < indices.length && indices[from + count] === indices[from]! + count)
    count++;
  return count;
}
