// What a server's next process finds of its shard: two versions of the parameters and of the optimizer's state, in a file of memory that
// outlives the process. They are the arrays that the server works on, so nothing is ever copied. No protocol.
import { createHash } from 'node:crypto';
import type { Engine, OptimizerPlace, OptimizerSpec, Segment } from '../../native/engine.ts';
import { PAGE_LENGTH, type Shard, strideOf } from '../protocol/chunks.ts';

export interface ShardSnapshotOptions {
  readonly file: string;
  readonly shard: Shard;
  /** Elements of the shard that the optimizer updates. */
  readonly trainable: number;
  readonly optimizer: OptimizerSpec;
  /** Names all that the numbers follow from: what was kept under another one is of no use. */
  readonly identity: string;
}

const IDENTITY_AT_BYTES = 64;

/**
 * Version v lies in place v mod 2, and a mark says which one a place holds whole. A mark is one aligned word: it is taken away before
 * anything of its place is written and set when all is, so whatever moment the process is killed at, what is marked is whole. Making a
 * version leaves the one before as it is, and begins only when every server has that one: each can go back by one step at least.
 */
export class ShardSnapshot {
  /** The two versions of the parameters are at its beginning. */
  readonly segment: Segment;
  /** Of the optimizer's slots. */
  readonly place: OptimizerPlace;
  /** By place: the step that it holds, plus one; 0: nothing whole. */
  readonly #marks: Int32Array;
  readonly #identity: Uint8Array;
  readonly #expected: Buffer;

  /** Throws ENGINE_MEMORY where there is not enough, or none that can be kept. */
  constructor(engine: Engine, { file, shard, trainable, optimizer, identity }: ShardSnapshotOptions) {
    const slots = Object.keys(engine.createOptimizer(optimizer, 0).slots).length;
    const slotStride = Math.ceil(trainable / PAGE_LENGTH) * PAGE_LENGTH;
    const at = 2 * strideOf(shard);
    const headAt = at + 2 * slots * slotStride;
    this.segment = engine.keepSegment(file, headAt + PAGE_LENGTH);
    this.place = { memory: this.segment, at, stride: slotStride };
    const { buffer, byteOffset } = this.segment.values;
    this.#marks = new Int32Array(buffer, byteOffset + 4 * headAt, 2);
    this.#identity = new Uint8Array(buffer, byteOffset + 4 * headAt + IDENTITY_AT_BYTES, 32);
    this.#expected = createHash('sha256').update(identity).digest();
  }

  /** That are held whole. */
  get steps(): number[] {
    if (!this.#expected.equals(this.#identity)) return [];
    return [...this.#marks].filter((mark) => mark > 0).map((mark) => mark - 1);
  }

  /** From now on the step's place is written. */
  begin(step: number): void {
    if (this.#marks[step % 2] !== 0) Atomics.store(this.#marks, step % 2, 0);
  }

  complete(step: number): void {
    Atomics.store(this.#marks, step % 2, step + 1);
  }

  /** Everybody goes on from this step. */
  keepOnly(step: number): void {
    this.begin(step + 1);
  }

  /** Nothing of what is there counts any more. */
  forget(): void {
    for (const place of [0, 1]) Atomics.store(this.#marks, place, 0);
    this.#identity.set(this.#expected);
  }
}
