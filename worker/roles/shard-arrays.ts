// The numbers of one shard: two versions of its parameters, the sum of gradients, the optimizer's slots. No protocol.
import type {
  Advance,
  CodecName,
  Engine,
  Optimizer,
  OptimizerSpec,
  Segment,
  UpdateOptions,
  WeightedPart,
} from '../../native/engine.ts';
import { type Chunk, NORM_BLOCK, type Shard, strideOf } from '../protocol/chunks.ts';
import { gradientNotFinite, RuntimeError } from '../protocol/errors.ts';
import type { ExchangeEffect } from '../protocol/exchange-messages.ts';
import type { Lease } from '../transport/frames.ts';
import type { SharedMemory } from '../transport/messages.ts';
import { bytesOf } from './float-bytes.ts';
import { type Encoded, type GradientCodec, mustBeFinite, ratioAt } from './gradient-codec.ts';
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

/** Received contributions to a chunk that may wait for its update. */
const WAITING_PARTS = 2;

/** The values of one chunk, as a worker brought them: little-endian floats, or those of a codec. */
export interface Payload {
  readonly bytes: Uint8Array;
  readonly codec: CodecName | '';
  /** In memory of the worker, who leaves it alone until the step is over; otherwise received, and ours. */
  readonly shared: boolean;
  /** Of received bytes: kept while they are held. */
  readonly lease?: Lease;
}

/** A part of a sum, in floats or in a codec. */
interface Part extends WeightedPart {
  readonly rank: number;
  readonly shared: boolean;
  readonly lease?: Lease | undefined;
}

/** An update that is decided and not made. */
interface Due extends Advance {
  readonly chunk: number;
  readonly step: number;
  readonly parts: readonly Part[];
}

