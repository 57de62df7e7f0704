// The numbers of one shard: two versions of its parameters, and the optimizer that makes the next one of what has come. No protocol.
import type {
  Advance,
  CodecName,
  Engine,
  Optimizer,
  OptimizerSpec,
  Segment,
  UpdateOptions,
} from '../../native/engine.ts';
import { type Chunk, NORM_BLOCK, type Shard, strideOf } from '../protocol/chunks.ts';
import { gradientNotFinite, RuntimeError } from '../protocol/errors.ts';
import type { ExchangeEffect } from '../protocol/exchange-messages.ts';
import type { SharedMemory } from '../transport/messages.ts';
import { CodedAnswers } from './coded-answers.ts';
import { Contributions, type Part, type Payload, type Range } from './contributions.ts';
import { bytesOf } from './float-bytes.ts';
import type { Encoded, GradientCodec } from './gradient-codec.ts';
import type { ShardSnapshot } from './shard-snapshot.ts';
import { segmentOf, sharedAs } from './shared-memory.ts';

export interface ShardArraysOptions {
  readonly shard: Shard;
  /** End of the trainable region in the arena. */
  readonly trainableLength: number;
  readonly optimizer: OptimizerSpec;
  readonly clipValue?: number | undefined;
  /** Whether others on this host may see the parameters. */
  readonly sharedMemory: boolean;
  /** What contributions may come in, and answers then go in. */
  readonly gradientCodec?: GradientCodec | undefined;
  /** Workers have the version before, so that a difference can be sent to them. */
  readonly encodesAnswers: boolean;
  /** That share the updates of several chunks. */
  readonly threads: number;
  /** Memory of the server's next process to work in; not where there is a codec, whose differences it does not hold. */
  readonly snapshot?: ShardSnapshot | undefined;
}

/** How version + 1 of a chunk comes about, as the exchange decides it. */
export type ChunkUpdate = Omit<Extract<ExchangeEffect, { kind: 'update' }>, 'kind'>;

/** An update that is decided and not made. */
interface Due extends Advance {
  readonly chunk: number;
  readonly step: number;
  readonly parts: readonly Part[];
}

