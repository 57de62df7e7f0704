// Who among those that connect is a client of ours: known by a setting in the first frame of its HTTP/2, which others pass over. Its
// connection is a BulkConnection, on a server of HTTP/2 that listens nowhere; all others go where they would have gone.
import {
  createServer,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { BulkCalls, type BulkCallsOptions } from './bulk-calls.ts';
import { BulkConnection } from './bulk-connection.ts';
import { PREFACE_BYTES } from './http2-frames.ts';
import { keepAlive } from './keep-alive.ts';
import { BULK_SETTING, BULK_SETTINGS, DATA_WINDOW } from './options.ts';
import { readInto } from './socket-reads.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const HEADER_BYTES = 9;
const SETTING_BYTES = 6;
const SETTINGS = 4;

export interface BulkEntranceOptions extends Omit<BulkCallsOptions, 'connectionOf'> {
  /** For what tells who connects. */
  readonly patienceMs: number;
}

/** In front of a server of grpc-js: takes the clients that are ours, and from all others the calls that carry bulk. */
export class BulkEntrance {
  readonly #direct = createServer({ settings: BULK_SETTINGS, maxSessionMemory: Number.MAX_SAFE_INTEGER });
  readonly #connections = new Map<Http2Session, BulkConnection>();
  readonly #calls: BulkCalls;

  constructor(http2: Http2Server, options: BulkEntranceOptions) {
    const { security, limits, patienceMs } = options;
    const connectionOf = (session: Http2Session) => this.#connections.get(session);
    this.#calls = new BulkCalls({ ...options, connectionOf });
    this.#direct.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(DATA_WINDOW));
    this.#direct.on('stream', (...call: Call) => this.#calls.take(...call) || this.#calls.refuse(...call));
    limits.watch(this.#direct, (session) => connectionOf(session)!.socket);
    intercept<Call>(http2, 'stream', (call, goOn) => this.#calls.take(...call) || goOn());
    const event = security.kind === 'token' ? 'connection' : 'secureConnection';
    intercept<[Socket]>(http2, event, ([socket], goOn) =>
      meet(socket, patienceMs, (first, ours) => {
        if (ours) return this.#enter(socket, first);
        socket.unshift(first);
        goOn();
      }),
    );
  }

  /** Calls that are under way end by themselves. */
  close(): void {
    for (const session of this.#connections.keys()) session.close();
  }

  destroy(): void {
    for (const session of this.#connections.keys()) session.destroy();
  }

  #enter(socket: Socket, first: Buffer): void {
    const connection = new BulkConnection(socket, 'listening');
    this.#direct.prependOnceListener('session', (session: ServerHttp2Session) => {
      this.#connections.set(session, connection);
      session.once('close', () => this.#connections.delete(session));
      keepAlive(session);
    });
    this.#direct.emit('connection', connection);
    connection.received(first);
    readInto(socket, connection.received);
  }
}

type Call = [ServerHttp2Stream, IncomingHttpHeaders];

/** `take` comes before those who listen now, and decides whether they hear of it. */
function intercept<T extends unknown[]>(
  http2: Http2Server,
  event: string,
  take: (args: T, goOn: () => void) => void,
): void {
  const theirs = http2.listeners(event);
  http2.removeAllListeners(event);
  http2.on(event, (...args: unknown[]) =>
    take(args as T, () => {
      for (const listener of theirs) listener.apply(http2, args);
    }),
  );
}

/** `known` is called at most once, with all that has come. */
function meet(socket: Socket, patienceMs: number, known: (first: Buffer, ours: boolean) => void): void {
  let first = Buffer.alloc(0);
  const late = setTimeout(() => socket.destroy(), patienceMs).unref();
  const failed = (): void => {}; // 'close' follows
  const over = (): void => {
    clearTimeout(late);
    socket.off('data', take);
    socket.off('error', failed);
    socket.off('close', over);
  };
  const take = (bytes: Buffer): void => {
    first = Buffer.concat([first, bytes]);
    const ours = isOurs(first);
    if (ours === undefined) return;
    socket.pause();
    over();
    known(first, ours);
  };
  socket.on('error', failed);
  socket.on('close', over);
  socket.on('data', take);
}

/** Undefined: too little has come. */
function isOurs(first: Buffer): boolean | undefined {
  const said = first.toString('latin1', 0, PREFACE_BYTES);
  if (!PREFACE.startsWith(said)) return false;
  if (first.length < PREFACE_BYTES + HEADER_BYTES) return undefined;
  const from = PREFACE_BYTES + HEADER_BYTES;
  const end = from + first.readUIntBE(PREFACE_BYTES, 3);
  if (first[PREFACE_BYTES + 3] !== SETTINGS || end > from + 64 * SETTING_BYTES) return false;
  if (first.length < end) return undefined;
  for (let at = from; at + SETTING_BYTES <= end; at += SETTING_BYTES)
    if (first.readUInt16BE(at) === BULK_SETTING) return true;
  return false;
}
