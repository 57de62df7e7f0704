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
import { knock } from './knock.ts';
import { type Heard, reportOf } from './report.ts';

export interface LinkOptions {
  /** host:port */
  readonly address: string;
  readonly jobUid: string;
  /** For the next connection. */
  readonly identity: () => Identity;
  readonly nowMs: () => number;
  readonly onReport: (report: Report) => void;
  /** A coordinator that has not said a word by then is asked anew; the real one speaks at once. */
  readonly firstWordMs?: number;
}

export interface CoordinatorLink {
  readonly address: string;
  /** Resolves when the coordinator has taken the request; it stops at the next step boundary. */
  stop(): Promise<void>;
  /** Resolves when the coordinator knows; its progress tells when it trains with them. */
  resize(workers: number, gone: boolean): Promise<void>;
  /** Nothing has come for too long: the line itself may be dead. */
  renew(): void;
  /** The coordinator is said to be there: one that has not been heard yet is asked at once. */
  hurry(): void;
  close(): void;
}

const PROTOS = join(import.meta.dirname, '../../protos');
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** Where nobody has answered yet: there is less to be missed, and a fleet of such jobs must not keep a processor busy. */
const LONGEST_FIRST_RETRY_MS = 300_000;
const CALL_MS = 5000;
const FIRST_WORD_MS = 30_000;

interface Coordination extends Client {
  Watch(request: object): ClientReadableStream<Heard>;
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

/** Throws where the job's secret holds no certificates. */
function securityOf({ authority, key, certificate }: Identity): ChannelCredentials {
  return credentials.createSsl(Buffer.from(authority), Buffer.from(key), Buffer.from(certificate));
}

export function openLink(options: LinkOptions): CoordinatorLink {
  return new Link(options);
}

class Link implements CoordinatorLink {
  readonly address: string;
  readonly #options: LinkOptions;
  readonly #service = coordination();
  /** None between two tries: a channel would go on trying at a rhythm of its own, and its certificates take memory. */
  #client: Coordination | undefined;
  /** Somebody took a connection: until then a channel would be made for nobody, again and again. */
  #answered = false;
  /** Of the knock under way. */
  #callOff = (): void => {};
  #call: ClientReadableStream<unknown> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #longestRetryMs = LONGEST_FIRST_RETRY_MS;
  #closed = false;

  constructor(options: LinkOptions) {
    this.address = options.address;
    this.#options = options;
    this.#try();
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
    const call = this.#call;
    this.#call = undefined;
    call?.cancel();
    this.#disconnect();
    this.#tryAnew();
  }

  hurry(): void {
    if (!this.#closed && !this.#call) this.#tryAnew();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#callOff();
    this.#call?.cancel();
    this.#disconnect();
  }

  #connect(): Coordination {
    this.#client ??= new this.#service(this.address, securityOf(this.#options.identity()), {
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

  #tryAnew(): void {
    clearTimeout(this.#retry);
    this.#callOff();
    this.#retryMs = FIRST_RETRY_MS;
    this.#try();
  }

  #try(): void {
    if (this.#answered) {
      this.#watch();
      return;
    }
    this.#callOff = knock(this.address, (somebody) => {
      this.#answered = somebody;
      if (somebody) this.#watch();
      else this.#again();
    });
  }

  #watch(): void {
    try {
      this.#listen(this.#connect().Watch({}));
    } catch {
      this.#again(); // an address or a certificate that is none
    }
  }

  #listen(call: ClientReadableStream<Heard>): void {
    this.#call = call;
    const { firstWordMs = FIRST_WORD_MS, nowMs, onReport } = this.#options;
    const patience = setTimeout(() => call.cancel(), firstWordMs);
    call.on('data', (heard: Heard) => {
      clearTimeout(patience);
      this.#retryMs = FIRST_RETRY_MS;
      this.#longestRetryMs = LONGEST_RETRY_MS;
      if (!this.#closed) onReport(reportOf(heard, nowMs()));
    });
    const over = (): void => {
      clearTimeout(patience);
      if (this.#call === call) this.#again();
    };
    call.on('error', over);
    call.on('end', over);
  }

  #again(): void {
    if (this.#closed) return;
    this.#call = undefined;
    this.#disconnect();
    this.#retry = setTimeout(() => this.#try(), this.#retryMs * (0.8 + 0.4 * Math.random()));
    this.#retryMs = Math.min(this.#retryMs * 2, this.#longestRetryMs);
  }
}
