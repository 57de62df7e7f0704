// One parameter server: carries out what the exchange decides, on the arrays of its shard. The coordinator commands it.
import type { Engine } from '../../native/engine.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { atPace } from '../checkpoint/cursor.ts';
import { planChunks, planShards } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { Exchange, type ExchangeEffect, type ExchangeMessage } from '../protocol/exchange.ts';
import type { Directive } from '../protocol/gather.ts';
import { type Pace, paceOf } from '../protocol/pace.ts';
import type { ExchangeHandlers, Inbox, Outbox } from '../transport/listener.ts';
import type {
  AttendRequest,
  AttendResponse,
  CopyCommand,
  LoadCommand,
  PullMessage,
  PullRequest,
  PushMessage,
  ServerCommand,
  ShardReport,
} from '../transport/messages.ts';
import type { Log } from './log.ts';
import { parsePlan } from './plan.ts';
import { ShardArrays } from './shard-arrays.ts';

export interface ParameterServerOptions {
  readonly engine: Engine;
  readonly index: number;
  readonly servers: number;
  readonly chunkLength: number;
  readonly checkpoints: Checkpoints;
  /** To the coordinator. */
  readonly report: (report: ShardReport) => void;
  readonly log: Log;
  /** Of server 0: where records go, and what a worker that pulls late must hear. */
  readonly ledger?: {
    record(message: PushMessage): void;
    begun(): { readonly step: number; readonly directive: Directive } | undefined;
    /** A worker does not listen any more. */
    left(rank: number): void;
  };
}

interface Loaded {
  readonly epoch: number;
  readonly exchange: Exchange;
  readonly arrays: ShardArrays;
  readonly trainableLength: number;
  readonly workers: number;
}

interface Streams {
  epoch: number;
  pull?: Outbox<PullMessage>;
  push?: Inbox<PushMessage>;
}

const NO_DATA = new Uint8Array(0);

export class ParameterServer implements ExchangeHandlers {
  readonly #options: ParameterServerOptions;
  #loaded: Loaded | undefined;
  /** Epoch of the newest load command, done or not. */
  #loading = 0;
  readonly #streams = new Map<number, Streams>();
  #copies: CopyCommand[] = [];

  constructor(options: ParameterServerOptions) {
    this.#options = options;
  }

  command({ load, copy, norm }: ServerCommand): void {
    if (load) this.#load(load).catch((error: unknown) => this.#failed(load.epoch, error));
    if (copy && copy.epoch === this.#loaded?.epoch) {
      this.#copies.push(copy);
      this.#maybeCopy();
    }
    if (norm && norm.epoch === this.#loaded?.epoch)
      this.#apply({ kind: 'norm', step: norm.step, factor: norm.factor });
  }

  /** Server 0: tells all workers that a step may begin. */
  announce(step: number, directive: Directive): void {
    for (const { pull } of this.#streams.values()) pull?.write({ step, begin: { directive }, data: NO_DATA });
  }

  /** A worker listens. */
  hears(rank: number): boolean {
    return this.#streams.get(rank)?.pull !== undefined;
  }

  attend({ rank, epoch }: AttendRequest): AttendResponse {
    const effects = this.#apply({ kind: 'attend', rank, epoch });
    const attended = effects.find((effect) => effect.kind === 'attended')!;
    if (!this.#options.ledger) return { step: attended.step };
    const begun = this.#options.ledger.begun();
    if (!begun) throw new RuntimeError('NOT_READY', 'attend: no step has begun');
    // A step whose records are not complete is still in progress, even when all its chunks are made.
    const empty = this.#loaded!.arrays.shard.chunks.length === 0;
    return { step: empty ? begun.step : Math.min(begun.step, attended.step) };
  }

  push(messages: Inbox<PushMessage>): void {
    messages.onMessage((message) => {
      this.#own(message).push ??= messages;
      const { epoch, rank, step, gradient, initial, record, data } = message;
      if (record) this.#options.ledger?.record(message);
      else if (gradient) {
        if (gradient.weight > 0) this.#loaded?.arrays.checkSize(gradient.chunk, data);
        this.#apply({ kind: 'push', epoch, rank, step, ...gradient }, data);
      } else if (initial) {
        this.#loaded?.arrays.checkSize(initial.chunk, data);
        this.#apply({ kind: 'initialize', epoch, rank, chunk: initial.chunk }, data);
      } else throw new RuntimeError('BAD_MESSAGE', 'push: expected gradient, initial or record');
    });
  }

  pull({ rank, epoch, step }: PullRequest, messages: Outbox<PullMessage>): void {
    this.#own({ rank, epoch }).pull = messages;
    messages.onClose(() => {
      const streams = this.#streams.get(rank);
      if (streams?.pull !== messages) return;
      delete streams.pull;
      this.#options.ledger?.left(rank);
    });
    this.#apply({ kind: 'pull', rank, epoch, step });
    const begun = this.#options.ledger?.begun();
    if (begun) messages.write({ step: begun.step, begin: { directive: begun.directive }, data: NO_DATA });
  }

  /** The streams of a rank's newest session; those of an older one end. */
  #own({ rank, epoch }: { rank: number; epoch: number }): Streams {
    if (!this.#loaded) throw new RuntimeError('NOT_READY', 'stream: this server has no parameters yet');
    const { workers, epoch: base } = this.#loaded;
    if (epoch < base)
      throw new RuntimeError('OLD_EPOCH', `stream: expected epoch ${base} or newer, got ${epoch}`);
    if (rank >= workers)
      throw new RuntimeError('BAD_MESSAGE', `stream: expected a rank below ${workers}, got ${rank}`);
    const streams = this.#streams.get(rank);
    if (streams && streams.epoch >= epoch) return streams.epoch === epoch ? streams : { epoch };
    if (streams) this.#end(streams);
    const fresh: Streams = { epoch };
    this.#streams.set(rank, fresh);
    return fresh;
  }

  #end({ pull, push }: Streams): void {
    const reason = new RuntimeError('OLD_EPOCH', 'the session was overtaken by a newer one');
    pull?.fail(reason);
    push?.fail(reason);
  }

  /** Throws what the exchange refuses; carries out everything else, in order. */
  #apply(message: ExchangeMessage, data: Uint8Array = NO_DATA): ExchangeEffect[] {
    const loaded = this.#loaded;
    if (!loaded) throw new RuntimeError('NOT_READY', `${message.kind}: this server has no parameters yet`);
    const effects = loaded.exchange.step(message);
    for (const effect of effects) this.#carryOut(loaded, effect, message, data);
    return effects;
  }

  #carryOut(
    { arrays, epoch }: Loaded,
    effect: ExchangeEffect,
    cause: ExchangeMessage,
    data: Uint8Array,
  ): void {
    switch (effect.kind) {
      case 'refuse':
        throw new RuntimeError(effect.code, effect.message);
      case 'write':
        arrays.write(effect.chunk, 0, data);
        break;
      case 'initialized':
        this.#report(epoch, { initialized: {} });
        break;
      case 'hold':
        arrays.hold(effect.chunk, effect.rank, data);
        break;
      case 'accumulate':
        arrays.accumulate(effect.chunk, effect.rank, effect.weight, effect.first);
        break;
      case 'update':
        arrays.update(effect.chunk, effect.step, effect.scale, effect.learningRate);
        break;
      case 'reportNorm':
        this.#report(epoch, { norm: { step: effect.step, blocks: arrays.squares(effect.scale) } });
        break;
      case 'send':
        this.#send(arrays, effect);
        break;
      case 'complete':
        this.#maybeCopy();
        break;
      case 'supersede':
        this.#own({ rank: effect.rank, epoch: (cause as { epoch: number }).epoch });
        break;
      case 'attended':
        break;
    }
  }