/** How a chunk's answer goes, and how many contributions came so. */
interface Answer {
  readonly codec: CodecName;
  readonly contributions: number;
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
  readonly #sum: Float32Array;
  readonly #optimizer: Optimizer;
  /** Where others may see the versions. */
  readonly #segment: Segment | undefined;
  readonly #snapshot: ShardSnapshot | undefined;
  /** Chunk -> rank -> what waits for its turn. */
  readonly #held = new Map<number, Map<number, Payload>>();
  /** Chunk -> what is still to be added to its sum, in rank order. */
  readonly #parts = new Map<number, Part[]>();
  /** Of one version, of chunks whose answers nobody has seen yet. */
  #due: Due[] = [];
  /** Chunk -> how received contributions to its sum came. */
  readonly #codecs = new Map<number, (CodecName | '')[]>();
  readonly #gradientCodec: GradientCodec | undefined;
  readonly #encodesAnswers: boolean;
  /** Where a codec is used, versions are what workers have of the parameters; these are the parameters. Valid for chunks in `#apart`. */
  readonly #exact: Float32Array;
  readonly #apart = new Set<number>();
  /** Chunk -> its newest version as what was added to the one before. */
  readonly #differences = new Map<number, Encoded & { readonly step: number }>();
  readonly #wires = new Map<number, Buffer>();
  /** Chunks whose sum holds something. */
  readonly #begun = new Set<number>();

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
    this.#sum = new Float32Array(length);
    this.#gradientCodec = gradientCodec;
    this.#encodesAnswers = options.encodesAnswers;
    this.#exact = new Float32Array(gradientCodec ? length : 0);
    this.#optimizer = engine.createOptimizer(optimizer, this.#trainable, {
      place: snapshot?.place,
      threads: options.threads,
    });
  }

  get sizeBytes(): number {
    return this.#sum.byteLength;
  }

  chunk(index: number): Chunk | undefined {
    return this.shard.chunks[index - (this.shard.chunks[0]?.index ?? 0)];
  }

  /** Throws BAD_MESSAGE and GRADIENT_NOT_FINITE, as a contribution of this chunk must be in the job's codec or in none. */
  checkGradient(index: number, rank: number, step: number, { codec, bytes, shared }: Payload): void {
    if (codec === '') {
      this.checkSize(index, bytes);
      // What is shared may change until it is summed, so it is looked at then.
      if (!shared) this.#checkFinite(index, rank, step, bytes);
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

  /** Throws GRADIENT_NOT_FINITE: one such value would be in all parameters for ever. */
  #checkFinite(index: number, rank: number, step: number, data: Uint8Array): void {
    if (this.#engine.allFinite(data)) return;
    throw gradientNotFinite(`gradient of rank ${rank}`, index, step);
  }

  hold(index: number, rank: number, payload: Payload): void {
    const held = this.#held.get(index) ?? new Map<number, Payload>();
    this.#held.set(index, held);
    held.set(rank, payload);
    payload.lease?.keep();
  }

  accumulate(index: number, rank: number, weight: number, first: boolean): void {
    if (first) {
      this.#begun.delete(index);
      this.#parts.set(index, []);
      this.#codecs.set(index, []);
    }
    const payload = this.#held.get(index)?.get(rank);
    this.#held.get(index)?.delete(rank);
    if (!payload) return;
    if (weight > 0) this.#add(index, rank, weight, payload);
    else payload.lease?.release();
  }

  #add(index: number, rank: number, weight: number, { bytes, codec, shared, lease }: Payload): void {
    const parts = this.#parts.get(index)!;
    parts.push({ data: bytes, codec: codec || undefined, weight, rank, shared, lease });
    // Shared memory stays where it is until the update needs it; of received bytes a few wait for it as well, and are added on its way.
    if (shared) return;
    this.#codecs.get(index)!.push(codec);
    if (parts.length > WAITING_PARTS) this.#addParts(index);
  }

  #addParts(index: number): void {
    const [from, to] = this.#range(index);
    const parts = this.#parts.get(index) ?? [];
    if (!this.#begun.has(index)) this.#sum.fill(0, from, to);
    this.#begun.add(index);
    for (const { data, codec, weight, lease } of parts.splice(0)) {
      if (!codec) this.#engine.accumulate(this.#sum, from, data, weight);
      else this.#engine.decodeAccumulate(codec, data, this.#sum, from, to - from, weight);
      lease?.release();
    }
  }

  /** Received bytes were looked at when they came; what is shared can change until it is summed. */
  #checkShared(index: number, step: number, parts: readonly Part[]): void {
    for (const { data, rank, shared } of parts) if (shared) this.#checkFinite(index, rank, step, data);
  }

  /** Version + 1 of a chunk, which is there after `settle`. Throws GRADIENT_NOT_FINITE; the shard is then of no use any more. */
  update({ chunk: index, version: step, iteration, scale, learningRate, share }: ChunkUpdate): void {
    this.#snapshot?.begin(step + 1);
    const [from, to] = this.#range(index);
    const old = this.#version(step);
    const next = this.#version(step + 1);
    const parts = this.#parts.get(index) ?? [];
    if (this.chunk(index)!.state) {
      this.#checkShared(index, step, parts);
      this.#addParts(index);
      // The workers' mean replaces the state, or one worker's replaces its share of it; without any sample it stays.
      const part = scale > 0 ? share : 0;
      for (let at = from; at < to; at++) {
        const mean = this.#sum[at]! * scale;
        next[at] = part === 1 ? mean : old[at]! + part * (mean - old[at]!);
      }
      return;
    }
    const options = {
      learningRate,
      iteration,
      scale,
      ...(this.#clipValue === undefined ? {} : { clipValue: this.#clipValue }),
    };
    const codecs = this.#codecs.get(index) ?? [];
    const codec = this.#encodesAnswers && codecs.every((one) => one === codecs[0]) ? codecs[0] : '';
    if (codec) this.#updateApart(index, step, options, { codec, contributions: codecs.length });
    else if (this.#apart.has(index)) this.#updateTogether(index, step, options);
    else if (scale === 0) this.#stay(index, step);
    else this.#defer(index, step, options);
  }

  /** Several are made together in one call, which more than one thread can share. */
  #defer(chunk: number, step: number, options: UpdateOptions): void {
    if (this.#due[0] && this.#due[0].step !== step) this.settle();
    this.#due.push({ chunk, step, ...this.#take(chunk, options) });
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
    if (first) throw this.#overflow(first.chunk, step, first.parts);
    for (const { parts } of due) for (const { lease } of parts) lease?.release();
  }

  /** A step without any sample. */
  #stay(index: number, step: number): void {
    const [from, to] = this.#range(index);
    this.#version(step + 1).set(this.#version(step).subarray(from, to), from);
    const [slots, next] = [this.#slots(step), this.#slots(step + 1)];
    if (slots !== next) for (const name in slots) next[name]!.set(slots[name]!.subarray(from, to), from);
  }

  /**
   * All received contributions came in a codec: so goes the answer. It carries as many values as they did together, and what it
   * leaves out is in the next difference between the parameters and what workers have.
   */
  #updateApart(index: number, step: number, options: UpdateOptions, { codec, contributions }: Answer): void {
    const [from, to] = this.#range(index);
    const old = this.#version(step);
    if (!this.#apart.has(index)) this.#exact.set(old.subarray(from, to), from);
    this.#apart.add(index);
    this.#updateExact(index, step, options);
    const ratio = Math.min(1, contributions * ratioAt(this.#gradientCodec!, step));
    const wire = this.#wire(index, step + 1, this.#engine.encodedBytes(codec, to - from, ratio));
    const next = this.#version(step + 1);
    const view = this.#follow(index, step) ? next : old;
    const written = mustBeFinite('parameters', index, step + 1, () =>
      this.#engine.encodeDifference(codec, this.#exact, view, next, from, to, wire, ratio),
    );
    this.#differences.set(index, { step: step + 1, codec, data: wire.subarray(0, written) });
  }

  /** Where a version differs from the one before in few values, the memory of the next one becomes this version by those: nothing is copied. */
  #follow(index: number, step: number): boolean {
    const last = this.#differences.get(index);
    if (last?.step !== step || last.codec !== 'topK') return false;
    const [from, to] = this.#range(index);
    this.#engine.decodeAccumulate(last.codec, last.data, this.#version(step + 1), from, to - from, 1);
    return true;
  }

  /** Memory that the answer of two steps before has lain in: as long as a version is readable, so is its answer. */
  #wire(index: number, step: number, bytes: number): Buffer {
    const place = 2 * index + (step % 2);
    const known = this.#wires.get(place);
    if (known && known.length >= bytes) return known;
    const wire = Buffer.allocUnsafeSlow(bytes);
    this.#wires.set(place, wire);
    return wire;
  }

  /** Workers are told the parameters themselves. */
  #updateTogether(index: number, step: number, options: UpdateOptions): void {
    const [from, to] = this.#range(index);
    this.#updateExact(index, step, options);
    this.#version(step + 1).set(this.#exact.subarray(from, to), from);
    this.#apart.delete(index);
    this.#differences.delete(index);
  }

  #updateExact(index: number, step: number, options: UpdateOptions): void {
    if (options.scale === 0) return;
    const range = this.#take(index, options);
    if (this.#optimizer.advance(this.#exact, this.#exact, [range]) !== -1)
      throw this.#overflow(index, step, range.parts);
    for (const { lease } of range.parts) lease?.release();
  }

  /** What came of a chunk, which is nobody else's from here on. */
  #take(index: number, options: UpdateOptions): Advance & { readonly parts: readonly Part[] } {
    const [from, to] = this.#range(index);
    const sum = this.#begun.has(index) ? this.#sum : undefined;
    return { sum, parts: this.#parts.get(index)?.splice(0) ?? [], from, to, options };
  }

  /** Who brought it; nobody where finite values have too large a sum. */
  #overflow(index: number, step: number, parts: readonly Part[]): RuntimeError {
    const culprit = parts.find(({ codec, data }) => !codec && !this.#engine.allFinite(data));
    return gradientNotFinite(culprit ? `gradient of rank ${culprit.rank}` : 'sum of gradients', index, step);
  }

  /** Sums of squares of the trainable blocks, of the gradient times `scale`. */
  squares(step: number, scale: number): number[] {
    for (const { index, state } of this.shard.chunks) {
      if (state) continue;
      this.#checkShared(index, step, this.#parts.get(index) ?? []);
      this.#addParts(index);
    }
    const blocks: number[] = [];
    for (let at = 0; at < this.#trainable; at += NORM_BLOCK) {
      const to = Math.min(at + NORM_BLOCK, this.#trainable);
      blocks.push(this.#engine.sumOfSquares(this.#sum, at, to) * scale * scale);
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
    const difference = this.#differences.get(index);
    return difference?.step === step ? difference : { codec: '', data: this.bytes(index, step) };
  }

  /** Live bytes of a chunk's version. */
  bytes(index: number, step: number): Uint8Array {
    return bytesOf(this.#version(step), ...this.#range(index));
  }

  write(index: number, step: number, data: Uint8Array): void {
    this.bytes(index, step).set(data);
  }

  copy(step: number): ShardCopy {
    const parameters = this.#version(step).slice();
    for (const index of this.#apart) {
      const [from, to] = this.#range(index);
      parameters.set(this.#exact.subarray(from, to), from);
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

  #range(index: number): [number, number] {
    const chunk = this.chunk(index)!;
    return [chunk.from - this.shard.from, chunk.to - this.shard.from];
  }
}
