// A worker's session with all parameter servers under one epoch: pushes its gradients, collects the parameters of each step.
// Any failure ends the whole session; the worker then joins again. Computes nothing.
import type { ArenaLayout } from '../../native/engine.ts';
import { type Chunk, planChunks, planShards } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { type Directive, Gather, type GatherEffect, type GatherMessage } from '../protocol/gather.ts';
import type { Totals } from '../protocol/ledger.ts';
import type { ExchangeClient, Incoming, Outgoing } from '../transport/clients.ts';
import { type DelayOptions, delayed } from '../transport/delay.ts';
import type { PullMessage, PushMessage } from '../transport/messages.ts';
import { PROTOCOL } from '../transport/services.ts';

export interface SessionOptions {
  /** By index. */
  readonly servers: readonly ExchangeClient[];
  readonly rank: number;
  readonly epoch: number;
  readonly layout: ArenaLayout;
  readonly chunkLength: number;
  /** Written only while the engine is idle. */
  readonly parameters: Float32Array;
  /** Read from `pushFrom` on until the next step is ready. */
  readonly gradients: Float32Array;
  readonly callMs: number;
  /** Longest time without any message while waiting for a step. */
  readonly stallMs: number;
  readonly delay: DelayOptions;
}

/** Of the step being pushed. */
export interface Share {
  readonly step: number;
  /** Samples / batch size. */
  readonly weight: number;
  readonly learningRate: number;
}

export interface Ready {
  readonly step: number;
  readonly directive: Directive;
}

const NO_DATA = new Uint8Array(0);

export class Session {
  readonly #options: SessionOptions;
  readonly #chunks: readonly Chunk[];
  /** Server of each chunk. */
  readonly #owners: readonly number[];
  readonly #pushes = new Map<
    number,
    { outgoing: Outgoing<PushMessage>; write(message: PushMessage): void }
  >();
  readonly #pulls: Incoming<PullMessage>[] = [];
  readonly #gather: Gather;
  /** `step:chunk` -> data that may not be written yet. */
  readonly #held = new Map<string, Uint8Array>();
  #ready: Ready | undefined;
  #waiting: PromiseWithResolvers<Ready> | undefined;
  #failure: RuntimeError | undefined;
  #lastHeardMs = performance.now();
  /** Chunks from this one on are pushed already in the present step; falls as backward proceeds. */
  #pushedFrom = 0;

