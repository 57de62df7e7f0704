// Collects bytes that come one after the other: in memory while they are few, then in a nameless temporary file.
import { DataError } from '../errors.ts';
import { type ByteSource, memorySource } from './byte-source.ts';
import { createTemporaryFile, type TemporaryFile } from './file.ts';

/** Results up to this size stay in memory. */
export const MEMORY_BYTES = 64 * 2 ** 20;

export class Sink {
  readonly #name: string;
  readonly #limit: number;
  #size = 0;
  readonly #held: Uint8Array[] = [];
  #file: TemporaryFile | undefined;

  constructor(name: string, limit = Number.MAX_SAFE_INTEGER) {
    this.#name = name;
    this.#limit = limit;
  }

  /** Keeps `chunk` itself: the caller must not write to it again. @throws DataError TOO_LARGE past the limit. */
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
    let at = 0;
    for (const chunk of this.#held.splice(0)) {
      await this.#file.write(at, chunk);
      at += chunk.length;
    }
  }

  finish(): ByteSource {
    if (this.#file) return this.#file.source(this.#name, this.#size);
    return memorySource(this.#name, Buffer.concat(this.#held));
  }

  async discard(): Promise<void> {
    await this.#file?.[Symbol.asyncDispose]();
  }
}
