// What workers have brought for the chunks of one shard, until an update takes it: what waits for its turn, and the sum in rank order.
// Decides nothing and updates no parameters.
import type { CodecName, Engine, WeightedPart } from '../../native/engine.ts';
import { gradientNotFinite, type RuntimeError } from '../protocol/errors.ts';
import type { Lease } from '../transport/frames.ts';

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
export interface Part extends WeightedPart {
  readonly rank: number;
  readonly shared: boolean;
  readonly lease?: Lease | undefined;
}

/** Where a chunk lies in the shard. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Received contributions to a chunk that may wait for its update. */
const WAITING_PARTS = 2;

export class Contributions {
  readonly #engine: Engine;
  readonly #rangeOf: (chunk: number) => Range;
  readonly #sum: Float32Array;
  /** Chunk -> rank -> what waits for its turn. */
  readonly #held = new Map<number, Map<number, Payload>>();
  /** Chunk -> what is still to be added to its sum, in rank order. */
  readonly #parts = new Map<number, Part[]>();
  /** Chunk -> how received contributions to its sum came. */
  readonly #codecs = new Map<number, (CodecName | '')[]>();
  /** Chunks whose sum holds something. */
  readonly #begun = new Set<number>();

  constructor(engine: Engine, length: number, rangeOf: (chunk: number) => Range) {
    this.#engine = engine;
    this.#rangeOf = rangeOf;
    this.#sum = new Float32Array(length);
  }

  hold(chunk: number, rank: number, payload: Payload): void {
    const held = this.#held.get(chunk) ?? new Map<number, Payload>();
    this.#held.set(chunk, held);
    held.set(rank, payload);
    payload.lease?.keep();
  }

  /** What was held is the next part of the sum. */
  accumulate(chunk: number, rank: number, weight: number, first: boolean): void {
    if (first) {
      this.#begun.delete(chunk);
      this.#parts.set(chunk, []);
      this.#codecs.set(chunk, []);
    }
    const payload = this.#held.get(chunk)?.get(rank);
    this.#held.get(chunk)?.delete(rank);
    if (!payload) return;
    if (weight > 0) this.#add(chunk, rank, weight, payload);
    else payload.lease?.release();
  }

  #add(chunk: number, rank: number, weight: number, { bytes, codec, shared, lease }: Payload): void {
    const parts = this.#parts.get(chunk)!;
    parts.push({ data: bytes, codec: codec || undefined, weight, rank, shared, lease });
    // Shared memory stays where it is until the update needs it; of received bytes a few wait for it as well, and are added on its way.
    if (shared) return;
    this.#codecs.get(chunk)!.push(codec);
    if (parts.length > WAITING_PARTS) this.#addParts(chunk);
  }

  #addParts(chunk: number): void {
    const { from, to } = this.#rangeOf(chunk);
    const parts = this.#parts.get(chunk) ?? [];
    if (!this.#begun.has(chunk)) this.#sum.fill(0, from, to);
    this.#begun.add(chunk);
    for (const { data, codec, weight, lease } of parts.splice(0)) {
      if (!codec) this.#engine.accumulate(this.#sum, from, data, weight);
      else this.#engine.decodeAccumulate(codec, data, this.#sum, from, to - from, weight);
      lease?.release();
    }
  }

  /** How received contributions to the chunk came. */
  codecsOf(chunk: number): readonly (CodecName | '')[] {
    return this.#codecs.get(chunk) ?? [];
  }

  /** What is to be added up, where it is added on the way of an update; nobody else's from here on. */
  take(chunk: number): { readonly sum: Float32Array | undefined; readonly parts: readonly Part[] } {
    const sum = this.#begun.has(chunk) ? this.#sum : undefined;
    return { sum, parts: this.#parts.get(chunk)?.splice(0) ?? [] };
  }

  /**
   * All floats of the shard, of which those of the chunk are the sum. Received bytes were looked at when they came; what is shared can
   * change until it is summed. Throws GRADIENT_NOT_FINITE.
   */
  total(chunk: number, step: number): Float32Array {
    for (const { data, rank, shared } of this.#parts.get(chunk) ?? [])
      if (shared && !this.#engine.allFinite(data))
        throw gradientNotFinite(`gradient of rank ${rank}`, chunk, step);
    this.#addParts(chunk);
    return this.#sum;
  }

  /** Of parts whose sum is not finite: who brought it, or nobody where finite values have too large a sum. */
  blame(parts: readonly Part[], chunk: number, step: number): RuntimeError {
    const culprit = parts.find(({ codec, data }) => !codec && !this.#engine.allFinite(data));
    return gradientNotFinite(culprit ? `gradient of rank ${culprit.rank}` : 'sum of gradients', chunk, step);
  }
}
