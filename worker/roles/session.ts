// A worker's session with all parameter servers under one epoch: pushes its gradients, collects the parameters of each step.
// Any failure ends the whole session; the worker then joins again. Computes nothing.
import { type Chunk, planChunks } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { type Begun, Gather, type GatherEffect, type GatherMessage, isEnding } from '../protocol/gather.ts';
import type { Totals } from '../protocol/ledger.ts';
import { type TurnEffect, Turns } from '../protocol/turns.ts';
import { type DelayOptions, delayed } from '../transport/delay.ts';
import type { Parameters, PullMessage, PushMessage } from '../transport/messages.ts';
import type { Incoming, Outgoing } from '../transport/streams.ts';
import { type Attended, attendAll, ownersOf, partnersOf, type SessionOptions } from './attendance.ts';
import type { Encoded, Moment } from './gradient-codec.ts';

/** Of the step or batch being pushed. */
export interface Share extends Moment {
  readonly step: number;
  /** Samples / batch size. */
  readonly weight: number;
}

/** Parameters are in place; which of the two versions. */
export interface Ready extends Begun {
  readonly version: number;
}

interface Push {
  readonly message: PushMessage;
  readonly taken?: () => void;
}

const NO_DATA = new Uint8Array(0);
const NOTHING: Encoded = { codec: '', data: NO_DATA };

export class Session {
  readonly #options: SessionOptions;
  readonly #chunks: readonly Chunk[];
  /** Chunks below it are trainable, the others state. */
  readonly #trainable: number;
  /** Server of each chunk. */
  readonly #owners: readonly number[];
  /** Servers that see our gradients, and whose parameters we see. */
  readonly #seen: ReadonlySet<number>;
  readonly #pushes = new Map<number, { outgoing: Outgoing<PushMessage>; write(push: Push): void }>();
  readonly #pulls: Incoming<PullMessage>[] = [];
  readonly #gather: Gather;
  /** Where batches are leased. */
  readonly #turns: Turns | undefined;
  /** Of a batch whose gradients are pushed and not yet all answered. */
  #record: PushMessage | undefined;
  #waiting: PromiseWithResolvers<Ready> | undefined;
  #failure: RuntimeError | undefined;
  /** Nothing is to be trained any more: only server 0, which says when the job is over, is still listened to. */
  #finishing = false;
  readonly #over = Promise.withResolvers<void>();
  #lastHeardMs = performance.now();
  /** Chunks from this one on are pushed already in the present step; falls as backward proceeds. */
  #pushedFrom = 0;
  /** When the first parameters of the next step came. */
  #pullsSinceMs: number | undefined;

  /** Announces the session to every server, finds the step in progress, and opens the streams. */
  static async open(options: SessionOptions): Promise<Session> {
    const { servers } = options;
    const attended = await attendAll(options);
    const session = new Session(options, attended);
    for (const server of session.#partners()) {
      const outgoing = servers[server]!.push();
      outgoing.onFailure((error) => session.#lost(server, error));
      const write = delayed<Push>(
        ({ message, taken }) => outgoing.write(message, taken),
        session.#delay(2 * server),
      );
      session.#pushes.set(server, { outgoing, write });
    }
    for (const server of session.#partners()) session.#pull(server, attended.step);
    return session;
  }

  private constructor(options: SessionOptions, { step, seen }: Attended) {
    this.#options = options;
    this.#over.promise.catch(() => {}); // whoever waits for it has it
    this.#seen = seen;
    this.#chunks = planChunks(options.layout, options.chunkLength);
    this.#trainable = this.#chunks.filter(({ state }) => !state).length;
    this.#owners = ownersOf(options);
    if (options.meeting === 'byLease') this.#turns = new Turns(step);
    this.#gather = new Gather({
      chunks: this.#chunks.length,
      step: this.#turns ? 0 : step,
      byQuorum: options.meeting === 'byQuorum',
    });
  }

