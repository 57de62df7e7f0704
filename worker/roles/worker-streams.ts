// A server's streams with its workers: the newest session of each rank, and how new parameters reach it, as bytes or as ranges
// of memory that it sees. Knows nothing of steps and sums.
import type { Engine, Segment } from '../../native/engine.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Begun } from '../protocol/gather.ts';
import type { PullMessage, PushMessage, SharedMemory } from '../transport/messages.ts';
import type { Inbox, Outbox } from '../transport/streams.ts';
import type { Encoded } from './gradient-codec.ts';
import { openShared } from './shared-memory.ts';

/** What a rank's newest session has opened. */
export interface Session {
  readonly epoch: number;
  pull?: Outbox<PullMessage>;
  push?: Inbox<PushMessage>;
  /** The worker's gradients, where both processes are on one host: it sees our parameters, too. */
  gradients?: Segment;
}

/** Who speaks. */
export interface Speaker {
  readonly rank: number;
  readonly epoch: number;
}

/** Sessions below `baseEpoch` and ranks from `workers` on have no place here. */
export interface Places {
  readonly baseEpoch: number;
  readonly workers: number;
}

const NO_DATA = new Uint8Array(0);

export class WorkerStreams {
  readonly #engine: Engine;
  readonly #sessions = new Map<number, Session>();
  /** Rank -> step -> chunks that it can see since the last `flush`. */
  readonly #shown = new Map<number, Map<number, number[]>>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** All sessions end: the server goes back to a checkpoint. */
  endAll(): void {
    for (const session of this.#sessions.values()) end(session);
    this.#sessions.clear();
    this.#shown.clear();
  }

  /** The newest session of a rank; an older one ends. A speaker that was overtaken gets one of its own that nobody knows. */
  of({ rank, epoch }: Speaker, { baseEpoch, workers }: Places): Session {
    if (epoch < baseEpoch)
      throw new RuntimeError('OLD_EPOCH', `stream: expected epoch ${baseEpoch} or newer, got ${epoch}`);
    if (rank >= workers)
      throw new RuntimeError('BAD_MESSAGE', `stream: expected a rank below ${workers}, got ${rank}`);
    const session = this.#sessions.get(rank);
    if (session && session.epoch >= epoch) return session.epoch === epoch ? session : { epoch };
    if (session) end(session);
    this.#shown.delete(rank);
    const fresh: Session = { epoch };
    this.#sessions.set(rank, fresh);
    return fresh;
  }

  /** Undefined where the rank's newest session is another one. */
  current(rank: number): Session | undefined {
    return this.#sessions.get(rank);
  }

  /** True when the session's gradients, an arena of `length`, can be seen from here. */
  share(session: Session, gradients: SharedMemory, length: number): boolean {
    const segment = openShared(this.#engine, gradients, length);
    if (segment) session.gradients = segment;
    return segment !== undefined;
  }

  /** The job is over: workers need not wait for anything any more. */
  finish(): void {
    for (const { pull } of this.#sessions.values()) pull?.end();
  }

  /** Tells all workers that a step may begin. */
  announce(begun: Begun): void {
    for (const { pull } of this.#sessions.values()) pull?.write(beginOf(begun));
  }

  tell(rank: number, begun: Begun): void {
    this.#sessions.get(rank)?.pull?.write(beginOf(begun));
  }

  /** `news` is asked for where a worker cannot see the version itself; what it can see is told by `flush`. */
  send(ranks: readonly number[], chunk: number, step: number, news: () => Encoded): void {
    let message: PullMessage | undefined;
    for (const rank of ranks) {
      const session = this.#sessions.get(rank);
      if (session?.gradients) this.#show(rank, chunk, step);
      else if (session?.pull) {
        message ??= messageOf(chunk, step, news());
        session.pull.write(message);
      }
    }
  }

  /** One message for each run of chunks, the first ones first: the next step begins with them. */
  flush(): void {
    for (const [rank, steps] of this.#shown) {
      const pull = this.#sessions.get(rank)?.pull;
      for (const [step, chunks] of steps)
        for (const { chunk, sharedChunks } of runsOf(chunks))
          pull?.write({ step, parameters: { chunk, sharedChunks }, data: NO_DATA });
    }
    this.#shown.clear();
  }

  #show(rank: number, chunk: number, step: number): void {
    const steps = this.#shown.get(rank) ?? new Map<number, number[]>();
    this.#shown.set(rank, steps);
    const chunks = steps.get(step) ?? [];
    steps.set(step, chunks);
    chunks.push(chunk);
  }
}

function beginOf({ step, directive, shares }: Begun): PullMessage {
  return { step, begin: { directive, ...(shares ? { shares } : {}) }, data: NO_DATA };
}

function messageOf(chunk: number, step: number, { codec, data }: Encoded): PullMessage {
  return { step, parameters: { chunk, codec }, data };
}

function runsOf(chunks: readonly number[]): { chunk: number; sharedChunks: number }[] {
  const runs: { chunk: number; sharedChunks: number }[] = [];
  for (const chunk of [...chunks].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && last.chunk + last.sharedChunks === chunk) last.sharedChunks++;
    else runs.push({ chunk, sharedChunks: 1 });
  }
  return runs;
}

function end({ pull, push }: Session): void {
  const reason = new RuntimeError('OLD_EPOCH', 'the session was overtaken by a newer one');
  pull?.fail(reason);
  push?.fail(reason);
}
