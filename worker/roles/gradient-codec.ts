// Which chunks travel in fewer bytes, and in how few, and what a worker still owes of its gradients. The codecs are the engine's;
// messages and sums are others'.
import { type GradientCodecChoice, onlyEntry } from '../../crds/leptonjob.ts';
import type { CodecName, CodecSpec, Encoder, Engine, OptimizerSpec } from '../../native/engine.ts';
import type { Chunk } from '../protocol/chunks.ts';
import { gradientNotFinite } from '../protocol/errors.ts';
import { SpareBuffers } from '../transport/frames.ts';

/** What a job asks for. */
export interface GradientCodec extends CodecSpec {
  /** topK: share of the values that is sent. */
  readonly ratio?: number;
  /** oneBit: steps in full precision; topK: steps in which the share falls to `ratio`. */
  readonly warmupSteps?: number;
}

/** As the manifest says it. */
export function gradientCodecOf(choice: GradientCodecChoice): GradientCodec {
  const [codec, options] = onlyEntry(choice);
  return { codec, ...options };
}

/** The bytes of one chunk: of a codec, or its little-endian floats where `codec` is empty. */
export interface Encoded {
  readonly codec: CodecName | '';
  readonly data: Uint8Array;
  /** To be called when the data is not needed any more: others come to lie there. */
  readonly done?: () => void;
}

/** Smaller chunks stay as they are: they cost little, and are the biases and norms of small nets. */
const LEAST_CODED_LENGTH = 16_384; // 64 KiB
/** Share of the values with which topK's warm-up begins: DGC's 75 % of zeros. */
const FIRST_RATIO = 0.25;

/** In the warm-up the share falls by the same factor every step: 25 %, ..., `ratio`. */
export function ratioAt({ codec, ratio = 0.01, warmupSteps = 0 }: GradientCodec, step: number): number {
  if (codec !== 'topK') return 1;
  if (step >= warmupSteps || ratio >= FIRST_RATIO) return ratio;
  return FIRST_RATIO * (ratio / FIRST_RATIO) ** (step / warmupSteps);
}

function isCoded(
  { codec, warmupSteps = 0 }: GradientCodec,
  { from, to, state }: Chunk,
  step: number,
): boolean {
  if (state || to - from < LEAST_CODED_LENGTH) return false;
  return codec !== 'oneBit' || step >= warmupSteps;
}

/** Of the step or batch whose gradients these are. */
export interface Moment {
  /** The step, or that to which the batch belongs. */
  readonly clock: number;
  readonly learningRate: number;
  /** A checkpoint follows: nothing is kept back. */
  readonly flush: boolean;
}

/** One session's gradients on their way out. What was not sent yet stays here: a lost session loses it. */
export class GradientEncoder {
  readonly #engine: Engine;
  readonly #codec: GradientCodec;
  readonly #encoder: Encoder;
  /** Moves are gradients times the learning rate, not whatever the size of the gradients. */
  readonly #isProportional: boolean;
  readonly #spare = new SpareBuffers();
  /** Chunk -> the newest learning rate that was not 0. */
  readonly #learningRates = new Map<number, number>();
  /** Chunk -> what was kept counts so many times, see `prepare`. */
  readonly #factors = new Map<number, number>();

  constructor(
    engine: Engine,
    codec: GradientCodec,
    trainableLength: number,
    { optimizer }: Pick<OptimizerSpec, 'optimizer'>,
  ) {
    this.#engine = engine;
    this.#isProportional = optimizer === 'sgd';
    this.#codec = codec;
    this.#encoder = engine.createEncoder(codec, trainableLength);
  }

  /**
   * Once a step for every chunk, before it leaves in whatever way: with momentum its gradients become velocities. What was kept will be
   * multiplied by the learning rate of the step that sends it, so it is scaled to the move of the step that it comes from (Zheng et al.
   * 2019, arXiv 1905.10936).
   */
  prepare(gradients: Float32Array, { index, from, to, state }: Chunk, moment: Moment): void {
    if (state) return;
    const { learningRate, flush } = moment;
    const factor = this.#factorOf(index, learningRate);
    this.#factors.set(index, factor);
    this.#encoder.accelerate(gradients, from, to, factor);
    if (flush) this.#encoder.velocity?.fill(0, from, to);
  }

  #factorOf(chunk: number, learningRate: number): number {
    if (!this.#isProportional || learningRate === 0) return 1;
    const before = this.#learningRates.get(chunk) ?? learningRate;
    this.#learningRates.set(chunk, learningRate);
    return before / learningRate;
  }

  /**
   * Of a chunk's gradients; undefined: they go as they are. Before a checkpoint with all that was kept back, in full precision.
   * Throws GRADIENT_NOT_FINITE.
   */
  encode(gradients: Float32Array, chunk: Chunk, { clock, flush }: Moment): Encoded | undefined {
    const { from, to, state } = chunk;
    const { codec } = this.#codec;
    if (isCoded(this.#codec, chunk, clock) && !flush) {
      const ratio = ratioAt(this.#codec, clock);
      const wire = this.#spare.take(this.#engine.encodedBytes(codec, to - from, ratio));
      const data = wire.subarray(0, this.#write(gradients, chunk, clock, wire, ratio));
      return { codec, data, done: () => this.#spare.give(wire) };
    }
    if (state || !this.#encoder.residual) return undefined;
    const data = Buffer.allocUnsafe(4 * (to - from));
    this.#encoder.flush(gradients, from, to, data, this.#factors.get(chunk.index));
    return { codec: '', data };
  }

  #write(gradients: Float32Array, chunk: Chunk, step: number, wire: Uint8Array, ratio: number): number {
    const { index, from, to } = chunk;
    return mustBeFinite('gradient', index, step, () =>
      this.#encoder.encode(gradients, from, to, wire, ratio, this.#factors.get(index)),
    );
  }
}

/** What `encode` gives. Throws GRADIENT_NOT_FINITE; `what` says whose values they are. */
export function mustBeFinite(what: string, chunk: number, step: number, encode: () => number): number {
  try {
    return encode();
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'ENGINE_NOT_FINITE') throw cause;
    throw gradientNotFinite(what, chunk, step, cause);
  }
}
