// REST calls to an API server: plain JSON, pooled connections, deadlines, retries of what the server asks to retry. Knows no
// kind of object. How to be somebody there is told by an Access: client-node's KubeConfig, or a pod's own account.
import { Agent as HttpAgent, type IncomingMessage, request as requestPlain } from 'node:http';
import { Agent, type RequestOptions, request as requestTls } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { ApiError, apiErrorOf } from './errors.ts';

/** Where the server is, and what makes a request one of a known user. */
export interface Access {
  getCurrentCluster(): { readonly server: string } | null;
  /** Asked again every few seconds, so that renewed tokens and authorities are taken up. */
  applyToHTTPSOptions(options: RequestOptions): Promise<void>;
}

export interface ClientOptions {
  readonly config: Access;
  /** `name/version`, for the server's audit log. */
  readonly userAgent: string;
  /** Requests under way at once; more wait. Default 32. */
  readonly maxInFlight?: number;
  /** Of one try. Default 30 s. */
  readonly timeoutMs?: number;
  /** A write is not even sent where this says no. */
  readonly mayWrite?: () => boolean;
  readonly observe?: (call: { verb: string; status: number; seconds: number }) => void;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

const MAX_TRIES = 4;
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 10_000;
/** Tokens and authorities are read again from their files this often: a kubelet renews them long before they expire. */
const CREDENTIALS_MS = 10_000;
/** Answers above this are not an API server's: pages of 500 objects of 1.5 MiB at most would be near. */
const MAX_ANSWER_BYTES = 768 * 2 ** 20;

export class KubeClient {
  readonly #options: ClientOptions;
  readonly #server: URL;
  readonly #slots: Slots;
  #credentials: { readonly atMs: number; readonly promise: Promise<Credentials> } | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    const cluster = options.config.getCurrentCluster();
    if (!cluster) throw new RangeError('kubeconfig: expected a current context with a cluster, got none');
    this.#server = new URL(cluster.server);
    this.#slots = new Slots(options.maxInFlight ?? 32);
  }

