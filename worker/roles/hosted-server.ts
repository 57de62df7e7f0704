// A parameter server inside a worker's process, on a thread of its own: same role, same messages, one process less. The worker
// computes on the engine's thread, so sums have this one.
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { serverIn } from '../../crds/server-places.ts';
import {
  HOSTED_TLS_FOLDER,
  type LastWords,
  type RoleConfig,
  serverPlacesIn,
} from '../../protos/role-config.ts';
import { RuntimeError, type RuntimeErrorCode } from '../protocol/errors.ts';

/** To the thread: bring to an end what is under way. */
export const LEAVE = 'leave';

/** From the thread: it has left, or how it ended. */
export type Word =
  | { readonly kind: 'left' }
  | { readonly kind: 'ended'; readonly words?: LastWords | undefined }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

const MODULE = join(import.meta.dirname, `server-thread${extname(import.meta.filename)}`);

/** The server that a worker's process has to run beside it; undefined where it has none. */
export function hostedBy(config: RoleConfig): RoleConfig | undefined {
  const { role, traceFile, security } = config;
  const server = serverIn(serverPlacesIn(config), config);
  if (role !== 'worker' || server === undefined) return undefined;
  return {
    ...config,
    role: 'server',
    rank: server,
    ...(traceFile === undefined ? {} : { traceFile: `${traceFile}-server` }),
    // It has an identity of its own.
    security:
      security.kind === 'token'
        ? security
        : { ...security, directory: join(security.directory, HOSTED_TLS_FOLDER) },
  };
}

export class HostedServer {
  /** Its last words, as `runServer` gives them; rejects with what ended it. */
  readonly ended: Promise<LastWords | undefined>;
  readonly #thread: Worker;
  readonly #left = Promise.withResolvers<void>();

  constructor(config: RoleConfig) {
    this.#thread = new Worker(MODULE, { workerData: config });
    this.ended = new Promise((resolve, reject) => {
      const ended = (word: Word): void => {
        if (word.kind === 'left') this.#left.resolve();
        else if (word.kind === 'ended') resolve(word.words);
        else reject(new RuntimeError(word.code as RuntimeErrorCode, word.message));
      };
      this.#thread.on('message', ended);
      this.#thread.on('error', reject);
      this.#thread.on('exit', () => {
        reject(new RuntimeError('INTERNAL', `server ${config.rank}: its thread ended without a word`));
      });
    });
    this.ended.catch(() => {}); // whoever waits for it has it
    const left = (): void => this.#left.resolve();
    this.ended.then(left, left);
  }

  /** As on SIGTERM: resolves when the server may end. */
  leave(): Promise<void> {
    this.#thread.postMessage(LEAVE);
    return this.#left.promise;
  }
}
