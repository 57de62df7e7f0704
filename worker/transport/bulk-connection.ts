// An HTTP/2 connection whose bulk goes past Node's HTTP/2: DATA frames move between the socket and whoever reads or writes a stream,
// through one buffer that is read into again and again, and as large as the peer takes them. Everything else (headers and their
// compression, settings, resets, pings) is Node's. Figures: 0.30 processor seconds a GB instead of 0.66, and no garbage.
import type { Http2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import {
  type Bounds,
  bounds,
  FLAG,
  type Frame,
  FrameReader,
  HEADER_BYTES,
  headerOf,
  MOST_WINDOW,
  PREFACE_BYTES,
  TYPE,
  updateOf,
} from './http2-frames.ts';
import { DATA_WINDOW } from './options.ts';
import { READ_BYTES } from './socket-reads.ts';

const DEFAULT_WINDOW = 65_535;
const DEFAULT_FRAME = 16_384;
/** Node's HTTP/2 still writes small DATA of its own (a request, an empty answer), and knows of this window only. */
const RESERVED_WINDOW = 4096;
/** Taken bytes of which the peer is told together. */
const CREDIT_BYTES = DATA_WINDOW / 16;
/** What comes in the same read as the head of its stream is not known yet to be anybody's. */
const MOST_EARLY_BYTES = 4 * READ_BYTES;
const MOST_EARLY_STREAMS = 16;
/** Node reads no further while its answers are not taken. */
const MOST_WAITING_BYTES = 2 ** 20;
const MOST_SETTINGS_BYTES = 6 * 64;
const NOTHING = Buffer.alloc(0);

/** The bytes of one stream, both ways. */
export interface Lane {
  /** One at a time: the next after `sent`, which is called when the connection has taken the bytes, or cannot. */
  send(pieces: readonly Uint8Array[], sent: (error?: unknown) => void): void;
  /** What the listener gets is overwritten when it returns. */
  receive(listener: (bytes: Buffer) => void): void;
}

/** Of a stream that is Node's altogether. */
export function plainLane(stream: Http2Stream): Lane {
  return {
    send: (pieces, sent) => {
      stream.cork();
      for (const [index, piece] of pieces.entries())
        if (index + 1 < pieces.length) stream.write(piece);
        else stream.write(piece, sent);
      stream.uncork();
    },
    receive: (listener) => void stream.on('data', listener),
  };
}

interface Sending {
  pieces: readonly Uint8Array[];
  sent: ((error?: unknown) => void) | undefined;
}

/** One stream's part of a connection. */
interface Way {
  /** Our HEADERS have left: DATA may follow. */
  begun: boolean;
  /** That the peer has granted beyond its initial window, less what was sent. */
  granted: number;
  sending: Sending | undefined;
  listener: ((bytes: Buffer) => void) | undefined;
  /** Copies of what came before somebody listened. */
  early: Buffer[];
  taken: number;
}

/** What Node's HTTP/2 takes for its socket. */
export class BulkConnection extends Duplex {
  readonly #socket: Socket;
  readonly #ways = new Map<number, Way>();
  readonly #incoming: FrameReader;
  readonly #outgoing: FrameReader;
  /** Settings of the peer that Node has not acknowledged yet. */
  readonly #unsettled: Bounds[] = [];
  #newestBounds: Bounds = { window: DEFAULT_WINDOW, size: DEFAULT_FRAME };
  #initialWindow = DEFAULT_WINDOW;
  #maxFrame = DEFAULT_FRAME;
  #window = DEFAULT_WINDOW - RESERVED_WINDOW;
  #taken = 0;
  /** Of the streams that somebody here has opened. */
  #newest = 0;
  #strangers = 0;
  #earlyBytes = 0;
  /** Of a frame that is read here. */
  #collected: Buffer[] = [];
  /** What is left of a padded frame's data; below 0: it has not said. */
  #unpadded = -1;

  /** Which end of the connection this is: the calling one begins with a preface. */
  constructor(socket: Socket, end: 'calling' | 'listening') {
    super();
    this.#socket = socket;
    this.#incoming = new FrameReader(end === 'listening' ? PREFACE_BYTES : 0, {
      preface: (bytes) => this.#pass(bytes),
      begin: (frame, header) => this.#begin(frame, header),
      content: (frame, bytes) => this.#content(frame, bytes),
      end: (frame) => this.#end(frame),
    });
    this.#outgoing = new FrameReader(end === 'calling' ? PREFACE_BYTES : 0, {
      preface: () => {},
      begin: () => {},
      content: () => {},
      end: ({ type, flags, stream }) => {
        if (type === TYPE.settings && flags & FLAG.ack) this.#settle();
        const ofHead = type === TYPE.headers || type === TYPE.continuation;
        const way = this.#ways.get(stream);
        if (way && ofHead && flags & FLAG.endHeaders) way.begun = true;
      },
    });
    socket.setNoDelay();
    socket.on('error', (error) => this.destroy(error));
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Bytes from the socket, which are overwritten afterwards. */
  readonly received = (bytes: Buffer): void => {
    if (this.destroyed) return;
    try {
      this.#incoming.take(bytes);
    } catch (error) {
      this.destroy(error as Error);
    }
  };

  lane(stream: Http2Stream): Lane {
    stream.resume(); // its end is still heard of there
    const open = (use: (way: Way, id: number) => void): void => {
      if (stream.id === undefined) stream.once('ready', () => use(this.#opened(stream.id!), stream.id!));
      else if (!stream.closed) use(this.#opened(stream.id), stream.id);
    };
    stream.once('close', () => stream.id !== undefined && this.#close(stream.id));
    return {
      send: (pieces, sent) =>
        open((way, id) => {
          way.sending = { pieces, sent };
          this.#send(id, way);
        }),
      receive: (listener) =>
        open((way) => {
          way.listener = listener;
          for (const bytes of way.early.splice(0)) {
            this.#earlyBytes -= bytes.length;
            listener(bytes);
          }
        }),
    };
  }

  override _read(): void {}

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this._writev([{ chunk: bytes }], done);
  }

  /** Done when the socket has taken it: HTTP/2 ends a connection that makes it answer and takes no answers. */
  override _writev(chunks: readonly { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork();
    for (const { chunk } of chunks) {
      this.#outgoing.take(chunk);
      this.#socket.write(chunk);
    }
    this.#socket.write(NOTHING, done);
    this.#socket.uncork();
    this.#sendAll();
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    for (const id of [...this.#ways.keys()]) this.#close(id);
    done(error);
  }

  /** Of a stream that is open or may be about to. */
  #way(id: number): Way {
    const known = this.#ways.get(id);
    if (known) return known;
    if (++this.#strangers > MOST_EARLY_STREAMS) throw new Error('frames of streams that nobody has opened');
    const way: Way = {
      begun: false,
      granted: 0,
      sending: undefined,
      listener: undefined,
      early: [],
      taken: 0,
    };
    this.#ways.set(id, way);
    return way;
  }

  #opened(id: number): Way {
    const way = this.#way(id);
    if (id > this.#newest) this.#strangers--;
    this.#newest = Math.max(this.#newest, id);
    return way;
  }

  /** Whose frames come late. */
  #isClosed(id: number): boolean {
    return id <= this.#newest && !this.#ways.has(id);
  }

  #close(id: number): void {
    const way = this.#ways.get(id);
    if (!way) return;
    this.#ways.delete(id);
    for (const bytes of way.early) this.#earlyBytes -= bytes.length;
    if (way.sending) finish(way.sending, new Error('the stream was closed'));
  }

  #sendAll(): void {
    for (const [id, way] of this.#ways) this.#send(id, way);
  }

  /** As far as the peer's windows let it. */
  #send(id: number, way: Way): void {
    const { sending } = way;
    if (!sending || !way.begun || !this.#outgoing.isBetween) return;
    this.#socket.cork();
    while (sending.pieces.length > 0) {
      const room = Math.min(this.#window, this.#initialWindow + way.granted, this.#maxFrame);
      if (room <= 0) break;
      const [now, later] = cut(sending.pieces, room);
      const length = now.reduce((sum, piece) => sum + piece.byteLength, 0);
      this.#window -= length;
      way.granted -= length;
      sending.pieces = later;
      this.#socket.write(headerOf({ type: TYPE.data, flags: 0, stream: id, length }));
      for (const piece of now) this.#socket.write(piece);
    }
    const isOver = sending.pieces.length === 0;
    if (isOver) {
      way.sending = undefined;
      this.#socket.write(NOTHING, (error) => finish(sending, error));
    }
    this.#socket.uncork();
    // All of it is with the kernel: no need to wait for the next turn of the event loop.
    if (isOver && this.#socket.writableLength === 0) finish(sending);
  }

  #begin(frame: Frame, header: Buffer): void {
    this.#collected = [];
    this.#unpadded = -1;
    const { type, flags, length } = frame;
    if (type === TYPE.settings && (flags & FLAG.ack) === 0 && length > MOST_SETTINGS_BYTES)
      throw new Error(`settings: expected ${MOST_SETTINGS_BYTES} bytes at most, got ${length}`);
    if (type === TYPE.windowUpdate && length !== 4)
      throw new Error(`window update: expected 4 bytes, got ${length}`);
    // Settings are passed on when they are known here: Node may acknowledge them at once.
    if (type === TYPE.settings) this.#collected.push(Buffer.from(header));
    else if (type !== TYPE.data && type !== TYPE.windowUpdate) this.#pass(header);
  }

  #content(frame: Frame, bytes: Buffer): void {
    if (frame.type === TYPE.data) this.#data(frame, bytes);
    else if (frame.type === TYPE.settings || frame.type === TYPE.windowUpdate)
      this.#collected.push(Buffer.from(bytes));
    else this.#pass(bytes);
  }

  #end(frame: Frame): void {
    const { type, flags, stream, length } = frame;
    if (type === TYPE.data) {
      this.#credit(stream, length);
      if (flags & FLAG.endStream)
        this.#pass(headerOf({ type: TYPE.data, flags: FLAG.endStream, stream, length: 0 }));
    } else if (type === TYPE.windowUpdate) this.#granted(stream, Buffer.concat(this.#collected));
    else if (type === TYPE.settings) this.#settings(flags, Buffer.concat(this.#collected));
  }

  #data(frame: Frame, received: Buffer): void {
    const bytes = frame.flags & FLAG.padded ? this.#withoutPadding(frame, received) : received;
    if (this.#isClosed(frame.stream)) return;
    const way = this.#way(frame.stream);
    if (way.listener) {
      way.listener(bytes);
      return;
    }
    this.#earlyBytes += bytes.length;
    if (this.#earlyBytes > MOST_EARLY_BYTES) throw new Error('data of streams that nobody has opened');
    way.early.push(Buffer.from(bytes));
  }

  #withoutPadding({ length }: Frame, received: Buffer): Buffer {
    const first = this.#unpadded < 0;
    if (first) this.#unpadded = length - 1 - received[0]!;
    if (this.#unpadded < 0) throw new Error('data: expected less padding than the frame is long');
    const bytes = received.subarray(first ? 1 : 0).subarray(0, this.#unpadded);
    this.#unpadded -= bytes.length;
    return bytes;
  }

  #credit(id: number, length: number): void {
    const way = this.#ways.get(id);
    if (way) way.taken += length;
    this.#taken += length;
    if (!this.#outgoing.isBetween) return; // the next data is credited with this
    const updates: Buffer[] = [];
    if (way && way.taken >= CREDIT_BYTES) {
      updates.push(updateOf(id, way.taken));
      way.taken = 0;
    }
    if (this.#taken >= CREDIT_BYTES) {
      updates.push(updateOf(0, this.#taken));
      this.#taken = 0;
    }
    if (updates.length > 0) this.#socket.write(Buffer.concat(updates));
  }

  #granted(id: number, payload: Buffer): void {
    const more = payload.readUInt32BE(0) & MOST_WINDOW;
    if (id === 0) this.#window += more;
    else if (!this.#isClosed(id)) this.#way(id).granted += more;
    if (Math.max(this.#window, this.#ways.get(id)?.granted ?? 0) > MOST_WINDOW)
      throw new Error('window update: too large');
    this.#sendAll();
  }

  #settings(flags: number, frame: Buffer): void {
    if (!(flags & FLAG.ack)) {
      const { window, size } = bounds(frame.subarray(HEADER_BYTES), this.#newestBounds);
      this.#newestBounds = { window, size };
      this.#unsettled.push(this.#newestBounds);
      // Less is kept to at once; of more the peer knows by our acknowledgement that we know.
      this.#initialWindow = Math.min(this.#initialWindow, window);
      this.#maxFrame = Math.min(this.#maxFrame, size);
    }
    this.#pass(frame);
  }

  #settle(): void {
    const { window, size } = this.#unsettled.shift() ?? this.#newestBounds;
    this.#initialWindow = Math.min(window, ...this.#unsettled.map((later) => later.window));
    this.#maxFrame = Math.min(size, ...this.#unsettled.map((later) => later.size));
  }

  #pass(bytes: Buffer): void {
    if (this.destroyed || this.push(Buffer.from(bytes)) || this.readableLength <= MOST_WAITING_BYTES) return;
    throw new Error('frames faster than they are answered');
  }
}

/** Once. */
function finish(sending: Sending, error?: unknown): void {
  const { sent } = sending;
  sending.sent = undefined;
  sent?.(error ?? undefined);
}

/** The first `length` bytes, and the others. */
function cut(pieces: readonly Uint8Array[], length: number): [Uint8Array[], Uint8Array[]] {
  const now: Uint8Array[] = [];
  let left = length;
  for (const [index, piece] of pieces.entries()) {
    if (piece.byteLength > left) {
      if (left > 0) now.push(piece.subarray(0, left));
      return [now, [piece.subarray(left), ...pieces.slice(index + 1)]];
    }
    now.push(piece);
    left -= piece.byteLength;
  }
  return [now, []];
}
