// What one listener holds at most for all who are connected, strangers and broken peers among them: connections, calls, bytes of
// messages that never end. Knows no meaning of anything.
import { constants, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { PREFIX_BYTES } from './wire.ts';

export interface LimitsOptions {
  /** Processes that may be connected at once. */
  readonly peers: number;
  readonly chunkBytes: number;
  /** In which a connection must prove by a call that it belongs here; none where certificates have proven it before. */
  readonly proofMs?: number | undefined;
}

const MiB = 2 ** 20;
/** For the status of a call that was refused to be heard; what the peer says after it is not. */
const FAREWELL_MS = 1000;
/** Calls that one connection may begin: a burst for a whole job that starts anew, then the rate. A worker needs some five a second. */
const CALL_BURST = 400;
const CALLS_PER_SECOND = 100;

export class Limits {
  readonly #peers: number;
  readonly #unfinishedBytes: number;
  readonly #proofMs: number | undefined;
  readonly #calls = new Set<ServerHttp2Stream>();
  /** Bytes that are held of messages which are not complete; who began first comes first. */
  readonly #unfinished = new Map<ServerHttp2Stream, number>();
  #heldBytes = 0;
  readonly #counted = new WeakSet<ServerHttp2Stream>();
  readonly #unproven = new Map<string, NodeJS.Timeout>();

  constructor({ peers, chunkBytes, proofMs }: LimitsOptions) {
    this.#peers = peers;
    // Two chunks of every peer may be under way, and what coordination says.
    this.#unfinishedBytes = 16 * MiB + 2 * peers * chunkBytes;
    this.#proofMs = proofMs;
  }

  /** A peer needs one push, one pull and a few calls at a time, on four connections; twice that while it comes back. */
  get atOnce(): number {
    return 16 + 8 * this.#peers;
  }

  /** `socketOf`: whose address the other end has. */
  watch(
    server: Http2Server,
    socketOf: (session: ServerHttp2Session) => Address = ({ socket }) => socket,
  ): void {
    server.maxConnections = this.atOnce;
    server.on('session', (session: ServerHttp2Session) =>
      this.#watchSession(session, addressOf(socketOf(session))),
    );
  }

  /** Who reads the call says what is held of it, from its begin on. */
  counted(stream: ServerHttp2Stream): void {
    this.#counted.add(stream);
    stream.once('close', () => this.#hold(stream, 0));
  }

  /** So many bytes of a message that is not complete; `begins`: with the last data. */
  holds(stream: ServerHttp2Stream, bytes: number, begins: boolean): void {
    if (begins) this.#hold(stream, 0);
    if (!stream.closed && !stream.destroyed) this.#hold(stream, bytes);
  }

  /** The peer at this address belongs to the job. */
  proven(address: string): void {
    clearTimeout(this.#unproven.get(address));
    this.#unproven.delete(address);
  }

  close(): void {
    for (const timer of this.#unproven.values()) clearTimeout(timer);
    this.#unproven.clear();
  }

  #watchSession(session: ServerHttp2Session, address: string): void {
    if (this.#proofMs !== undefined) {
      const timer = setTimeout(() => session.destroy(), this.#proofMs).unref();
      this.#unproven.set(address, timer);
      session.once('close', () => this.proven(address));
    }
    let allowance = CALL_BURST;
    let lastMs = performance.now();
    session.on('stream', (stream: ServerHttp2Stream) => {
      const nowMs = performance.now();
      allowance = Math.min(CALL_BURST, allowance + ((nowMs - lastMs) * CALLS_PER_SECOND) / 1000);
      lastMs = nowMs;
      if (--allowance < 0) session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else this.#watchCall(stream);
    });
  }

  #watchCall(stream: ServerHttp2Stream): void {
    if (stream.closed || stream.destroyed) return;
    if (!stream.writableEnded && this.#calls.size >= this.atOnce) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    this.#calls.add(stream);
    const over = (): void => {
      this.#calls.delete(stream);
      this.#hold(stream, 0);
    };
    let farewell: NodeJS.Timeout | undefined;
    stream.once('finish', () => {
      over();
      farewell = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), FAREWELL_MS).unref();
    });
    stream.once('close', () => {
      clearTimeout(farewell);
      over();
    });
    if (this.#counted.has(stream)) return;
    const lengths = new Lengths();
    stream.on('data', (data: Buffer) => {
      const bytes = lengths.read(data);
      // Of a call that was answered, nothing is kept.
      if (stream.writableEnded) return;
      if (lengths.begins) this.#hold(stream, 0);
      this.#hold(stream, bytes);
    });
  }

  #hold(stream: ServerHttp2Stream, bytes: number): void {
    this.#heldBytes += bytes - (this.#unfinished.get(stream) ?? 0);
    if (bytes === 0) this.#unfinished.delete(stream);
    else this.#unfinished.set(stream, bytes);
    if (this.#heldBytes <= this.#unfinishedBytes) return;
    // Whoever means it ends what he began; those who began first do not.
    const [oldest] = this.#unfinished.keys();
    this.#hold(oldest!, 0);
    oldest!.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

/** Follows the lengths of gRPC messages through a stream: how much of the present one has come. */
class Lengths {
  /** The present message began with the last data. */
  begins = false;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixBytes = 0;
  #messageBytes = 0;
  #missingBytes = 0;

  /** Bytes held of a message that is not complete; 0 between messages. */
  read(data: Buffer): number {
    this.begins = false;
    for (let at = 0; at < data.length; ) {
      if (this.#missingBytes > 0) {
        const taken = Math.min(this.#missingBytes, data.length - at);
        this.#missingBytes -= taken;
        at += taken;
      } else {
        this.begins ||= this.#prefixBytes === 0;
        const taken = data.copy(this.#prefix, this.#prefixBytes, at, at + PREFIX_BYTES - this.#prefixBytes);
        this.#prefixBytes += taken;
        at += taken;
        if (this.#prefixBytes < PREFIX_BYTES) break;
        this.#messageBytes = this.#prefix.readUInt32BE(1);
        this.#missingBytes = this.#messageBytes;
      }
      if (this.#missingBytes === 0) this.#prefixBytes = 0;
    }
    if (this.#missingBytes === 0) return this.#prefixBytes;
    return PREFIX_BYTES + this.#messageBytes - this.#missingBytes;
  }
}

export interface Address {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

export function addressOf({ remoteAddress, remotePort }: Address): string {
  return `${remoteAddress} ${remotePort}`;
}
