// Turns compressed bytes into plain ones: small results in memory, large ones in a temporary file, bombs refused.
import type { Transform } from 'node:stream';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '../errors.ts';
import { type ByteSource, readBytes } from './byte-source.ts';
import { MEMORY_BYTES, Sink } from './sink.ts';

/** Past the sink's memory, a result more than this many times its packed size is taken for a bomb. Images pack 1.5 to 20 times. */
const RATIO = 250;
const CHUNK_BYTES = 2 ** 20;

/** The plain bytes of `source`: unpacked where it starts with the gzip magic, otherwise itself. */
export async function plainBytes(source: ByteSource): Promise<ByteSource> {
  const magic = source.size >= 2 ? await readBytes(source, 0, 2) : new Uint8Array(2);
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return source;
  await using packed = source;
  return await unpack(packed, createGunzip(), { limit: Number.MAX_SAFE_INTEGER });
}

export interface UnpackOptions {
  /** The most plain bytes that may come out. */
  readonly limit: number;
  /** Sees every plain chunk in order (checksums). */
  readonly onChunk?: (chunk: Uint8Array) => void;
}

/**
 * Sends all bytes of `source` through `decoder`.
 * @throws DataError TRUNCATED_FILE | CORRUPT_FILE | TOO_LARGE
 */
export async function unpack(
  source: ByteSource,
  decoder: Transform,
  options: UnpackOptions,
): Promise<ByteSource> {
  const limit = Math.min(options.limit, Math.max(MEMORY_BYTES, source.size * RATIO));
  const sink = new Sink(source.name, limit);
  try {
    for await (const chunk of Readable.from(chunks(source))
      .on('error', (e) => decoder.destroy(e))
      .pipe(decoder)) {
      options.onChunk?.(chunk as Uint8Array);
      await sink.add(chunk as Uint8Array);
    }
    return sink.finish();
  } catch (error) {
    await sink.discard();
    throw error instanceof DataError ? error : unpackError(source, error as NodeJS.ErrnoException);
  }
}

async function* chunks(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += CHUNK_BYTES) {
    yield await readBytes(source, at, Math.min(CHUNK_BYTES, source.size - at));
  }
}

function unpackError(source: ByteSource, error: NodeJS.ErrnoException): DataError {
  if (error.code === 'Z_BUF_ERROR') {
    const what = `${source.name}: expected a complete compressed stream, got its end after ${source.size} bytes`;
    return new DataError('TRUNCATED_FILE', what, { cause: error });
  }
  const what = `${source.name}: expected a valid compressed stream, got "${error.message}"`;
  return new DataError('CORRUPT_FILE', what, { cause: error });
}