  /** Announces the session to every server, finds the step in progress, and opens the streams. */
  static async open(options: SessionOptions): Promise<Session> {
    const { servers, rank, epoch } = options;
    const session = new Session(options, await attendAll(options));
    for (const server of session.#partners()) {
      const outgoing = servers[server]!.push();
      outgoing.onFailure((error) => session.fail(error));
      const write = delayed<PushMessage>((message) => outgoing.write(message), session.#delay(2 * server));
      session.#pushes.set(server, { outgoing, write });
      const pull = servers[server]!.pull({ rank, epoch, step: session.#gather.target });
      const receive = delayed<PullMessage>(
        (message) => session.#receive(message),
        session.#delay(2 * server + 1),
      );
      pull.onMessage(receive);
      pull.onEnd((error) =>
        session.fail(error ?? new RuntimeError('PEER_LOST', `server ${server} ended the stream`)),
      );
      session.#pulls.push(pull);
    }
    return session;
  }

  private constructor(options: SessionOptions, step: number) {
    this.#options = options;
    this.#chunks = planChunks(options.layout, options.chunkLength);
    this.#owners = ownersOf(options);
    this.#gather = new Gather(this.#chunks.length, step);
  }

  /** Resolves when the parameters of the next step are in place and it may begin. Rejects when the session has failed. */
  async ready(): Promise<Ready> {
    if (this.#failure) throw this.#failure;
    if (this.#ready) return this.#ready;
    this.#waiting = Promise.withResolvers<Ready>();
    this.#lastHeardMs = performance.now();
    const watchdog = setInterval(() => {
      const silentMs = performance.now() - this.#lastHeardMs;
      if (silentMs > this.#options.stallMs)
        this.fail(
          new RuntimeError(
            'STALLED',
            `step ${this.#gather.target}: no message for ${Math.round(silentMs / 1000)} s`,
          ),
        );
    }, 1000);
    try {
      return await this.#waiting.promise;
    } finally {
      clearInterval(watchdog);
      this.#waiting = undefined;
    }
  }

  /** The engine begins to compute: parameters that come from now on are kept until `computed`. */
  computing(): void {
    this.#ready = undefined;
    this.#pushedFrom = this.#chunks.length;
    this.#apply({ kind: 'computing' });
  }

  computed(): void {
    this.#apply({ kind: 'computed' });
  }

  /** Pushes every chunk of gradients that lies in [from, trainableLength) and was not pushed yet. */
  pushFrom(from: number, share: Share): void {
    for (let index = this.#pushedFrom - 1; index >= 0; index--) {
      const chunk = this.#chunks[index]!;
      if (chunk.state) continue;
      if (chunk.from < from) return;
      this.#pushedFrom = index;
      this.#push(chunk, share);
    }
  }

  /** The rest of the step: its state, and the record that the share is done. */
  pushEnd(share: Share, record: Totals): void {
    for (const chunk of this.#chunks) if (chunk.state) this.#push(chunk, share);
    this.pushFrom(0, share);
    const { epoch, rank } = this.#options;
    this.#pushes.get(0)?.write({ epoch, rank, step: share.step, record, data: NO_DATA });
  }

  /** Says that no more will come; resolves when the servers have taken everything. */
  async drain(): Promise<void> {
    await Promise.all([...this.#pushes.values()].map(({ outgoing }) => outgoing.finish()));
  }

  fail(error: RuntimeError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const pull of this.#pulls) pull.cancel();
    for (const { outgoing } of this.#pushes.values()) outgoing.cancel();
    this.#waiting?.reject(error);
  }

  get failure(): RuntimeError | undefined {
    return this.#failure;
  }

  close(): void {
    this.fail(new RuntimeError('PEER_LOST', 'the session was closed'));
  }

  #push({ index, from, to }: Chunk, { step, weight, learningRate }: Share): void {
    const { epoch, rank, gradients } = this.#options;
    const data = weight > 0 ? bytesOf(gradients, from, to) : NO_DATA;
    const gradient = { chunk: index, weight, learningRate };
    this.#pushes.get(this.#owners[index]!)?.write({ epoch, rank, step, gradient, data });
  }

  #receive({ step, parameters, begin, data }: PullMessage): void {
    if (this.#failure) return;
    this.#lastHeardMs = performance.now();
    if (begin) this.#apply({ kind: 'begin', step, directive: begin.directive });
    else if (parameters) this.#apply({ kind: 'chunk', chunk: parameters.chunk, step }, data);
  }

  #apply(message: GatherMessage, data?: Uint8Array): void {
    for (const effect of this.#gather.step(message)) this.#carryOut(effect, data);
  }

  #carryOut(effect: GatherEffect, data: Uint8Array | undefined): void {
    switch (effect.kind) {
      case 'hold':
        this.#held.set(`${effect.step}:${effect.chunk}`, data!);
        break;
      case 'write': {
        const key = `${effect.step}:${effect.chunk}`;
        this.#write(effect.chunk, this.#held.get(key) ?? data!);
        this.#held.delete(key);
        break;
      }
      case 'ready':
        this.#ready = { step: effect.step, directive: effect.directive };
        this.#waiting?.resolve(this.#ready);
        break;
    }
  }

  #write(index: number, data: Uint8Array): void {
    const { from, to } = this.#chunks[index]!;
    const target = bytesOf(this.#options.parameters, from, to);
    if (data.byteLength !== target.byteLength)
      this.fail(
        new RuntimeError(
          'BAD_MESSAGE',
          `parameters of chunk ${index}: expected ${target.byteLength} bytes, got ${data.byteLength}`,
        ),
      );
    else target.set(data);
  }

  /** Servers that own chunks, and server 0, which says when steps begin. */
  #partners(): number[] {
    return partnersOf(this.#options);
  }

  #delay(stream: number): DelayOptions {
    const { delay, rank } = this.#options;
    return { maxMs: delay.maxMs, seed: delay.seed * 7919 + rank * 131 + stream };
  }
}

/** Rank 0 when no server has parameters: brings the initial ones. */
export async function pushInitial(options: SessionOptions, values: Float32Array): Promise<void> {
  const { servers, rank, epoch, layout, chunkLength } = options;
  const owners = ownersOf(options);
  const streams = servers.map((server) => server.push());
  for (const { index, from, to } of planChunks(layout, chunkLength))
    streams[owners[index]!]!.write({
      epoch,
      rank,
      step: 0,
      initial: { chunk: index },
      data: bytesOf(values, from, to),
    });
  await Promise.all(streams.map((stream) => stream.finish()));
}

async function attendAll(options: SessionOptions): Promise<number> {
  const { servers, rank, epoch, callMs } = options;
  const answers = await Promise.all(
    partnersOf(options).map((server) => servers[server]!.attend({ protocol: PROTOCOL, rank, epoch }, callMs)),
  );
  // Servers are at most one step apart and keep two versions, so all of them can send the oldest step.
  return Math.min(...answers.map(({ step }) => step));
}

function partnersOf(options: SessionOptions): number[] {
  return [...new Set([0, ...ownersOf(options)])];
}

function ownersOf({ layout, chunkLength, servers }: SessionOptions): number[] {
  const shards = planShards(planChunks(layout, chunkLength), servers.length);
  return shards.flatMap(({ server, chunks }) => chunks.map(() => server));
}

function bytesOf(array: Float32Array, from: number, to: number): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset + 4 * from, 4 * (to - from));
}
