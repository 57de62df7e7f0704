// Peers that mean no good, on bare HTTP/2: what they send is what they say, whatever gRPC would make of it. And the memory of those
// who are attacked.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type SecureClientSessionOptions,
} from 'node:http2';
import { setTimeout as pause } from 'node:timers/promises';
import { PUSH_MESSAGE } from '../../worker/transport/hot-messages.ts';
import type { PushMessage } from '../../worker/transport/messages.ts';
import { residentMiB } from './held.ts';

export type Service = 'exchange.v1.Exchange' | 'coordination.v1.Coordination';

/** What came back of a call: of gRPC's status, or the code with which the stream was ended. */
export interface Answer {
  readonly status?: number;
  /** Of our errors. */
  readonly code?: string;
  readonly message?: string;
  readonly reset?: number;
}

export interface Call {
  /** Resolves when it is on its way, or cannot be any more. */
  say(bytes: Uint8Array): Promise<void>;
  /** Nothing more will be said: calls of one message are answered then. */
  end(): void;
  cancel(): void;
  readonly answer: Promise<Answer>;
}

/** What it shows of itself: a token, or a certificate. */
export type Proof =
  | string
  | Pick<SecureClientSessionOptions, 'ca' | 'cert' | 'key' | 'servername' | 'settings'>;

/** One connection; its calls say whatever they are given. */
export class Attacker implements AsyncDisposable {
  readonly #session: ClientHttp2Session;
  readonly #token: string;
  readonly #streams: ClientHttp2Stream[] = [];

  constructor(port: number, proof: Proof) {
    const tls = typeof proof === 'string' ? {} : proof;
    const scheme = typeof proof === 'string' ? 'http' : 'https';
    // Its own memory is no concern of who attacks.
    this.#session = connect(`${scheme}://127.0.0.1:${port}`, { maxSessionMemory: 1000, ...tls });
    this.#session.on('error', () => {});
    this.#token = typeof proof === 'string' ? proof : '';
  }

  /** Never ends by itself: the answer comes when the other side has enough of it. */
  call(service: Service, method: string): Call {
    const stream = this.#session.request(
      {
        ':method': 'POST',
        ':path': `/lepton.${service}/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(this.#token === '' ? {} : { 'lepton-token': this.#token }),
      },
      { endStream: false },
    );
    this.#streams.push(stream);
    stream.on('error', () => {});
    stream.resume();
    const answer = new Promise<Answer>((resolve) => {
      const take = (headers: Record<string, unknown>): void => {
        if (headers['grpc-status'] === undefined) return;
        const status = Number(headers['grpc-status']);
        const message = decodeURI(String(headers['grpc-message'] ?? ''));
        resolve({ status, code: String(headers['lepton-code'] ?? ''), message });
      };
      stream.on('response', take);
      stream.on('trailers', take);
      stream.on('close', () => resolve(stream.rstCode ? { reset: stream.rstCode } : {}));
    });
    return {
      say: (bytes) => Promise.race([written(stream, bytes), answer.then(() => {})]),
      end: () => stream.end(),
      cancel: () => stream.close(constants.NGHTTP2_CANCEL),
      answer,
    };
  }

  get open(): number {
    return this.#streams.filter((stream) => !stream.closed && !stream.destroyed).length;
  }

  get isOver(): boolean {
    return this.#session.destroyed;
  }

  close(): void {
    this.#session.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return pause(1);
  }
}

function written(stream: ClientHttp2Stream, bytes: Uint8Array): Promise<void> {
  if (stream.closed || stream.destroyed) return Promise.resolve();
  return new Promise((resolve) => stream.write(bytes, () => resolve()));
}

/** A gRPC message of `announced` bytes of which `data` is what comes. */
export function framed(data: Uint8Array, announced = data.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(announced, 1);
  return Buffer.concat([prefix, data]);
}

export function pushOf(message: PushMessage): Buffer {
  return Buffer.concat([PUSH_MESSAGE.head(message), message.data]);
}

/** Of unfinished calls at once, and the connections that they come on. */
export const STREAMS = 200;
const CONNECTIONS = 5;
const MiB = 2 ** 20;

/** So many calls that announce a chunk, send it but for its last byte, and stay: what was answered, and how many are still held. */
export async function unfinished(port: number, proof: Proof): Promise<{ answers: Answer[]; left: number }> {
  const attackers = Array.from({ length: CONNECTIONS }, () => new Attacker(port, proof));
  const almost = framed(randomBytes(MiB - 1), MiB);
  const calls = attackers.flatMap((attacker) =>
    Array.from({ length: STREAMS / CONNECTIONS }, () => attacker.call('exchange.v1.Exchange', 'Push')),
  );
  const answers: Answer[] = [];
  for (const { answer } of calls) void answer.then((one) => answers.push(one));
  await Promise.race([Promise.all(calls.map(({ say }) => say(almost))), pause(5000)]);
  await pause(1500);
  const left = attackers.reduce((sum, { open }) => sum + open, 0);
  const known = [...answers];
  for (const attacker of attackers) attacker.close();
  return { answers: known, left };
}

/** The most that any of these processes takes above what it has now, until `done`. */
export async function grownMiB(pids: readonly number[], done: Promise<unknown>): Promise<number> {
  const idle = pids.map(residentMiB);
  let most = 0;
  let over = false;
  const end = (): void => {
    over = true;
  };
  void done.then(end, end);
  while (!over) {
    pids.forEach((pid, at) => {
      most = Math.max(most, residentMiB(pid) - idle[at]!);
    });
    await pause(20);
  }
  return most;
}

/** The RoleConfig of a process: where it lies, and the token in it. */
export function configOf(pid: number): { readonly path: string; readonly token: string } {
  const path = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    .split('\0')
    .find((part) => part.endsWith('.json'))!;
  const { security } = JSON.parse(readFileSync(path, 'utf8')) as { security: { token: string } };
  return { path, token: security.token };
}
