// Which chunks travel in fewer bytes, and in how few, and what a worker still owes of its gradients. The codecs are the engine's;
// messages and sums are others'.
import { type GradientCodecChoice, onlyEntry } from '../../crds/leptonjob.ts';
import type { CodecName, CodecSpec, Encoder, Engine } from '../../native/engine.ts';
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

/** One session's gradients on their way out. What was not sent yet stays here: a lost session loses it. */
export class GradientEncoder {
  readonly #engine: Engine;
  readonly #codec: GradientCodec;
  readonly #encoder: Encoder;
  readonly #spare = new SpareBuffers();

  constructor(engine: Engine, codec: GradientCodec, trainableLength: number) {
    this.#engine = engine;
    this.#codec = codec;
    this.#encoder = engine.createEncoder(codec, trainableLength);
  }

  /**
   * Of a chunk's gradients; undefined: they go as they are. `flush`: with all that was kept back, in full precision.
   * Throws GRADIENT_NOT_FINITE.
   */
  encode(gradients: Float32Array, chunk: Chunk, step: number, flush: boolean): Encoded | undefined {
    const { from, to, state } = chunk;
    const { codec } = this.#codec;
    if (isCoded(this.#codec, chunk, step) && !flush) {
      const ratio = ratioAt(this.#codec, step);
      const wire = this.#spare.take(this.#engine.encodedBytes(codec, to - from, ratio));
      const data = wire.subarray(0, this.#write(gradients, chunk, step, wire, ratio));
      return { codec, data, done: () => this.#spare.give(wire) };
    }
    if (state || !this.#encoder.residual) return undefined;
    const data = Buffer.allocUnsafe(4 * (to - from));
    this.#encoder.flush(gradients, from, to, data);
    return { codec: '', data };
  }

  #write(gradients: Float32Array, chunk: Chunk, step: number, wire: Uint8Array, ratio: number): number {
    try {
      return this.#encoder.encode(gradients, chunk.from, chunk.to, wire, ratio);
    } catch (cause) {
      if ((cause as { code?: string }).code !== 'ENGINE_NOT_FINITE') throw cause;
      throw gradientNotFinite('gradient', chunk.index, step, cause);
    }
  }
}
