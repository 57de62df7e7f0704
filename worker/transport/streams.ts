// One way of a stream, as each end sees it. No transport.
import type { RuntimeError } from '../protocol/errors.ts';
import type { Lease } from './frames.ts';

/**
 * The writing half of a server stream. Writes after the end are dropped. Messages must stay unchanged until the peer has reacted to
 * them: what waits is only referred to. A peer that takes nothing while messages wait loses its connection.
 */
export interface Outbox<T> {
  write(message: T): void;
  end(): void;
  fail(error: RuntimeError): void;
  /** Called once when the peer is gone or the stream has ended. */
  onClose(listener: () => void): void;
}

/** A client stream. `onMessage` may throw: the stream then fails with that error. */
export interface Inbox<T> {
  /** The memory of a message serves another one afterwards unless its lease is kept. */
  onMessage(listener: (message: T, lease: Lease) => void): void;
  onClose(listener: () => void): void;
  fail(error: RuntimeError): void;
}

/** A stream that we read: ends once, with or without an error. */
export interface Incoming<T> {
  /** Where a lease comes with a message, the memory of the message serves another one afterwards unless it is kept. */
  onMessage(listener: (message: T, lease?: Lease) => void): void;
  onEnd(listener: (error: RuntimeError | undefined) => void): void;
  cancel(): void;
}

/**
 * A stream that we write. Messages must stay unchanged until the peer has reacted to them: what waits is only referred to. A stream
 * that stands still while messages wait fails with STREAM_STUCK.
 */
export interface Outgoing<T> {
  /** `taken` is called when the message may change; never where the stream fails before. */
  write(message: T, taken?: () => void): void;
  /** Says that no more will come; resolves when the peer has taken everything. */
  finish(): Promise<void>;
  onFailure(listener: (error: RuntimeError) => void): void;
  cancel(): void;
}
