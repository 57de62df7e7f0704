// The listening end: one gRPC server per process, with limits, the token check and errors as statuses. Calls that carry bulk are
// bulk-calls.ts's. No meaning of messages.

import type { Http2Server, ServerHttp2Session } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import {
  Server,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { RuntimeError } from '../protocol/errors.ts';
import { BulkEntrance } from './bulk-entrance.ts';
import type { CoordinationHandlers, ExchangeHandlers } from './handlers.ts';
import { addressOf, Limits } from './limits.ts';
import type {
  AttendRequest,
  Empty,
  EnlistRequest,
  EvaluationReport,
  HeartbeatRequest,
  JoinRequest,
  ResizeRequest,
  ServerCommand,
  ShardReport,
} from './messages.ts';
import { DATA_WINDOW, serverOptions } from './options.ts';
import { commonVersion } from './protocol.ts';
import {
  authorize,
  mustBelong,
  type PeerRole,
  type Security,
  type SeenCall,
  serverCredentials,
} from './security.ts';
import { services } from './services.ts';
import { statusOf } from './status.ts';
import type { Outbox } from './streams.ts';
import { STUCK_MS, Watchdog } from './watchdog.ts';

export interface ListenerOptions {
  /** host:port */
  readonly address: string;
  readonly security: Security;
  readonly chunkBytes: number;
  /** Processes that may be connected at once. */
  readonly peers: number;
  /** For how long a stream that we write may stand still while messages wait. */
  readonly stuckMs?: number;
  /** A connection whose certificate would not do, or that never was TLS: why, and where from. */
  readonly onRefused?: (reason: string, from: string) => void;
  readonly exchange: ExchangeHandlers;
  readonly coordination?: CoordinationHandlers;
}

export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

/** In which a connection must have shown that it is of the job. */
const PROOF_MS = 10_000;

/** Throws PORT_TAKEN when the address is in use. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { security, chunkBytes, peers } = options;
  const proofMs = security.kind === 'token' ? PROOF_MS : undefined;
  const limits = new Limits({ peers, chunkBytes, proofMs });
  const server = new Server({
    ...serverOptions(chunkBytes, limits.atOnce),
    interceptors: [gate(security, limits)],
  });
  tune(server);
  const connections = new Connections();
  const { exchange, stuckMs = STUCK_MS } = options;
  const guard = new Guard(security, { connections, stuckMs });
  server.addService(services().exchange.service, exchangeOf(exchange, guard));
  if (options.coordination)
    server.addService(services().coordination.service, coordinationOf(options.coordination, guard));
  const port = await bind(server, options);
  const entrances = connectionsOf(server).map((http2) => {
    http2.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(DATA_WINDOW));
    limits.watch(http2);
    connections.watch(http2);
    if (options.onRefused) watchRefusals(http2, options.onRefused);
    const bulk = { security, limits, chunkBytes, stuckMs, handlers: exchange };
    return new BulkEntrance(http2, { ...bulk, patienceMs: PROOF_MS });
  });
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        limits.close();
        for (const entrance of entrances) entrance.close();
        const force = setTimeout(() => {
          for (const entrance of entrances) entrance.destroy();
          server.forceShutdown();
          // A session that was asked to close waits for the other end's last word, even destroyed; a host that is gone has none.
          resolve();
        }, 500);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}

function bind(server: Server, { address, security }: ListenerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, serverCredentials(security), (error, port) => {
      if (!error) return resolve(port);
      const taken = /EADDRINUSE|already in use|No address added/i.test(error.message);
      reject(
        taken
          ? new RuntimeError(
              'PORT_TAKEN',
              `${address}: expected a free port, but it cannot be bound (${error.message})`,
            )
          : new RuntimeError('INTERNAL', `${address}: cannot listen: ${error.message}`, { cause: error }),
      );
    });
  });
}

/** Who is not of the job is refused by the head of the call, before anything of its messages is kept. */
function gate(security: Security, limits: Limits): ServerInterceptor {
  return (_, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, goOn) => {
            try {
              mustBelong(security, metadata);
            } catch (error) {
              call.sendStatus(statusOf(error));
              return;
            }
            limits.proven(addressOf(call.getConnectionInfo()));
            goOn(metadata);
          },
        }),
    });
}

/** What grpc-js keeps to itself: its server ignores the window option, so pushes would stall at 64 KiB per round trip. */
interface ServerInternals {
  commonServerOptions?: { settings?: Record<string, number>; handshakeTimeout?: number };
  http2Servers?: Map<Http2Server, unknown>;
}

function tune(server: Server): void {
  const { commonServerOptions } = server as unknown as ServerInternals;
  if (!commonServerOptions) throw new TypeError('grpc-js: expected commonServerOptions in a server');
  commonServerOptions.settings = { ...commonServerOptions.settings, initialWindowSize: DATA_WINDOW };
  commonServerOptions.handshakeTimeout = PROOF_MS;
}

function connectionsOf(server: Server): Http2Server[] {
  const { http2Servers } = server as unknown as ServerInternals;
  if (!http2Servers?.size) throw new TypeError('grpc-js: expected http2Servers in a server');
  return [...http2Servers.keys()];
}

