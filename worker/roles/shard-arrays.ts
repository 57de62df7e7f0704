// The numbers of one shard: two versions of its parameters, the sum of gradients, the optimizer's slots. No protocol.
import type { Engine, Optimizer, OptimizerSpec } from '../../native/engine.ts';
import { type Chunk, NORM_BLOCK, type Shard } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';

export interface ShardArraysOptions {
  readonly shard: Shard;
  /** End of the trainable region in the arena. */
  readonly trainableLength: number;
  readonly optimizer: OptimizerSpec;
  readonly clipValue?: number | undefined;
}

/** A copy of all that a checkpoint keeps of a shard. */
export interface ShardCopy {
  readonly from: number;
  readonly to: number;
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

/**
 * Version v of the parameters lies in array v mod 2: a chunk's step s stays readable until step s + 2 is made, which is
 * when every worker has got past s. Positions inside are those of the arena minus `shard.from`.
 */
export class ShardArrays {
  readonly shard: Shard;
  readonly #engine: Engine;
  readonly #clipValue: number | undefined;
  readonly #trainable: number;
  readonly #versions: readonly [Float32Array, Float32Array];
  readonly #sum: Float32Array;
  readonly #optimizer: Optimizer;
  /** Chunk -> rank -> bytes that wait for their turn. */
  readonly #held = new Map<number, Map<number, Uint8Array>>();

  constructor(engine: Engine, options: ShardArraysOptions) {
    const { shard, trainableLength, optimizer, clipValue } = options;
    const length = shard.to - shard.from;
    this.shard = shard;
    this.#engine = engine;
    this.#clipValue = clipValue;
    this.#trainable = Math.max(0, Math.min(shard.to, trainableLength) - shard.from);
    this.#versions = [new Float32Array(length), new Float32Array(length)];
    this.#sum = new Float32Array(length);
    this.#optimizer = engine.createOptimizer(optimizer, this.#trainable);
  }

  get sizeBytes(): number {
    return this.#sum.byteLength;
  }

  chunk(index: number): Chunk | undefined {
    return this.shard.chunks[index - (this.shard.chunks[0]?.index ?? 0)];
  }

  /** Throws BAD_MESSAGE when the data cannot be this chunk's. */
  checkSize(index: number, data: Uint8Array): void {
    const chunk = this.chunk(index);
    if (!chunk) return; // the exchange refuses it with the reason
    const expected = 4 * (chunk.to - chunk.from);
    if (data.byteLength !== expected)
      throw new RuntimeError(
        'BAD_MESSAGE',
        `data of chunk ${index}: expected ${expected} bytes, got ${data.byteLength}`,
      );
  }

  hold(index: number, rank: number, data: Uint8Array): void {
    const held = this.#held.get(index) ?? new Map<number, Uint8Array>();
    this.#held.set(index, held);
    held.set(rank, data);
  }

  accumulate(index: number, rank: number, weight: number, first: boolean): void {
    const [from, to] = this.#range(index);
    if (first) this.#sum.fill(0, from, to);
    const data = this.#held.get(index)?.get(rank);
    this.#held.get(index)?.delete(rank);
    if (data && weight > 0) this.#engine.accumulate(this.#sum, from, data, weight);
  }

  /** Makes version step + 1 of a chunk. */
  update(index: number, step: number, scale: number, learningRate: number): void {
    const [from, to] = this.#range(index);
    const old = this.#version(step);
    const next = this.#version(step + 1);
    if (this.chunk(index)!.state) {
      // The workers' mean replaces the state; without any sample it stays.
      for (let at = from; at < to; at++) next[at] = scale > 0 ? this.#sum[at]! * scale : old[at]!;
      return;
    }
    next.set(old.subarray(from, to), from);
    if (scale === 0) return;
    this.#optimizer.update(next, this.#sum, from, to, {
      learningRate,
      iteration: step + 1,
      scale,
      ...(this.#clipValue === undefined ? {} : { clipValue: this.#clipValue }),
    });
  }

  /** Sums of squares of the trainable blocks, of the gradient times `scale`. */
  squares(scale: number): number[] {
    const blocks: number[] = [];
    for (let at = 0; at < this.#trainable; at += NORM_BLOCK) {
      const to = Math.min(at + NORM_BLOCK, this.#trainable);
      blocks.push(this.#engine.sumOfSquares(this.#sum, at, to) * scale * scale);
    }
    return blocks;
  }

  /** Live bytes of a chunk's version. */
  bytes(index: number, step: number): Uint8Array {
    const [from, to] = this.#range(index);
    const version = this.#version(step);
    return new Uint8Array(version.buffer, version.byteOffset + 4 * from, 4 * (to - from));
  }

  write(index: number, step: number, data: Uint8Array): void {
    this.bytes(index, step).set(data);
  }

  copy(step: number): ShardCopy {
    const tensors: Record<string, Float32Array> = { parameters: this.#version(step).slice() };
    for (const [name, slot] of Object.entries(this.#optimizer.slots)) tensors[`slot.${name}`] = slot.slice();
    return { from: this.shard.from, to: this.shard.to, tensors };
  }

  /** Takes what overlaps with this shard: a checkpoint may have been cut differently. */
  restore(copy: ShardCopy, step: number): void {
    const targets: Record<string, Float32Array> = { parameters: this.#version(step) };
    for (const [name, slot] of Object.entries(this.#optimizer.slots)) targets[`slot.${name}`] = slot;
    for (const [name, target] of Object.entries(targets)) {
      const source = copy.tensors[name];
      if (!source)
        throw new RuntimeError(
          'CHECKPOINT_MISMATCH',
          `checkpoint: expected a tensor ${name}, as this optimizer keeps`,
        );
      const from = Math.max(copy.from, this.shard.from);
      const to = Math.min(copy.from + source.length, this.shard.from + target.length);
      if (to > from) target.set(source.subarray(from - copy.from, to - copy.from), from - this.shard.from);
    }
  }

  #version(step: number): Float32Array {
    return this.#versions[step % 2 === 0 ? 0 : 1];
  }

  #range(index: number): [number, number] {
    const chunk = this.chunk(index)!;
    return [chunk.from - this.shard.from, chunk.to - this.shard.from];
  }
}