/** A copy of all that a checkpoint keeps of a shard. */
export interface ShardCopy {
  readonly from: number;
  readonly to: number;
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

/** Elements of the shard that an optimizer updates. */
export function trainableOf({ from, to }: Shard, trainableLength: number): number {
  return Math.max(0, Math.min(to, trainableLength) - from);
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
  readonly #contributions: Contributions;
  readonly #optimizer: Optimizer;
  /** Where others may see the versions. */
  readonly #segment: Segment | undefined;
  readonly #snapshot: ShardSnapshot | undefined;
  /** Of one version, of chunks whose answers nobody has seen yet. */
  #due: Due[] = [];
  readonly #gradientCodec: GradientCodec | undefined;
  readonly #encodesAnswers: boolean;
  readonly #coded: CodedAnswers | undefined;

  constructor(engine: Engine, options: ShardArraysOptions) {
    const { shard, trainableLength, optimizer, clipValue, sharedMemory, gradientCodec, snapshot } = options;
    const length = shard.to - shard.from;
    this.shard = shard;
    this.#engine = engine;
    this.#clipValue = clipValue;
    this.#trainable = trainableOf(shard, trainableLength);
    const stride = strideOf(shard);
    this.#snapshot = snapshot;
    if (sharedMemory && length > 0) this.#segment = snapshot?.segment ?? segmentOf(engine, 2 * stride);
    const { values: versions } = snapshot?.segment ??
      this.#segment ?? { values: new Float32Array(2 * stride) };
    this.#versions = [versions.subarray(0, length), versions.subarray(stride, stride + length)];
    this.#contributions = new Contributions(engine, length, (index) => this.#range(index));
    this.#gradientCodec = gradientCodec;
    this.#encodesAnswers = options.encodesAnswers;
    if (gradientCodec) this.#coded = new CodedAnswers(engine, gradientCodec, length);
    this.#optimizer = engine.createOptimizer(optimizer, this.#trainable, {
      place: snapshot?.place,
      threads: options.threads,
    });
  }

  get sizeBytes(): number {
    return this.#versions[0].byteLength;
  }

  chunk(index: number): Chunk | undefined {
    return this.shard.chunks[index - (this.shard.chunks[0]?.index ?? 0)];
  }

  /** Throws BAD_MESSAGE and GRADIENT_NOT_FINITE, as a contribution of this chunk must be in the job's codec or in none. */
  checkGradient(index: number, rank: number, step: number, { codec, bytes, shared }: Payload): void {
    if (codec === '') {
      this.checkSize(index, bytes);
      // What is shared may change until it is summed, so it is looked at then.
      if (!shared && !this.#engine.allFinite(bytes))
        throw gradientNotFinite(`gradient of rank ${rank}`, index, step);
      return;
    }
    const chunk = this.chunk(index);
    if (!chunk) return; // the exchange refuses it with the reason
    const ours = this.#gradientCodec?.codec;
    if (codec !== ours || chunk.state)
      throw new RuntimeError(
        'BAD_MESSAGE',
        `gradient of rank ${rank}, chunk ${index}: expected ${chunk.state ? 'floats' : (ours ?? 'floats')}, got ${codec}`,
      );
    if (!this.#engine.isEncoded(codec, bytes, chunk.to - chunk.from))
      throw new RuntimeError(
        'BAD_MESSAGE',
        `gradient of rank ${rank}, chunk ${index}: expected ${chunk.to - chunk.from} values of ${codec}, got ${bytes.byteLength} bytes that are not`,
      );
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

  hold(index: number, rank: number, payload: Payload): void {
    this.#contributions.hold(index, rank, payload);
  }

  accumulate(index: number, rank: number, weight: number, first: boolean): void {
    this.#contributions.accumulate(index, rank, weight, first);
  }

  /** Version + 1 of a chunk, which is there after `settle`. Throws GRADIENT_NOT_FINITE; the shard is then of no use any more. */
  update(update: ChunkUpdate): void {
    const { chunk: index, version: step, iteration, scale, learningRate } = update;
    this.#snapshot?.begin(step + 1);
    if (this.chunk(index)!.state) {
      this.#replaceState(update);
      return;
    }
    const clip = this.#clipValue === undefined ? {} : { clipValue: this.#clipValue };
    const options = { learningRate, iteration, scale, ...clip };
    const codecs = this.#contributions.codecsOf(index);
    const codec = this.#encodesAnswers && codecs.every((one) => one === codecs[0]) ? codecs[0] : '';
    if (codec) this.#updateApart(index, step, options, codec);
    else if (this.#coded?.apart.has(index)) this.#updateTogether(index, step, options);
    else if (scale === 0) this.#stay(index, step);
    else this.#defer(index, step, options);
  }

  /** The workers' mean replaces it, or one worker's replaces its share of it; without any sample it stays. */
  #replaceState({ chunk, version: step, scale, share }: ChunkUpdate): void {
    const { from, to } = this.#range(chunk);
    const old = this.#version(step);
    const next = this.#version(step + 1);
    const sum = this.#contributions.total(chunk, step);
    const part = scale > 0 ? share : 0;
    for (let at = from; at < to; at++) {
      const mean = sum[at]! * scale;
      next[at] = part === 1 ? mean : old[at]! + part * (mean - old[at]!);
    }
  }

  /** Several are made together in one call, which more than one thread can share. */
  #defer(chunk: number, step: number, options: UpdateOptions): void {
    if (this.#due[0] && this.#due[0].step !== step) this.settle();
    this.#due.push({ chunk, step, ...this.#advanceOf(chunk, options) });
  }

  /** Of which `settle` makes the next version; undefined: nothing is due. */
  get dueStep(): number | undefined {
    return this.#due[0]?.step;
  }

  /** Makes what is decided; until then nothing that `update` was told of may be read. Throws GRADIENT_NOT_FINITE as `update` does. */
  settle(): void {
    const due = this.#due;
    if (due.length === 0) return;
    this.#due = [];
    const { step } = due[0]!;
    const first = due[this.#optimizer.advance(this.#version(step + 1), this.#version(step), due)];
    if (first) throw this.#contributions.blame(first.parts, first.chunk, step);
    for (const { parts } of due) for (const { lease } of parts) lease?.release();
  }

  /** A step without any sample. */
  #stay(index: number, step: number): void {
    const { from, to } = this.#range(index);
    this.#version(step + 1).set(this.#version(step).subarray(from, to), from);
    const [slots, next] = [this.#slots(step), this.#slots(step + 1)];
    if (slots !== next) for (const name in slots) next[name]!.set(slots[name]!.subarray(from, to), from);
  }

  /** All received contributions came in a codec: so goes the answer. */
  #updateApart(chunk: number, step: number, options: UpdateOptions, codec: CodecName): void {
    const range = this.#range(chunk);
    const [old, next] = [this.#version(step), this.#version(step + 1)];
    this.#coded!.part(chunk, old, range);
    this.#updateExact(chunk, step, options);
    const contributions = this.#contributions.codecsOf(chunk).length;
    this.#coded!.answer({ chunk, step, codec, contributions, old, next, ...range });
  }

  #updateTogether(chunk: number, step: number, options: UpdateOptions): void {
    this.#updateExact(chunk, step, options);
    this.#coded!.join(chunk, this.#version(step + 1), this.#range(chunk));
  }

  #updateExact(chunk: number, step: number, options: UpdateOptions): void {
    if (options.scale === 0) return;
    const { exact } = this.#coded!;
    const advance = this.#advanceOf(chunk, options);
    if (this.#optimizer.advance(exact, exact, [advance]) !== -1)
      throw this.#contributions.blame(advance.parts, chunk, step);
    for (const { lease } of advance.parts) lease?.release();
  }

  #advanceOf(chunk: number, options: UpdateOptions): Advance & { readonly parts: readonly Part[] } {
    return { ...this.#contributions.take(chunk), ...this.#range(chunk), options };
  }

  /** Sums of squares of the trainable blocks, of the gradient times `scale`. */
  squares(step: number, scale: number): number[] {
    const trained = this.shard.chunks.filter(({ state }) => !state);
    const sums = trained.map(({ index }) => this.#contributions.total(index, step));
    const blocks: number[] = [];
    for (let at = 0; at < this.#trainable; at += NORM_BLOCK) {
      const to = Math.min(at + NORM_BLOCK, this.#trainable);
      blocks.push(this.#engine.sumOfSquares(sums[0]!, at, to) * scale * scale);
    }
    return blocks;
  }

  /** Where other processes of this host see both versions; undefined where they cannot. */
  get shared(): SharedMemory | undefined {
    return sharedAs(this.#engine, this.#segment);
  }

  /** The chunk's part of a whole arena; empty for a foreign chunk. */
  view(index: number, arena: Float32Array): Uint8Array {
    const chunk = this.chunk(index);
    return chunk ? bytesOf(arena, chunk.from, chunk.to) : new Uint8Array(0);
  }

  /** How a worker that has the version before learns this one. */
  news(index: number, step: number): Encoded {
    return this.#coded?.difference(index, step) ?? { codec: '', data: this.bytes(index, step) };
  }

  /** Live bytes of a chunk's version. */
  bytes(index: number, step: number): Uint8Array {
    const { from, to } = this.#range(index);
    return bytesOf(this.#version(step), from, to);
  }

  write(index: number, step: number, data: Uint8Array): void {
    this.bytes(index, step).set(data);
  }

  copy(step: number): ShardCopy {
    const parameters = this.#version(step).slice();
    for (const index of this.#coded?.apart ?? []) {
      const { from, to } = this.#range(index);
      parameters.set(this.#coded!.exact.subarray(from, to), from);
    }
    const tensors: Record<string, Float32Array> = { parameters };
    for (const [name, slot] of Object.entries(this.#slots(step))) tensors[`slot.${name}`] = slot.slice();
    return { from: this.shard.from, to: this.shard.to, tensors };
  }

  /** Takes what overlaps with this shard: a checkpoint may have been cut differently. */
  restore(copy: ShardCopy, step: number): void {
    const targets: Record<string, Float32Array> = { parameters: this.#version(step) };
    for (const [name, slot] of Object.entries(this.#slots(step))) targets[`slot.${name}`] = slot;
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

  /** Steps at which all of the shard is here, a former process's included. */
  get heldSteps(): readonly number[] {
    return this.#snapshot?.steps ?? [];
  }

  /** Everybody goes on from this step: whatever came of it before need not be what comes of it now. */
  keepOnly(step: number): void {
    this.#snapshot?.keepOnly(step);
  }

  /** Whatever is here is of no use any more. */
  forget(): void {
    if (!this.#snapshot) return;
    this.#snapshot.forget();
    // A job that begins anew begins without momentum.
    for (const slots of [this.#slots(0), this.#slots(1)])
      for (const slot of Object.values(slots)) slot.fill(0);
  }

  /** All chunks stand at the step. */
  complete(step: number): void {
    this.#snapshot?.complete(step);
  }

  #slots(step: number): Readonly<Record<string, Float32Array>> {
    return step % 2 === 0 ? this.#optimizer.slots : this.#optimizer.oddSlots;
  }

  #version(step: number): Float32Array {
    return this.#versions[step % 2 === 0 ? 0 : 1];
  }

  #range(index: number): Range {
    const chunk = this.chunk(index)!;
    return { from: chunk.from - this.shard.from, to: chunk.to - this.shard.from };
  }
}
