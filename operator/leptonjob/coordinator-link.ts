// The line to the coordinator of one job: hears its progress, asks it to stop. Comes back by itself while the pod is there; what
// it last heard stays known. Decides nothing.
import { join } from 'node:path';
import {
  type ChannelCredentials,
  type Client,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  logVerbosity,
  type ServiceClientConstructor,
  setLogVerbosity,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Identity } from './certificates.ts';
import type { Report } from './job.ts';

export interface LinkOptions {
  /** host:port */
  readonly address: string;
  readonly jobUid: string;
  readonly identity: Identity;
  readonly nowMs: () => number;
  readonly onReport: (report: Report) => void;
}

export interface CoordinatorLink {
  readonly address: string;
  /** Resolves when the coordinator has taken the request; it stops at the next step boundary. */
  stop(): Promise<void>;
  /** Resolves when the coordinator knows; its progress tells when it trains with them. */
  resize(workers: number, gone: boolean): Promise<void>;
  /** Nothing has come for too long: the line itself may be dead. */
  renew(): void;
  close(): void;
}

const PROTOS = join(import.meta.dirname, '../../protos');
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** Where nobody has answered yet: there is less to be missed, and a fleet of such jobs must not keep a processor busy. */
const LONGEST_FIRST_RETRY_MS = 300_000;
const CALL_MS = 5000;

interface Coordination extends Client {
  Watch(request: object): ClientReadableStream<Omit<Report, 'heardMs'>>;
  Stop(request: object, options: { deadline: number }, answer: (error: Error | null) => void): void;
  Resize(request: object, options: { deadline: number }, answer: (error: Error | null) => void): void;
}

let service: ServiceClientConstructor | undefined;

function coordination(): ServiceClientConstructor {
  if (service) return service;
  setLogVerbosity(logVerbosity.NONE); // lost lines are no news: pods come and go
  const definition = loadSync('lepton/coordination/v1/coordination.proto', {
    includeDirs: [PROTOS],
    longs: Number,
    defaults: true,
    oneofs: true,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    lepton: { coordination: { v1: { Coordination: ServiceClientConstructor } } };
  };
  service = root.lepton.coordination.v1.Coordination;
  return service;
}

export function openLink(options: LinkOptions): CoordinatorLink {
  return new Link(options);
}

class Link implements CoordinatorLink {
  readonly address: string;
  readonly #options: LinkOptions;
  readonly #security: ChannelCredentials;
  /** None between two tries: a channel would go on trying at a rhythm of its own. */
  #client: Coordination | undefined;
  #call: ClientReadableStream<unknown> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #longestRetryMs = LONGEST_FIRST_RETRY_MS;
  #closed = false;

  constructor(options: LinkOptions) {
    const { authority, key, certificate } = options.identity;
    this.address = options.address;
    this.#options = options;
    this.#security = credentials.createSsl(
      Buffer.from(authority),
      Buffer.from(key),
      Buffer.from(certificate),
    );
    this.#watch();
  }

  stop(): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + CALL_MS };
      this.#connect().Stop({}, options, (error) => (error ? reject(error) : resolve()));
    });
  }

  resize(workers: number, gone: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + CALL_MS };
      this.#connect().Resize({ workers, gone }, options, (error) => (error ? reject(error) : resolve()));
    });
  }

  renew(): void {
    if (this.#closed) return;
    clearTimeout(this.#retry);
    const call = this.#call;
    this.#call = undefined;
    call?.cancel();
    this.#disconnect();
    this.#retryMs = FIRST_RETRY_MS;
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#call?.cancel();
    this.#disconnect();
  }

  #connect(): Coordination {
    this.#client ??= new (coordination())(this.address, this.#security, {
      'grpc.ssl_target_name_override': `server.${this.#options.jobUid}`,
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': 4 * 2 ** 20,
    }) as unknown as Coordination;
    return this.#client;
  }

  #disconnect(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  #watch(): void {
    if (this.#closed) return;
    const call = this.#connect().Watch({});
    this.#call = call;
    call.on('data', (progress) => {
      this.#retryMs = FIRST_RETRY_MS;
      this.#longestRetryMs = LONGEST_RETRY_MS;
      if (!this.#closed) this.#options.onReport({ ...progress, heardMs: this.#options.nowMs() });
    });
    const again = (): void => {
      if (this.#closed || this.#call !== call) return;
      this.#call = undefined;
      this.#disconnect();
      this.#retry = setTimeout(() => this.#watch(), this.#retryMs * (0.8 + 0.4 * Math.random()));
      this.#retryMs = Math.min(this.#retryMs * 2, this.#longestRetryMs);
    };
    call.on('error', again);
    call.on('end', again);
  }
}
