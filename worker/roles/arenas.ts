// A worker's memory of one session: two versions of the parameters, version v in place v mod 2, and its gradients. What a server
// on the same host owns is seen where it lies; the rest is written here. Sends nothing.
import type { ArenaLayout, Engine, Memory, PagedArena, Segment } from '../../native/engine.ts';
import { type Chunk, type Shard, strideOf } from '../protocol/chunks.ts';
import type { SharedMemory } from '../transport/messages.ts';
import { openShared, segmentOf, sharedAs } from './shared-memory.ts';

export class Arenas {
  /** Of a session of its own, so that what a server still reads of an older one stays as it was. */
  readonly gradients: Memory;
  readonly #versions: readonly [PagedArena, PagedArena];
  readonly #engine: Engine;
  readonly #segment: Segment | undefined;

  constructor(engine: Engine, { length }: ArenaLayout, sharedMemory: boolean) {
    this.#engine = engine;
    this.#segment = sharedMemory ? segmentOf(engine, length) : undefined;
    this.gradients = this.#segment ?? engine.createArena(length);
    this.#versions = [engine.createArena(length), engine.createArena(length)];
  }

  /** Where servers of this host see the gradients; undefined where they cannot. */
  get shared(): SharedMemory | undefined {
    return sharedAs(this.#engine, this.#segment);
  }

  parameters(step: number): PagedArena {
    return this.#versions[step % 2 === 0 ? 0 : 1];
  }

  /** From now on the server's shard is seen in both versions, and never written. False where it cannot be seen. */
  see(shard: Shard, shared: SharedMemory): boolean {
    const stride = strideOf(shard);
    const segment = openShared(this.#engine, shared, 2 * stride);
    if (!segment) return false;
    this.#versions.forEach((version, place) => {
      version.lay(shard.from, segment, place * stride, shard.to - shard.from);
    });
    return true;
  }

  gradientBytes(chunk: Chunk): Uint8Array {
    return bytesOf(this.gradients, chunk);
  }

  parameterBytes(chunk: Chunk, step: number): Uint8Array {
    return bytesOf(this.parameters(step), chunk);
  }
}

function bytesOf({ values }: Memory, { from, to }: Chunk): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset + 4 * from, 4 * (to - from));
}
