// A worker's memory of one session: two versions of the parameters, version v in place v mod 2, and its gradients. What a server
// on the same host owns is seen where it lies; the rest is written here. Sends nothing.
import type { ArenaLayout, CodecName, Engine, Memory, PagedArena, Segment } from '../../native/engine.ts';
import { type Chunk, type Shard, strideOf } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { SharedMemory } from '../transport/messages.ts';
import { bytesOf } from './float-bytes.ts';
import type { Encoded } from './gradient-codec.ts';
import { openShared, segmentOf, sharedAs } from './shared-memory.ts';

/** A difference as it was sent: the first `bytes` of `memory`, which serves the next one as well. */
interface Added {
  readonly step: number;
  readonly codec: CodecName | '';
  readonly memory: Buffer;
  readonly bytes: number;
}

/** So much longer may the next difference of a chunk be. */
const SLACK_BYTES = 4096;

export class Arenas {
  /** Of a session of its own, so that what a server still reads of an older one stays as it was. */
  readonly gradients: Memory;
  readonly #versions: readonly [PagedArena, PagedArena];
  readonly #engine: Engine;
  readonly #segment: Segment | undefined;
  /** Chunk -> the difference that made its newest version: of the one before, which is where the next one is to be. */
  readonly #added = new Map<number, Added>();

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
    // Both versions are at its beginning; what a server keeps behind them is its own.
    const segment = openShared(this.#engine, shared, Math.max(shared.length, 2 * stride));
    if (!segment) return false;
    this.#versions.forEach((version, place) => {
      version.lay(shard.from, segment, place * stride, shard.to - shard.from);
    });
    return true;
  }

  /** Throws BAD_MESSAGE. */
  write({ index, from, to }: Chunk, step: number, data: Uint8Array): void {
    this.#added.delete(index);
    const target = bytesOf(this.parameters(step).values, from, to);
    if (data.byteLength !== target.byteLength)
      throw new RuntimeError(
        'BAD_MESSAGE',
        `parameters of chunk ${index}: expected ${target.byteLength} bytes, got ${data.byteLength}`,
      );
    target.set(data);
  }

  /**
   * Makes a chunk's version `step` of the version before and what was sent of the difference. Where the difference before is known,
   * both are added to what lies there, two versions old: the same bits, and nothing is copied. Throws BAD_MESSAGE.
   */
  add(chunk: Chunk, step: number, { codec, data }: Encoded): void {
    const { index, from, to } = chunk;
    const last = this.#added.get(index);
    this.#added.delete(index);
    const target = this.parameters(step).values;
    if (last?.step === step - 1) this.#decode(chunk, target, last.codec, last.memory.subarray(0, last.bytes));
    else target.set(this.parameters(step - 1).values.subarray(from, to), from);
    this.#decode(chunk, target, codec, data);
    const bytes = data.byteLength;
    const memory =
      last && last.memory.length >= bytes ? last.memory : Buffer.allocUnsafeSlow(bytes + SLACK_BYTES);
    memory.set(data);
    this.#added.set(index, { step, codec, memory, bytes });
  }

  #decode({ from, to }: Chunk, target: Float32Array, codec: CodecName | '', data: Uint8Array): void {
    try {
      this.#engine.decodeAccumulate(codec as CodecName, data, target, from, to - from, 1);
    } catch (cause) {
      throw new RuntimeError('BAD_MESSAGE', `parameters: ${(cause as Error).message}`, { cause });
    }
  }

  gradientBytes({ from, to }: Chunk): Uint8Array {
    return bytesOf(this.gradients.values, from, to);
  }
}
