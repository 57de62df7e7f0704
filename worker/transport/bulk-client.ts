// The two calls that carry bulk, Push and Pull, at the calling end: gRPC's protocol spoken over HTTP/2 directly, each call on a connection
// of its own. Any gRPC server can answer them. No retries: a call that finds nobody fails.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls } from 'node:tls';
import { RuntimeError } from '../protocol/errors.ts';
import { BulkConnection, type Lane } from './bulk-connection.ts';
import { BulkWriter } from './bulk-writer.ts';
import { EMPTY_FRAME, Frames, type Lease, SpareBuffers } from './frames.ts';
import { PULL_MESSAGE, PUSH_MESSAGE } from './hot-messages.ts';
import { keepAlive } from './keep-alive.ts';
import type { Lookup } from './line.ts';
import type { PullMessage, PullRequest, PushMessage } from './messages.ts';
import { BULK_SETTING, BULK_SETTINGS, DATA_WINDOW, maxMessageBytes } from './options.ts';
import type { PeerOptions } from './peer.ts';
import { callMetadata, identityOf, type Security } from './security.ts';
import { services } from './services.ts';
import { onreadOf } from './socket-reads.ts';
import { errorIn } from './status.ts';
import type { Incoming, Outgoing } from './streams.ts';
import { STUCK_MS, Watchdog } from './watchdog.ts';

/** From the first look at the peer's name to the answer of its HTTP/2: who is there answers a heartbeat or an Attend before. */
const DIAL_MS = 20_000;
/** Of a call that is over: for what the peer still has to say of its end. */
const FAREWELL_MS = 1000;

export class BulkClient {
  readonly #peer: PeerOptions;
  readonly #spare = new SpareBuffers();
  readonly #calls = new Set<BulkCall>();

  constructor(peer: PeerOptions) {
    this.#peer = peer;
  }

  push(): Outgoing<PushMessage> {
    const call = this.#call(services().exchange.service['Push']!.path);
    const { address, stuckMs = STUCK_MS } = this.#peer;
    const done = Promise.withResolvers<void>();
    done.promise.catch(() => {}); // seen by finish() or not at all
    const listeners: ((error: RuntimeError) => void)[] = [];
    let failure: RuntimeError | undefined;
    const watchdog = new Watchdog(stuckMs, (waiting) => {
      const what = `${address}: takes nothing of Push any more while ${waiting} messages wait`;
      call.end(new RuntimeError('STREAM_STUCK', what));
    });
    call.onEnd((error) => {
      watchdog.stop();
      if (!error) return done.resolve();
      failure = error;
      done.reject(error);
      for (const listener of listeners) listener(error);
    });
    call.onData(() => {}); // an empty answer
    const writer = new BulkWriter(call.lane, PUSH_MESSAGE, watchdog);
    return {
      write: (message, taken) => {
        if (!call.isOver) writer.write(message, taken);
      },
      finish: () => {
        if (!call.isOver) writer.end(() => call.stream.end());
        return done.promise;
      },
      onFailure: (listener) => {
        if (failure) listener(failure);
        else listeners.push(listener);
      },
      cancel: () => {
        watchdog.stop();
        call.cancel();
      },
    };
  }

