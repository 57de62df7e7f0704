// Where bytes come from, as formats see it: a size and ranges, a folder of names. Nothing about disks or networks.
import { DataError } from '../errors.ts';

/** Bytes that can be read at any position. */
export interface ByteSource extends AsyncDisposable {
  /** Path or URI, for messages. */
  readonly name: string;
  readonly size: number;
  /**
   * Fills all of `into` from `position` on.
   * @throws DataError TRUNCATED_FILE where the source ends before that.
   */
  read(position: number, into: Uint8Array): Promise<void>;
}

/** A folder, and one file in it where the URI names a file. */
export interface Location {
  readonly uri: string;
  /** Name inside the folder; absent where the URI names the folder itself. */
  readonly file?: string;
  /** Full path or URI of a name in the folder, for messages. */
  path(name: string): string;
  /** True where the folder holds a file of this name. */
  has(name: string): Promise<boolean>;
  /** Names of all files beneath, relative, with '/', sorted. */
  list(): Promise<readonly string[]>;
  /** @throws DataError MISSING_FILE */
  open(name: string): Promise<ByteSource>;
}

/** The bytes [position, position + length), in memory of their own. */
export async function readBytes(source: ByteSource, position: number, length: number): Promise<Uint8Array> {
  requireRange(source, position, length);
  const bytes = new Uint8Array(length);
  await source.read(position, bytes);
  return bytes;
}

/** Refuses a range past the end before anything is allocated for it. */
export function requireRange(source: ByteSource, position: number, length: number): void {
  if (position + length <= source.size) return;
  throw new DataError(
    'TRUNCATED_FILE',
    `${source.name}: expected ${length} bytes at byte ${position}, got a file of ${source.size} bytes`,
  );
}

/** Bytes that are in memory already. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(position, into) {
      requireRange(this, position, into.length);
      into.set(bytes.subarray(position, position + into.length));
    },
    async [Symbol.asyncDispose]() {},
  };
}