/** TLS tells a peer that it is refused, and seldom why. */
function watchRefusals(http2: Http2Server, onRefused: (reason: string, from: string) => void): void {
  http2.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) =>
    onRefused(
      String(socket.authorizationError ?? error.code ?? error.message),
      socket.remoteAddress ?? 'a peer that has hung up',
    ),
  );
}

/** By the address at the other end, as calls name it. */
class Connections {
  readonly #sessions = new Map<string, ServerHttp2Session>();

  watch(http2: Http2Server): void {
    http2.on('session', (session: ServerHttp2Session) => {
      const address = `${session.socket.remoteAddress}:${session.socket.remotePort}`;
      this.#sessions.set(address, session);
      session.once('close', () => {
        if (this.#sessions.get(address) === session) this.#sessions.delete(address);
      });
    });
  }

  /** gRPC has no way to end a stream before what waits on it has been taken. */
  end(address: string): void {
    this.#sessions.get(address)?.destroy();
  }
}

interface Patience {
  readonly connections: Connections;
  readonly stuckMs: number;
}

class Guard {
  readonly #security: Security;
  readonly #patience: Patience;

  constructor(security: Security, patience: Patience) {
    this.#security = security;
    this.#patience = patience;
  }

  check(call: SeenCall, allowed: readonly PeerRole[]): void {
    authorize(this.#security, call, allowed);
  }

  unary<Q, R>(allowed: readonly PeerRole[], handle: (request: Q) => R | Promise<R>) {
    return async (call: ServerUnaryCall<Q, R>, answer: sendUnaryData<R>): Promise<void> => {
      try {
        this.check(call, allowed);
        answer(null, await handle(call.request));
      } catch (error) {
        answer(statusOf(error));
      }
    };
  }

  serverStream<Q, R>(allowed: readonly PeerRole[], handle: (request: Q, out: Outbox<R>) => void) {
    return (call: ServerWritableStream<Q, R>): void => {
      const outbox = outboxOf(call, this.#patience);
      try {
        this.check(call, allowed);
        handle(call.request, outbox);
      } catch (error) {
        call.emit('error', statusOf(error));
      }
    };
  }
}

function outboxOf<T>(call: ServerWritableStream<unknown, T>, { connections, stuckMs }: Patience): Outbox<T> {
  let open = true;
  const listeners: (() => void)[] = [];
  const close = (): void => {
    if (!open) return;
    open = false;
    for (const listener of listeners) listener();
  };
  const watchdog = new Watchdog(stuckMs, () => {
    close();
    connections.end(call.getPeer());
  });
  call.on('cancelled', close);
  call.on('close', close);
  call.on('error', close);
  // After the end, too, what waits has to be taken.
  call.on('cancelled', () => watchdog.stop());
  call.on('close', () => watchdog.stop());
  return {
    write: (message) => {
      if (!open) return;
      watchdog.queued();
      call.write(message, watchdog.left);
    },
    end: () => {
      if (open) call.end();
      close();
    },
    fail: (error) => {
      if (open) call.emit('error', statusOf(error));
      close();
    },
    onClose: (listener) => {
      if (open) listeners.push(listener);
      else listener();
    },
  };
}

const WORKER = ['worker'] as const;
const SERVER = ['server'] as const;
const OPERATOR = ['operator'] as const;

function exchangeOf(handlers: ExchangeHandlers, guard: Guard) {
  return {
    Attend: guard.unary(WORKER, (request: AttendRequest) => {
      const protocol = commonVersion(`the worker of rank ${request.rank}`, request.protocol);
      return { ...handlers.attend(request), protocol };
    }),
    // Push and Pull are bulk-calls.ts's.
  };
}

function coordinationOf(handlers: CoordinationHandlers, guard: Guard) {
  const nothing =
    <Q>(handle: (request: Q) => void) =>
    (request: Q): Empty => {
      handle(request);
      return {};
    };
  return {
    Join: guard.unary(WORKER, async (request: JoinRequest) => {
      const protocol = commonVersion(`the worker of rank ${request.rank}`, request.protocol);
      return { ...(await handlers.join(request)), protocol };
    }),
    Heartbeat: guard.unary(WORKER, (request: HeartbeatRequest) => handlers.heartbeat(request)),
    ReportEvaluation: guard.unary(
      WORKER,
      nothing((request: EvaluationReport) => handlers.reportEvaluation(request)),
    ),
    Enlist: guard.serverStream(SERVER, (request: EnlistRequest, out: Outbox<ServerCommand>) => {
      commonVersion(`server ${request.server}`, request.protocol);
      handlers.enlist(request, out);
    }),
    ReportShard: guard.unary(
      SERVER,
      nothing((request: ShardReport) => handlers.reportShard(request)),
    ),
    Watch: guard.serverStream(OPERATOR, (_: Empty, out: Outbox<unknown>) => handlers.watch(out)),
    Stop: guard.unary(
      OPERATOR,
      nothing(() => handlers.stop()),
    ),
    Resize: guard.unary(
      OPERATOR,
      nothing((request: ResizeRequest) => handlers.resize(request)),
    ),
  };
}
