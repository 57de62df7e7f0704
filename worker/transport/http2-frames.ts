// HTTP/2's frames (RFC 9113): told apart in bytes that come in any pieces, and the few that we write ourselves. No sockets.

export const HEADER_BYTES = 9;
/** Of the calling end, before its first frame. */
export const PREFACE_BYTES = 24;
export const TYPE = { data: 0, headers: 1, settings: 4, windowUpdate: 8, continuation: 9 } as const;
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;
const SETTING = { initialWindowSize: 4, maxFrameSize: 5 } as const;
export const MOST_WINDOW = 2 ** 31 - 1;

export interface Frame {
  type: number;
  flags: number;
  stream: number;
  length: number;
}

/** What a peer's settings let us send: before more windows of a stream, and in one frame. */
export interface Bounds {
  readonly window: number;
  readonly size: number;
}

interface Sink {
  preface(bytes: Buffer): void;
  begin(frame: Frame, header: Buffer): void;
  content(frame: Frame, bytes: Buffer): void;
  end(frame: Frame): void;
}

/** Tells frames apart in a stream of bytes that comes in any pieces. */
export class FrameReader {
  readonly #sink: Sink;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #prefaceBytes: number;
  #frame: Frame | undefined;
  #left = 0;

  constructor(prefaceBytes: number, sink: Sink) {
    this.#prefaceBytes = prefaceBytes;
    this.#sink = sink;
  }

  /** Nothing has begun that has not ended. */
  get isBetween(): boolean {
    return this.#prefaceBytes === 0 && this.#headerBytes === 0 && !this.#frame;
  }

  take(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#prefaceBytes > 0) at += this.#preface(bytes.subarray(at));
      else if (this.#frame) at += this.#content(this.#frame, bytes.subarray(at));
      else at += this.#begin(bytes, at);
      if (!this.#frame || this.#left > 0) continue;
      const ended = this.#frame;
      this.#frame = undefined;
      this.#sink.end(ended);
    }
  }

  #preface(bytes: Buffer): number {
    const taken = bytes.subarray(0, this.#prefaceBytes);
    this.#prefaceBytes -= taken.length;
    this.#sink.preface(taken);
    return taken.length;
  }

  #begin(bytes: Buffer, at: number): number {
    const taken = bytes.copy(this.#header, this.#headerBytes, at, at + HEADER_BYTES - this.#headerBytes);
    this.#headerBytes += taken;
    if (this.#headerBytes < HEADER_BYTES) return taken;
    this.#headerBytes = 0;
    this.#frame = {
      length: this.#header.readUIntBE(0, 3),
      type: this.#header[3]!,
      flags: this.#header[4]!,
      stream: this.#header.readUInt32BE(5) & MOST_WINDOW,
    };
    this.#left = this.#frame.length;
    this.#sink.begin(this.#frame, this.#header);
    return taken;
  }

  #content(frame: Frame, bytes: Buffer): number {
    const taken = bytes.subarray(0, this.#left);
    this.#left -= taken.length;
    this.#sink.content(frame, taken);
    return taken.length;
  }
}

/** What settings do not name stays as it was. */
export function bounds(settings: Buffer, before: Bounds): Bounds {
  let { window, size } = before;
  for (let at = 0; at + 6 <= settings.length; at += 6) {
    const value = settings.readUInt32BE(at + 2);
    if (settings.readUInt16BE(at) === SETTING.initialWindowSize) window = Math.min(value, MOST_WINDOW);
    if (settings.readUInt16BE(at) === SETTING.maxFrameSize) size = Math.min(value, 2 ** 24 - 1);
  }
  return { window, size };
}

export function headerOf({ type, flags, stream, length }: Frame): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUIntBE(length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return header;
}

export function updateOf(stream: number, bytes: number): Buffer {
  const update = Buffer.allocUnsafe(HEADER_BYTES + 4);
  headerOf({ type: TYPE.windowUpdate, flags: 0, stream, length: 4 }).copy(update);
  update.writeUInt32BE(bytes, HEADER_BYTES);
  return update;
}