  /** The answer as JSON. Throws ApiError. Retries 429 and, where nothing can happen twice, lost connections and 5xx. */
  async call<T>(call: Call): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#slots.use(() => this.#once<T>(call));
      } catch (error) {
        if (!(error instanceof ApiError) || attempt >= MAX_TRIES || !mayRepeat(call, error)) throw error;
        await pause(retryDelayMs(error, attempt), call.signal);
      }
    }
  }

  /** An open stream of lines; the caller ends it with the signal. Throws ApiError where the server refuses. */
  async stream(call: Call): Promise<IncomingMessage> {
    const response = await this.#send(call);
    if (response.statusCode === 200) return response;
    throw await refusalOf(call, response);
  }

  close(): void {
    void this.#credentials?.promise.then(({ agent }) => agent.destroy()).catch(() => {});
  }

  async #once<T>(call: Call): Promise<T> {
    if (call.method !== 'GET' && this.#options.mayWrite?.() === false)
      throw new Error(`${call.method} ${call.path}: this process may not write any more`);
    const started = performance.now();
    let status = 0;
    // Not AbortSignal.timeout(): that one goes off, at some cost, for every request that has long been answered.
    const deadline = new AbortController();
    const { timeoutMs = 30_000 } = this.#options;
    const timer = setTimeout(() => deadline.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    try {
      const signal = call.signal ? AbortSignal.any([call.signal, deadline.signal]) : deadline.signal;
      const response = await this.#send({ ...call, signal });
      status = response.statusCode ?? 0;
      if (status >= 400) throw await refusalOf(call, response);
      return JSON.parse(await textOf(call, response)) as T;
    } finally {
      clearTimeout(timer);
      this.#options.observe?.({ verb: call.method, status, seconds: (performance.now() - started) / 1000 });
    }
  }

  async #send(call: Call): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const options = await this.#requestOptions(call, body?.length);
    return await new Promise((resolve, reject) => {
      const send = this.#server.protocol === 'http:' ? requestPlain : requestTls;
      const request = send(options, resolve);
      request.on('error', (cause) => reject(unreachable(call, cause)));
      request.end(body);
    });
  }

  async #requestOptions(
    { method, path, query = {}, contentType, signal }: Call,
    bytes: number | undefined,
  ): Promise<RequestOptions> {
    const { agent, headers } = await this.#current();
    return {
      method,
      protocol: this.#server.protocol,
      hostname: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port,
      path: this.#server.pathname.replace(/\/$/, '') + path + queryOf(query),
      headers: {
        ...headers,
        Accept: 'application/json',
        'User-Agent': this.#options.userAgent,
        // Node gives a DELETE no length of its own, and its body would be read as the next request.
        ...(bytes === undefined
          ? {}
          : { 'Content-Type': contentType ?? 'application/json', 'Content-Length': bytes }),
      },
      agent,
      ...(signal ? { signal } : {}),
    };
  }

  /** client-node reads files and makes an agent for each call: its word is kept for a while, and one pool serves all calls. */
  #current(): Promise<Credentials> {
    const known = this.#credentials;
    if (known && performance.now() - known.atMs < CREDENTIALS_MS) return known.promise;
    const promise = this.#ask(known?.promise);
    this.#credentials = { atMs: performance.now(), promise };
    promise.catch(() => (this.#credentials = undefined));
    return promise;
  }

  async #ask(before: Promise<Credentials> | undefined): Promise<Credentials> {
    const options: RequestOptions = { headers: {} };
    await this.#options.config.applyToHTTPSOptions(options);
    const tls = tlsOf({ ...(options.agent as Agent | undefined)?.options, ...options });
    const key = JSON.stringify(tls);
    const headers = options.headers as Readonly<Record<string, string>>;
    const known = await before?.catch(() => undefined);
    return { headers, key, agent: known?.key === key ? known.agent : this.#pool(tls) };
  }

  #pool(tls: SecureContextOptions): Agent | HttpAgent {
    const kept = { keepAlive: true, keepAliveMsecs: 30_000, maxSockets: 64, timeout: 0 };
    return this.#server.protocol === 'http:' ? new HttpAgent(kept) : new Agent({ ...kept, ...tls });
  }
}

/** How calls are authenticated. */
interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  /** Tells whether the pool's connections still have the right authority and certificate. */
  readonly key: string;
  readonly agent: Agent | HttpAgent;
}

function tlsOf(options: RequestOptions): SecureContextOptions {
  const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
  const given = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function queryOf(query: NonNullable<Call['query']>): string {
  const given = Object.entries(query).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, String(value)]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

/** Lost answers to a create, an update with resourceVersion or a delete with preconditions cannot do harm twice. */
function mayRepeat({ signal }: Call, error: ApiError): boolean {
  return error.retryable && signal?.aborted !== true;
}

function retryDelayMs({ retryAfterMs }: ApiError, attempt: number): number {
  const backOff = Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS);
  return (Math.min(retryAfterMs ?? 0, LONGEST_RETRY_MS) || backOff) * (1 + Math.random() * 0.2);
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}

async function refusalOf(call: Call, response: IncomingMessage): Promise<ApiError> {
  const body = await textOf(call, response).catch(() => '');
  const retryAfter = response.headers['retry-after'];
  return apiErrorOf(`${call.method} ${call.path}`, response.statusCode ?? 0, body, retryAfter);
}

async function textOf(call: Call, response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of response) {
      bytes += (part as Buffer).length;
      if (bytes > MAX_ANSWER_BYTES) throw new RangeError(`answer of more than ${MAX_ANSWER_BYTES} bytes`);
      parts.push(part as Buffer);
    }
  } catch (cause) {
    throw unreachable(call, cause);
  }
  return Buffer.concat(parts).toString('utf8');
}

function unreachable({ method, path }: Call, cause: unknown): ApiError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new ApiError(`${method} ${path}: ${message}`, { status: 0, reason: 'Unreachable' }, { cause });
}

/** Lets so many work at once; the others wait in order. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
