// The two calls that carry bulk, Push and Pull, at the listening end: gRPC's protocol spoken over HTTP/2 directly, as grpc-js would copy
// every chunk three times and leave the copies to the garbage collector. Any gRPC client can make them. No meaning of messages.
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { status } from '@grpc/grpc-js';
import type { RuntimeError } from '../protocol/errors.ts';
import { type BulkConnection, type Lane, plainLane } from './bulk-connection.ts';
import { BulkWriter } from './bulk-writer.ts';
import { EMPTY_FRAME, Frames, SpareBuffers } from './frames.ts';
import type { ExchangeHandlers } from './handlers.ts';
import { PULL_MESSAGE, PUSH_MESSAGE } from './hot-messages.ts';
import { addressOf, type Limits } from './limits.ts';
import type { PullMessage, PullRequest, PushMessage } from './messages.ts';
import { maxMessageBytes } from './options.ts';
import { authorize, mustBelong, type Security } from './security.ts';
import { services } from './services.ts';
import { RefusedCall, trailersOf } from './status.ts';
import type { Inbox, Outbox } from './streams.ts';
import { Watchdog } from './watchdog.ts';

const WORKER = ['worker'] as const;
const HEAD = { ':status': 200, 'content-type': 'application/grpc+proto' };

export interface BulkCallsOptions {
  readonly security: Security;
  readonly limits: Limits;
  readonly chunkBytes: number;
  readonly stuckMs: number;
  readonly handlers: ExchangeHandlers;
  /** Undefined: the session is Node's altogether. */
  readonly connectionOf: (session: Http2Session) => BulkConnection | undefined;
}

export class BulkCalls {
  readonly #options: BulkCallsOptions;
  readonly #spare = new SpareBuffers();
  readonly #methods: Readonly<Record<string, (stream: ServerHttp2Stream) => void>>;

  constructor(options: BulkCallsOptions) {
    this.#options = options;
    const { Push, Pull } = services().exchange.service;
    this.#methods = {
      [Push!.path]: (stream) => this.#push(stream),
      [Pull!.path]: (stream) =>
        this.#pull(stream, Pull!.requestDeserialize as (bytes: Buffer) => PullRequest),
    };
  }

  /** False: the call is another one. */
  take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const begin = this.#methods[headers[':path'] ?? ''];
    if (!begin) return false;
    stream.on('error', () => {}); // 'close' comes as well
    try {
      this.#check(stream, headers);
      begin(stream);
    } catch (error) {
      refuse(stream, error);
    }
    return true;
  }

  /** A call that nobody takes. */
  refuse(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => {});
    refuse(stream, new RefusedCall(status.UNIMPLEMENTED, `no such method here: ${headers[':path']}`));
  }

  #check(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const { security, limits } = this.#options;
    const socket = this.#socketOf(stream);
    mustBelong(security, { get: (key) => [headers[key] as string].filter((value) => value !== undefined) });
    limits.proven(addressOf(socket));
    authorize(
      security,
      { getAuthContext: () => ({ sslPeerCertificate: (socket as TLSSocket).getPeerCertificate() }) },
      WORKER,
    );
    if (!headers['content-type']?.startsWith('application/grpc'))
      throw new RefusedCall(status.INVALID_ARGUMENT, `expected gRPC, got ${headers['content-type']}`);
  }

  #socketOf({ session }: ServerHttp2Stream): Socket {
    return this.#options.connectionOf(session!)?.socket ?? session!.socket;
  }

  #laneOf(stream: ServerHttp2Stream): Lane {
    const connection = this.#options.connectionOf(stream.session!);
    return connection?.lane(stream) ?? plainLane(stream);
  }

  #push(stream: ServerHttp2Stream): void {
    const { handlers, chunkBytes } = this.#options;
    let over = false;
    const finish = (error?: unknown): void => {
      if (over) return;
      over = true;
      if (error === undefined) accept(stream);
      else refuse(stream, error);
    };
    let listener: Parameters<Inbox<PushMessage>['onMessage']>[0] = () => {};
    handlers.push({
      onMessage: (listens) => {
        listener = listens;
      },
      onClose: (listens) => void stream.once('close', listens),
      fail: finish,
    });
    const frames = new Frames<PushMessage>({
      type: PUSH_MESSAGE,
      spare: this.#spare,
      maxBytes: maxMessageBytes(chunkBytes),
      onMessage: (message, lease) => over || listener(message, lease),
    });
    this.#receive(stream, this.#laneOf(stream), frames, finish);
    stream.once('end', () => finish());
  }

  #pull(stream: ServerHttp2Stream, parse: (bytes: Buffer) => PullRequest): void {
    const { handlers, chunkBytes } = this.#options;
    const lane = this.#laneOf(stream);
    let outbox: Outbox<PullMessage> | undefined;
    const frames = new Frames<PullRequest>({
      type: { parse },
      spare: this.#spare,
      maxBytes: maxMessageBytes(chunkBytes),
      onMessage: (request) => {
        if (outbox) return;
        outbox = this.#outbox(stream, lane);
        handlers.pull(request, outbox);
      },
    });
    this.#receive(stream, lane, frames, (error) => (outbox ? outbox.fail(error) : refuse(stream, error)));
    stream.once('end', () => {
      if (!outbox) refuse(stream, new RefusedCall(status.INVALID_ARGUMENT, 'Pull: expected a request'));
    });
  }

  /** After an error, what still comes is passed over. */
  #receive<T extends object>(
    stream: ServerHttp2Stream,
    lane: Lane,
    frames: Frames<T>,
    fail: (error: RuntimeError) => void,
  ): void {
    const { limits } = this.#options;
    let failed = false;
    limits.counted(stream);
    lane.receive((bytes) => {
      if (failed) return;
      try {
        frames.take(bytes);
        limits.holds(stream, frames.unfinishedBytes, frames.begins);
      } catch (error) {
        failed = true;
        limits.holds(stream, 0, true);
        fail(error as RuntimeError);
      }
    });
  }

  #outbox(stream: ServerHttp2Stream, lane: Lane): Outbox<PullMessage> {
    let open = true;
    const listeners: (() => void)[] = [];
    const close = (): void => {
      if (!open) return;
      open = false;
      for (const listener of listeners) listener();
    };
    const watchdog = new Watchdog(this.#options.stuckMs, () => {
      close();
      // gRPC has no way to end a stream before what waits on it has been taken.
      stream.session?.destroy();
    });
    stream.once('close', () => {
      close();
      watchdog.stop(); // after the end, too, what waits has to be taken
    });
    const writer = new BulkWriter(lane, PULL_MESSAGE, watchdog);
    const finish = (error?: RuntimeError): void => {
      if (!open) return;
      close();
      stream.once('wantTrailers', () => stream.sendTrailers(trailersOf(error)));
      writer.end(() => stream.end());
    };
    stream.respond(HEAD, { waitForTrailers: true });
    return {
      write: (message) => open && writer.write(message),
      end: finish,
      fail: finish,
      onClose: (listener) => {
        if (open) listeners.push(listener);
        else listener();
      },
    };
  }
}

/** The one answer to a stream of messages. */
function accept(stream: ServerHttp2Stream): void {
  if (stream.closed || stream.destroyed) return;
  stream.respond(HEAD, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers(trailersOf()));
  stream.end(EMPTY_FRAME);
}

/** What has begun to be answered stays as it is. */
function refuse(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.closed || stream.destroyed || stream.headersSent) return;
  stream.respond({ ...HEAD, ...trailersOf(error) }, { endStream: true });
}
