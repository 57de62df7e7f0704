// Turns compressed bytes into plain ones: small results in memory, large ones in a temporary file, bombs refused.
import type { Transform } from 'node:stream';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DataError } from '../errors.ts';
import { type ByteSource, memorySource, readBytes } from './byte-source.ts';
import { createTemporaryFile, type TemporaryFile } from './file.ts';

/** Results up to this size stay in memory. */
const MEMORY_BYTES = 64 * 2 ** 20;
/** Past MEMORY_BYTES, a result more than this many times its packed size is taken for a bomb. Images pack 1.5 to 20 times. */
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

/** Collects chunks in memory and moves to a temporary file once they are many. */
class Sink {
  #name: string;
  #limit: number;
  #size = 0;
  #held: Uint8Array[] = [];
  #file: TemporaryFile | undefined;

  constructor(name: string, limit: number) {
    this.#name = name;
    this.#limit = limit;
  }

  async add(chunk: Uint8Array): Promise<void> {
    const at = this.#size;
    this.#size += chunk.length;
    if (this.#size > this.#limit) {
      throw new DataError(
        'TOO_LARGE',
        `${this.#name}: expected at most ${this.#limit} unpacked bytes, got more (a damaged file or a zip bomb)`,
      );
    }
    if (this.#file) return this.#file.write(at, chunk);
    this.#held.push(chunk);
    if (this.#size > MEMORY_BYTES) await this.#spill();
  }

  async #spill(): Promise<void> {
    this.#file = await createTemporaryFile();
    await this.#file.write(0, Buffer.concat(this.#held));
    this.#held = [];
  }

  finish(): ByteSource {
    if (this.#file) return this.#file.source(this.#name, this.#size);
    return memorySource(this.#name, Buffer.concat(this.#held));
  }

  async discard(): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
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