  #send(arrays: ShardArrays, { ranks, chunk, step }: Extract<ExchangeEffect, { kind: 'send' }>): void {
    const message: PullMessage = { step, parameters: { chunk }, data: arrays.bytes(chunk, step) };
    for (const rank of ranks) this.#streams.get(rank)?.pull?.write(message);
  }

  async #load({ epoch, plan: text, checkpoint, workers }: LoadCommand): Promise<void> {
    const { engine, index, servers, chunkLength } = this.#options;
    if (epoch <= this.#loading) return; // repeated or late
    this.#loading = epoch;
    this.#loaded = undefined;
    this.#copies = [];
    for (const streams of this.#streams.values()) this.#end(streams);
    this.#streams.clear();
    const plan = parsePlan(text);
    const { layout, optimizer, clip } = plan;
    const { trainableLength } = layout;
    const shard = planShards(planChunks(layout, chunkLength), servers)[index]!;
    const arrays = new ShardArrays(engine, { shard, trainableLength, optimizer, clipValue: clip.value });
    const exchange = new Exchange({ workers, chunks: shard.chunks, clipByNorm: clip.norm !== undefined });
    const step =
      checkpoint === '' ? undefined : await this.#restore(checkpoint, arrays, paceOf(plan, workers));
    if (this.#loading !== epoch) return; // a newer command came meanwhile
    this.#loaded = { epoch, exchange, arrays, trainableLength, workers };
    this.#apply(step === undefined ? { kind: 'clear', epoch } : { kind: 'load', epoch, step });
    this.#report(epoch, { loaded: { shardBytes: arrays.sizeBytes } });
  }

  /** Reads what overlaps with this shard; gives the checkpoint's step, as this job counts it. */
  async #restore(folder: string, arrays: ShardArrays, pace: Pace): Promise<number> {
    const { checkpoints } = this.#options;
    const manifest = atPace(await checkpoints.manifest(folder), pace);
    for (const file of manifest.files) {
      if (file.to <= arrays.shard.from || file.from >= arrays.shard.to) continue;
      arrays.restore(await checkpoints.readShard(folder, file), manifest.step);
    }
    return manifest.step;
  }

  /** A shard is copied at the moment when all its chunks stand at the step: no worker can be further yet. */
  #maybeCopy(): void {
    const loaded = this.#loaded;
    if (!loaded) return;
    const due = this.#copies.filter(({ step }) => loaded.exchange.isComplete(step));
    this.#copies = this.#copies.filter((copy) => !due.includes(copy));
    for (const { epoch, step, folder } of due) {
      const copy = loaded.arrays.copy(step);
      this.#report(epoch, { copied: { step } });
      const { checkpoints, index, servers } = this.#options;
      checkpoints.writeShard(folder, index, servers, copy).then(
        (file) => this.#report(epoch, { saved: { step, ...file } }),
        (error: unknown) => this.#report(epoch, { unsaved: { step, reason: (error as Error).message } }),
      );
    }
  }

  #failed(epoch: number, error: unknown): void {
    const named = error instanceof RuntimeError ? error : undefined;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.log('error', 'command failed', { epoch, error: message });
    this.#report(epoch, { failed: { code: named?.code ?? 'INTERNAL', message } });
  }

  #report(epoch: number, report: Omit<ShardReport, 'server' | 'epoch'>): void {
    this.#options.report({ server: this.#options.index, epoch, ...report });
  }
}