  /** Where batches are leased, a worker asks for parameters when it knows what for. */
  #pull(server: number, step: number): void {
    const { servers, rank, epoch, meeting } = this.#options;
    const pull = servers[server]!.pull({ rank, epoch, step, onRequest: meeting === 'byLease' });
    const receive = delayed<PullMessage | 'end'>(
      (message) => (message === 'end' ? this.#ended(server) : this.#receive(message)),
      this.#delay(2 * server + 1),
    );
    pull.onMessage((message, lease) => {
      if (this.#options.delay.maxMs > 0) lease?.keep();
      receive(message);
    });
    pull.onEnd((error) => (error ? this.#lost(server, error) : receive('end')));
    this.#pulls.push(pull);
  }

  /** Resolves when the parameters of the next step are in place and it may begin. Rejects when the session has failed. */
  async ready(): Promise<Ready> {
    if (this.#failure) throw this.#failure;
    const { ready } = this.#gather;
    if (ready) return this.#take(ready);
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

  #take(begun: Begun): Ready {
    this.#apply({ kind: 'taken' });
    return { ...begun, ...this.#turns?.current, version: begun.step };
  }

  /**
   * After the last step: resolves when the coordinator has ended the job. Rejects when it is lost before: its next process needs
   * the workers again.
   */
  async over(): Promise<void> {
    if (this.#failure) throw this.#failure;
    const { stallMs } = this.#options;
    const late = new RuntimeError(
      'STALLED',
      `the job does not end: nothing for ${Math.round(stallMs / 1000)} s`,
    );
    const timer = setTimeout(() => this.fail(late), stallMs);
    try {
      await this.#over.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #ended(server: number): void {
    if (this.#finishing && server === 0) this.#over.resolve();
    else this.#lost(server, new RuntimeError('PEER_LOST', `server ${server} ended the stream`));
  }

  #lost(server: number, error: RuntimeError): void {
    if (server === 0 || !this.#finishing) this.fail(error);
  }

  /** The engine begins to compute: parameters that come from now on are the next step's. */
  computing(): void {
    this.#pushedFrom = this.#trainable;
    this.#turns?.computing();
    this.#apply({ kind: 'computing' });
  }

  /** What was ready is done without computing: the next is waited for. */
  passed(): void {
    this.#apply({ kind: 'passed' });
    this.#turn(this.#turns?.over() ?? []);
  }

  /** The others have done without this worker's part of the step: nobody looks at it any more. */
  isOvertaken(step: number): boolean {
    return this.#gather.isOvertaken(step);
  }

  computed(): void {
    this.#apply({ kind: 'computed' });
  }

  /** Pushes every chunk of gradients that lies in [from, trainableLength) and was not pushed yet. */
  pushFrom(from: number, share: Share): void {
    let first = this.#pushedFrom;
    while (first > 0 && this.#chunks[first - 1]!.from >= from) first--;
    if (first < this.#pushedFrom) this.#pushRange(first, this.#pushedFrom, share);
    this.#pushedFrom = first;
  }

  /** The rest of the step: its state, and the record that the share is done. */
  pushEnd(share: Share, record: Totals): void {
    this.#pushRange(this.#trainable, this.#chunks.length, share);
    this.pushFrom(0, share);
    const { epoch, rank } = this.#options;
    this.#record = { epoch, rank, step: share.step, record, data: NO_DATA };
    // A step needs all its gradients in any case; a leased batch that was counted would not be computed again.
    if (!this.#turns) this.#sendRecord();
  }

  #sendRecord(): void {
    const message = this.#record;
    this.#record = undefined;
    if (message) this.#pushes.get(0)?.write({ message });
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
    this.#over.reject(error);
  }

  /** Servers that this worker exchanges with, and how many of them through memory that both see. */
  get partners(): { readonly servers: number; readonly sharedMemory: number } {
    return { servers: this.#partners().length, sharedMemory: this.#seen.size };
  }

  get failure(): RuntimeError | undefined {
    return this.#failure;
  }

  close(): void {
    this.fail(new RuntimeError('PEER_LOST', 'the session was closed'));
  }

  /** Chunks [first, end), the last ones first, as backward makes them; what a server sees in one message. */
  #pushRange(first: number, end: number, share: Share): void {
    const sinceMs = performance.now();
    if (end > first) this.#turns?.pushes();
    if (share.weight > 0) this.#prepare(first, end, share);
    for (let last = end - 1; last >= first; last--) {
      const server = this.#owners[last]!;
      if (this.#seen.has(server)) {
        let low = last;
        while (low > first && this.#owners[low - 1] === server) low--;
        this.#push(server, low, share, last + 1 - low);
        last = low;
      } else this.#push(server, last, share, 0);
    }
    this.#options.trace.span('push', share.step, sinceMs);
  }

  #push(server: number, chunk: number, share: Share, sharedChunks: number): void {
    const { epoch, rank } = this.#options;
    const { step, weight, learningRate } = share;
    const { codec, data, done } =
      sharedChunks === 0 && weight > 0 ? this.#encoded(this.#chunks[chunk]!, share) : NOTHING;
    const gradient = { chunk, weight, learningRate, codec, sharedChunks };
    const message = { epoch, rank, step, gradient, data };
    this.#pushes.get(server)?.write({ message, ...(done ? { taken: done } : {}) });
  }

  #prepare(first: number, end: number, share: Share): void {
    const { arenas, encoder } = this.#options;
    for (let chunk = first; chunk < end; chunk++)
      encoder?.prepare(arenas.gradients.values, this.#chunks[chunk]!, share);
  }

  #encoded(chunk: Chunk, share: Share): Encoded {
    const { arenas, encoder, trace } = this.#options;
    const sinceMs = performance.now();
    const encoded = encoder?.encode(arenas.gradients.values, chunk, share);
    if (encoded) trace.span('encode', share.clock, sinceMs);
    return encoded ?? { codec: '', data: arenas.gradientBytes(chunk) };
  }

  #receive({ step, parameters, begin, data }: PullMessage): void {
    if (this.#failure) return;
    this.#lastHeardMs = performance.now();
    if (begin) this.#told({ step, ...begin });
    else if (parameters && !this.#turns) this.#received(step, parameters, data);
    else if (parameters && this.#turns?.label === step) this.#received(this.#gather.target, parameters, data);
  }

  #told(begun: Begun): void {
    if (this.#turns) {
      if (begun.directive === 'train') this.#options.leased?.(begun.step);
      this.#turn(this.#turns.told(begun));
      return;
    }
    this.#apply({ kind: 'begin', ...begun });
  }

  #turn(effects: readonly TurnEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'refresh') {
        this.#apply({ kind: 'skip', to: this.#gather.target + 1 });
        this.#refresh(effect.step);
      } else this.#apply({ kind: 'begin', step: this.#gather.target, directive: effect.directive });
    }
  }

  /** Asks all servers for what they have now. */
  #refresh(step: number): void {
    const { epoch, rank } = this.#options;
    for (const { write } of this.#pushes.values())
      write({ message: { epoch, rank, step, refresh: {}, data: NO_DATA } });
  }

  #received(step: number, parameters: Parameters, data: Uint8Array): void {
    const { chunk: first, codec = '', sharedChunks = 0 } = parameters;
    this.#pullsSinceMs ??= performance.now();
    const end = Math.min(first + Math.max(1, sharedChunks), this.#chunks.length);
    for (let chunk = first; chunk < end; chunk++)
      this.#apply({ kind: 'chunk', chunk, step }, sharedChunks > 0 ? undefined : { codec, data });
  }

  #apply(message: GatherMessage, encoded?: Encoded): void {
    for (const effect of this.#gather.step(message)) this.#carryOut(effect, encoded);
  }

  #carryOut(effect: GatherEffect, encoded: Encoded | undefined): void {
    switch (effect.kind) {
      case 'write':
        if (encoded) this.#write(effect.chunk, effect.step, encoded);
        break;
      case 'gathered':
        if (this.#record) {
          this.#sendRecord();
          this.#turn(this.#turns?.over() ?? []);
        }
        break;
      case 'ready':
        if (this.#pullsSinceMs !== undefined)
          this.#options.trace.span('pull', effect.step, this.#pullsSinceMs);
        this.#pullsSinceMs = undefined;
        // The coordinator may end the job as soon as it has this worker's last word.
        this.#finishing = isEnding(effect.directive);
        if (this.#waiting) this.#waiting.resolve(this.#take(this.#gather.ready!));
        break;
      case 'refresh':
        this.#refresh(effect.step);
        break;
    }
  }

  #write(index: number, step: number, encoded: Encoded): void {
    const { arenas } = this.#options;
    const chunk = this.#chunks[index]!;
    try {
      if (this.#seen.has(this.#owners[index]!))
        throw new RuntimeError('BAD_MESSAGE', `parameters of chunk ${index}: they are shared, got data`);
      if (encoded.codec === '') arenas.write(chunk, step, encoded.data);
      else arenas.add(chunk, step, encoded);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      this.fail(error);
    }
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
