// The chunks of one shard that workers know as differences: the parameters themselves, and what was sent of each version. Sums nothing.
import type { CodecName, Engine } from '../../native/engine.ts';
import type { Range } from './contributions.ts';
import { type Encoded, type GradientCodec, mustBeFinite, ratioAt } from './gradient-codec.ts';

/** How version `step` + 1 of a chunk is sent. */
export interface Answer extends Range {
  readonly chunk: number;
  readonly step: number;
  readonly codec: CodecName;
  /** That came so. */
  readonly contributions: number;
  /** What workers have, and what they will have: both versions of the whole shard. */
  readonly old: Float32Array;
  readonly next: Float32Array;
}

export class CodedAnswers {
  /** The parameters of the chunks that are `apart`: their versions are what workers have of them. */
  readonly exact: Float32Array;
  readonly #engine: Engine;
  readonly #codec: GradientCodec;
  readonly #apart = new Set<number>();
  /** Chunk -> its newest version as what was added to the one before. */
  readonly #differences = new Map<number, Encoded & { readonly step: number }>();
  readonly #wires = new Map<number, Buffer>();

  constructor(engine: Engine, codec: GradientCodec, length: number) {
    this.#engine = engine;
    this.#codec = codec;
    this.exact = new Float32Array(length);
  }

  get apart(): ReadonlySet<number> {
    return this.#apart;
  }

  /** From now on the chunk's versions are not its parameters, which begin as `version`. */
  part(chunk: number, version: Float32Array, { from, to }: Range): void {
    if (!this.#apart.has(chunk)) this.exact.set(version.subarray(from, to), from);
    this.#apart.add(chunk);
  }

  /** Workers are told the parameters themselves: the chunk's versions are those again. */
  join(chunk: number, version: Float32Array, { from, to }: Range): void {
    version.set(this.exact.subarray(from, to), from);
    this.#apart.delete(chunk);
    this.#differences.delete(chunk);
  }

  /**
   * Makes the version that workers will have. The answer carries as many values as all contributions did together; what it leaves out is
   * in the next difference. Throws GRADIENT_NOT_FINITE.
   */
  answer(given: Answer): void {
    const { chunk, step, codec, contributions, from, to, old, next } = given;
    const ratio = Math.min(1, contributions * ratioAt(this.#codec, step));
    const wire = this.#wire(chunk, step + 1, this.#engine.encodedBytes(codec, to - from, ratio));
    const view = this.#follow(given) ? next : old;
    const written = mustBeFinite('parameters', chunk, step + 1, () =>
      this.#engine.encodeDifference(codec, this.exact, view, next, from, to, wire, ratio),
    );
    this.#differences.set(chunk, { step: step + 1, codec, data: wire.subarray(0, written) });
  }

  /** Where a version differs from the one before in few values, the memory of the next one becomes this version by those: nothing is copied. */
  #follow({ chunk, step, from, to, next }: Answer): boolean {
    const last = this.#differences.get(chunk);
    if (last?.step !== step || last.codec !== 'topK') return false;
    this.#engine.decodeAccumulate(last.codec, last.data, next, from, to - from, 1);
    return true;
  }

  /** Memory that the answer of two steps before has lain in: as long as a version is readable, so is its answer. */
  #wire(chunk: number, step: number, bytes: number): Buffer {
    const place = 2 * chunk + (step % 2);
    const known = this.#wires.get(place);
    if (known && known.length >= bytes) return known;
    const wire = Buffer.allocUnsafeSlow(bytes);
    this.#wires.set(place, wire);
    return wire;
  }

  /** How a worker that has the version before learns this one; undefined: by the whole of it. */
  difference(chunk: number, step: number): Encoded | undefined {
    const difference = this.#differences.get(chunk);
    return difference?.step === step ? difference : undefined;
  }
}