  pull(request: PullRequest): Incoming<PullMessage> {
    const method = services().exchange.service['Pull']!;
    const call = this.#call(method.path);
    const bytes = method.requestSerialize(request);
    const prefix = Buffer.from(EMPTY_FRAME);
    prefix.writeUInt32BE(bytes.length, 1);
    call.stream.end(Buffer.concat([prefix, bytes]));
    let listener: (message: PullMessage, lease: Lease) => void = () => {};
    const frames = new Frames<PullMessage>({
      type: PULL_MESSAGE,
      spare: this.#spare,
      maxBytes: maxMessageBytes(this.#peer.chunkBytes),
      onMessage: (message, lease) => {
        if (!call.isOver) listener(message, lease);
      },
    });
    call.onData((data) => frames.take(data));
    return {
      onMessage: (listens) => {
        listener = listens;
      },
      onEnd: (listens) => call.onEnd(listens),
      cancel: () => call.cancel(),
    };
  }

  close(): void {
    for (const call of this.#calls) call.cancel();
  }

  #call(path: string): BulkCall {
    const call = new BulkCall(this.#peer, path, () => this.#calls.delete(call));
    this.#calls.add(call);
    return call;
  }
}

/** One call and its connection; ends once. */
class BulkCall {
  readonly stream: ClientHttp2Stream;
  readonly lane: Lane;
  readonly #address: string;
  readonly #session: ClientHttp2Session;
  readonly #released: () => void;
  readonly #listeners: ((error: RuntimeError | undefined) => void)[] = [];
  #ended: { readonly error: RuntimeError | undefined } | undefined;
  #over = false;

  constructor(peer: PeerOptions, path: string, released: () => void) {
    this.#address = peer.address;
    this.#released = released;
    const { session, connection } = dial(peer, (error) => this.#lost(error));
    this.#session = session;
    this.stream = session.request(headersOf(peer.security, path), { endStream: false });
    this.lane = connection.lane(this.stream);
    const take = (headers: IncomingHttpHeaders): void => {
      if (headers['grpc-status'] !== undefined) this.end(errorIn(headers, peer.address));
    };
    this.stream.on('response', take);
    this.stream.on('trailers', take);
    this.stream.on('error', (error) => this.#lost(error));
    this.stream.on('close', () => this.#lost(`the call was ended (${this.stream.rstCode})`));
  }

  get isOver(): boolean {
    return this.#over;
  }

  onData(listener: (data: Buffer) => void): void {
    this.lane.receive((data) => {
      if (this.#over) return;
      try {
        listener(data);
      } catch (error) {
        this.end(error instanceof RuntimeError ? error : this.#lostBy(error));
      }
    });
  }

  onEnd(listener: (error: RuntimeError | undefined) => void): void {
    if (this.#ended) listener(this.#ended.error);
    else this.#listeners.push(listener);
  }

  end(error: RuntimeError | undefined): void {
    if (this.#over) return;
    this.#ended = { error };
    this.#release();
    for (const listener of this.#listeners) listener(error);
  }

  /** Nobody hears of it. */
  cancel(): void {
    if (!this.#over) this.#release();
  }

  #release(): void {
    this.#over = true;
    this.#released();
    if (!this.stream.destroyed) this.stream.close(constants.NGHTTP2_CANCEL);
    const forced = setTimeout(() => this.#session.destroy(), FAREWELL_MS).unref();
    this.#session.close(() => clearTimeout(forced));
  }

  #lost(reason: unknown): void {
    this.end(this.#lostBy(reason));
  }

  #lostBy(reason: unknown): RuntimeError {
    const what = reason instanceof Error ? reason.message : String(reason);
    return new RuntimeError('PEER_LOST', `${this.#address}: ${what}`, { cause: reason });
  }
}

function headersOf(security: Security, path: string): OutgoingHttpHeaders {
  return {
    ...callMetadata(security).toHttp2Headers(),
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc+proto',
    te: 'trailers',
  };
}

/** `lost` is called whenever the connection fails; more than once, too. */
function dial(
  peer: PeerOptions,
  lost: (reason: unknown) => void,
): { session: ClientHttp2Session; connection: BulkConnection } {
  const connection: BulkConnection = new BulkConnection(
    socketTo(peer, (bytes) => connection.received(bytes)),
    'calling',
  );
  const session = connectHttp2(`http://${peer.address}`, {
    createConnection: () => connection,
    settings: { enablePush: false, ...BULK_SETTINGS, customSettings: { [BULK_SETTING]: 1 } },
    maxSessionMemory: Number.MAX_SAFE_INTEGER,
  });
  const late = setTimeout(() => {
    session.destroy(new Error(`nobody has answered for ${DIAL_MS / 1000} s`));
  }, DIAL_MS).unref();
  session.once('connect', () => session.setLocalWindowSize(DATA_WINDOW));
  session.once('remoteSettings', () => {
    clearTimeout(late);
    keepAlive(session);
  });
  session.on('goaway', () => lost('the peer ends'));
  session.on('error', lost);
  connection.on('error', lost);
  session.on('close', () => {
    clearTimeout(late);
    lost('the connection was closed');
  });
  return { session, connection };
}

function socketTo({ address, security, lookup }: PeerOptions, take: (bytes: Buffer) => void): Socket {
  const colon = address.lastIndexOf(':');
  const where = {
    host: address.slice(0, colon).replaceAll(/[[\]]/g, ''),
    port: Number(address.slice(colon + 1)),
    onread: onreadOf(take),
    ...(lookup ? { lookup: lookupBy(lookup) } : {}),
  };
  if (security.kind === 'token') return connect(where);
  const { servername, ...identity } = identityOf(security);
  return connectTls({
    ...where,
    ...identity,
    servername,
    ALPNProtocols: ['h2'],
    checkServerIdentity: (_, certificate) => checkServerIdentity(servername, certificate),
  });
}

function lookupBy(lookup: Lookup): LookupFunction {
  return (host, _, found) => {
    lookup(host).then(
      (address) => found(null, [{ address, family: isIP(address) }]),
      (error) => found(error, ''),
    );
  };
}
