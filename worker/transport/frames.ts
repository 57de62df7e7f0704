// gRPC's messages in a stream of bytes: what comes is copied once, into memory that serves again; what goes is not copied at all.
import { status } from '@grpc/grpc-js';
import { RefusedCall } from './status.ts';
import { type MessageType, PREFIX_BYTES } from './wire.ts';

/** Messages of about the same size serve each other's memory. */
const GRAIN_BYTES = 4096;
/**
 * What nobody uses is kept for the next message up to here. No more than were needed at once: a step of 100 MiB whose workers are out of
 * step. What is thrown away costs a garbage collection every 64 MiB.
 */
const SPARE_BUFFERS = 256;

/** Memory that has held messages and may hold others. */
export class SpareBuffers {
  readonly #spare: Buffer[] = [];

  take(bytes: number): Buffer {
    const found = this.#spare.findLastIndex(
      ({ length }) => length >= bytes && length <= 2 * bytes + GRAIN_BYTES,
    );
    if (found < 0) return Buffer.allocUnsafeSlow(Math.ceil(bytes / GRAIN_BYTES) * GRAIN_BYTES);
    return this.#spare.splice(found, 1)[0]!;
  }

  give(buffer: Buffer): void {
    if (this.#spare.length === SPARE_BUFFERS) this.#spare.shift();
    this.#spare.push(buffer);
  }
}

/** The memory that a message lies in. It serves the next message when the listener returns, unless that has kept it. */
export class Lease {
  readonly #spare: SpareBuffers;
  #buffer: Buffer | undefined;
  #kept = false;

  constructor(spare: SpareBuffers, buffer: Buffer) {
    this.#spare = spare;
    this.#buffer = buffer;
  }

  /** Until `release`; without one it is garbage when nobody refers to the message any more. */
  keep(): void {
    this.#kept = true;
  }

  release(): void {
    if (this.#buffer) this.#spare.give(this.#buffer);
    this.#buffer = undefined;
  }

  returned(): void {
    if (!this.#kept) this.release();
  }
}

export interface FramesOptions<T extends object> {
  readonly type: Pick<MessageType<T>, 'parse'>;
  readonly spare: SpareBuffers;
  readonly maxBytes: number;
  readonly onMessage: (message: T, lease: Lease) => void;
}

/** The messages of one stream. `take` throws what is wrong with them; the stream is then of no use any more. */
export class Frames<T extends object> {
  readonly #options: FramesOptions<T>;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixBytes = 0;
  #message: Buffer | undefined;
  #length = 0;
  #filled = 0;

  constructor(options: FramesOptions<T>) {
    this.#options = options;
  }

  /** A message has begun with what was taken last. */
  begins = false;

  /** That are held of a message which is not complete. */
  get unfinishedBytes(): number {
    return this.#message ? PREFIX_BYTES + this.#filled : this.#prefixBytes;
  }

  take(data: Buffer): void {
    this.begins = false;
    for (let at = 0; at < data.length; ) {
      at += this.#message ? this.#fill(this.#message, data, at) : this.#begin(data, at);
      if (this.#message && this.#filled === this.#length) this.#end(this.#message);
    }
  }

  #begin(data: Buffer, at: number): number {
    const taken = data.copy(this.#prefix, this.#prefixBytes, at, at + PREFIX_BYTES - this.#prefixBytes);
    this.#prefixBytes += taken;
    if (this.#prefixBytes < PREFIX_BYTES) return taken;
    this.#prefixBytes = 0;
    this.begins = true;
    const { maxBytes, spare } = this.#options;
    const length = this.#prefix.readUInt32BE(1);
    if (length > maxBytes)
      throw new RefusedCall(
        status.RESOURCE_EXHAUSTED,
        `message: expected ${maxBytes} bytes at most, got ${length}`,
      );
    if (this.#prefix[0] !== 0)
      throw new RefusedCall(status.UNIMPLEMENTED, 'message: expected it uncompressed, got it compressed');
    this.#message = spare.take(length);
    this.#length = length;
    this.#filled = 0;
    return taken;
  }

  #fill(message: Buffer, data: Buffer, at: number): number {
    const taken = data.copy(
      message,
      this.#filled,
      at,
      Math.min(data.length, at + this.#length - this.#filled),
    );
    this.#filled += taken;
    return taken;
  }

  #end(message: Buffer): void {
    this.#message = undefined;
    const { type, spare, onMessage } = this.#options;
    const lease = new Lease(spare, message);
    try {
      onMessage(type.parse(message.subarray(0, this.#length)), lease);
    } finally {
      lease.returned();
    }
  }
}

/** A message that is nothing but its prefix: one without any field. */
export const EMPTY_FRAME = Buffer.alloc(PREFIX_BYTES);
