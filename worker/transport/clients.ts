// The calling end: typed clients of both services with deadlines, proof of the job and runtime errors. No retries of its own.

import type { ChannelOptions, ClientReadableStream, ServiceClientConstructor } from '@grpc/grpc-js';
import type { RuntimeError } from '../protocol/errors.ts';
import { BulkClient } from './bulk-client.ts';
import { Line } from './line.ts';
import type {
  AttendRequest,
  AttendResponse,
  EnlistRequest,
  EvaluationReport,
  HeartbeatRequest,
  HeartbeatResponse,
  JoinRequest,
  JoinResponse,
  PullMessage,
  PullRequest,
  PushMessage,
  ResizeRequest,
  ServerCommand,
  ShardReport,
} from './messages.ts';
import { clientOptions } from './options.ts';
import type { PeerOptions } from './peer.ts';
import { chosenVersion, PROTOCOL } from './protocol.ts';
import { callMetadata, channelCredentials, channelIdentity, type Security } from './security.ts';
import { services } from './services.ts';
import { errorOf } from './status.ts';
import type { Incoming, Outgoing } from './streams.ts';

class Peer {
  readonly address: string;
  readonly #line: Line;
  readonly #security: Security;

  constructor(service: ServiceClientConstructor, peer: PeerOptions, options: ChannelOptions) {
    const { address, security } = peer;
    this.address = address;
    this.#security = security;
    const all = { ...options, ...channelIdentity(security) };
    const dial = (target: string) => new service(target, channelCredentials(security), all);
    this.#line = new Line({ address, dial, ...(peer.lookup ? { lookup: peer.lookup } : {}) });
  }

  /** The generic constructor of grpc-js leaves methods untyped; every use below names both types. */
  // biome-ignore lint/complexity/noBannedTypes: a method of a dynamic client
  #method(name: string): Function {
    const client = this.#line.client();
    return (client[name] as unknown as (...args: unknown[]) => unknown).bind(client);
  }

  unary<Q, R>(name: string, request: Q, deadlineMs: number): Promise<R> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + deadlineMs };
      this.#method(name)(request, callMetadata(this.#security), options, (error: unknown, response: R) => {
        if (error) reject(errorOf(error, this.address));
        else resolve(response);
      });
    });
  }

  incoming<Q, R>(name: string, request: Q): Incoming<R> {
    const call = this.#method(name)(request, callMetadata(this.#security)) as ClientReadableStream<R>;
    let over = false;
    const listeners: ((error: RuntimeError | undefined) => void)[] = [];
    const end = (error?: unknown): void => {
      if (over) return;
      over = true;
      for (const listener of listeners)
        listener(error === undefined ? undefined : errorOf(error, this.address));
    };
    call.on('error', end);
    call.on('end', () => end());
    return {
      onMessage: (listener) =>
        call.on('data', (message: R) => {
          if (!over) listener(message);
        }),
      onEnd: (listener) => listeners.push(listener),
      cancel: () => {
        over = true;
        call.cancel();
      },
    };
  }

  close(): void {
    this.#line.close();
  }
}

/** The transport says what it speaks. */
type Unversioned<T> = Omit<T, 'protocol'>;

/** Calls to the coordinator. */
export class CoordinationClient {
  readonly #peer: Peer;

  constructor(options: PeerOptions) {
    this.#peer = new Peer(services().coordination, options, clientOptions(options.chunkBytes));
  }

  /** Throws PROTOCOL_VERSION, as `enlist` does, where the two have no version in common. */
  async join(request: Unversioned<JoinRequest>, deadlineMs: number): Promise<JoinResponse> {
    const versioned = { ...request, protocol: PROTOCOL };
    const answer = await this.#peer.unary<JoinRequest, JoinResponse>('Join', versioned, deadlineMs);
    return { ...answer, protocol: chosenVersion(this.#peer.address, answer.protocol ?? 0) };
  }

  heartbeat(request: HeartbeatRequest, deadlineMs: number): Promise<HeartbeatResponse> {
    return this.#peer.unary('Heartbeat', request, deadlineMs);
  }

  async reportEvaluation(report: EvaluationReport, deadlineMs: number): Promise<void> {
    await this.#peer.unary('ReportEvaluation', report, deadlineMs);
  }

  enlist(request: Unversioned<EnlistRequest>): Incoming<ServerCommand> {
    return this.#peer.incoming('Enlist', { ...request, protocol: PROTOCOL });
  }

  async reportShard(report: ShardReport, deadlineMs: number): Promise<void> {
    await this.#peer.unary('ReportShard', report, deadlineMs);
  }

  watch<T>(): Incoming<T> {
    return this.#peer.incoming('Watch', {});
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#peer.unary('Stop', {}, deadlineMs);
  }

  async resize(request: ResizeRequest, deadlineMs: number): Promise<void> {
    await this.#peer.unary('Resize', request, deadlineMs);
  }

  close(): void {
    this.#peer.close();
  }
}

/** Calls to one parameter server; push and pull on connections of their own. */
export class ExchangeClient {
  readonly #peer: Peer;
  readonly #bulk: BulkClient;

  constructor(options: PeerOptions) {
    this.#peer = new Peer(services().exchange, options, clientOptions(options.chunkBytes));
    this.#bulk = new BulkClient(options);
  }

  /** Throws PROTOCOL_VERSION where the two have no version in common. */
  async attend(request: Unversioned<AttendRequest>, deadlineMs: number): Promise<AttendResponse> {
    const versioned = { ...request, protocol: PROTOCOL };
    const answer = await this.#peer.unary<AttendRequest, AttendResponse>('Attend', versioned, deadlineMs);
    return { ...answer, protocol: chosenVersion(this.#peer.address, answer.protocol ?? 0) };
  }

  push(): Outgoing<PushMessage> {
    return this.#bulk.push();
  }

  pull(request: PullRequest): Incoming<PullMessage> {
    return this.#bulk.pull(request);
  }

  close(): void {
    this.#peer.close();
    this.#bulk.close();
  }
}
