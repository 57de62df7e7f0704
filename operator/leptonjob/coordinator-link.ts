// The line to the coordinator of one job: hears its progress, asks it to stop. Comes back by itself while the pod is there; what
// it last heard stays known. Decides nothing.
import { join } from 'node:path';
import {
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
  close(): void;
}

const PROTOS = join(import.meta.dirname, '../../protos');
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
const CALL_MS = 5000;

interface Coordination extends Client {
  Watch(request: object): ClientReadableStream<Omit<Report, 'heardMs'>>;
  Stop(request: object, options: { deadline: number }, answer: (error: Error | null) => void): void;
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
  readonly #client: Coordination;
  #call: ClientReadableStream<unknown> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;

  constructor(options: LinkOptions) {
    const { authority, key, certificate } = options.identity;
    this.address = options.address;
    this.#options = options;
    const security = credentials.createSsl(
      Buffer.from(authority),
      Buffer.from(key),
      Buffer.from(certificate),
    );
    this.#client = new (coordination())(options.address, security, {
      'grpc.ssl_target_name_override': `server.${options.jobUid}`,
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 20_000,
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': LONGEST_RETRY_MS,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': 4 * 2 ** 20,
    }) as unknown as Coordination;
    this.#watch();
  }

  stop(): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + CALL_MS };
      this.#client.Stop({}, options, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#call?.cancel();
    this.#client.close();
  }

  #watch(): void {
    if (this.#closed) return;
    const call = this.#client.Watch({});
    this.#call = call;
    call.on('data', (progress) => {
      this.#retryMs = FIRST_RETRY_MS;
      if (!this.#closed) this.#options.onReport({ ...progress, heardMs: this.#options.nowMs() });
    });
    const again = (): void => {
      if (this.#closed || this.#call !== call) return;
      this.#call = undefined;
      this.#retry = setTimeout(() => this.#watch(), this.#retryMs * (0.8 + 0.4 * Math.random()));
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    };
    call.on('error', again);
    call.on('end', again);
  }
}
