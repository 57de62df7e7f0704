// One parameter server: carries out what the exchange decides, on the arrays of its shard. The coordinator commands it.
import { hasBackup, isLeased } from '../../crds/leptonjob.ts';
import { type ServerPlaces, serverCount } from '../../crds/server-places.ts';
import type { ArenaLayout, Engine } from '../../native/engine.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { atPace } from '../checkpoint/cursor.ts';
import { planChunks, planShards, type Shard } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { Exchange } from '../protocol/exchange.ts';
import type { ExchangeEffect, ExchangeMessage } from '../protocol/exchange-messages.ts';
import type { Begun } from '../protocol/gather.ts';
import { paceOf } from '../protocol/pace.ts';
import type { Trace } from '../trace/trace.ts';
import type { Lease } from '../transport/frames.ts';
import type { ExchangeHandlers } from '../transport/handlers.ts';
import type {
  AttendRequest,
  AttendResponse,
  CopyCommand,
  LoadCommand,
  PullMessage,
  PullRequest,
  PushMessage,
  RecallCommand,
  ServerCommand,
  ShardReport,
} from '../transport/messages.ts';
import type { Inbox, Outbox } from '../transport/streams.ts';
import { Arrivals } from './arrivals.ts';
import type { Payload } from './contributions.ts';
import type { Encoded } from './gradient-codec.ts';
import type { Log } from './log.ts';
import { identityOf, type Plan, parsePlan } from './plan.ts';
import { ShardArrays, trainableOf } from './shard-arrays.ts';
import { ShardSnapshot } from './shard-snapshot.ts';
import { type Session, type Speaker, WorkerStreams } from './worker-streams.ts';

export interface ParameterServerOptions {
  readonly engine: Engine;
  readonly index: number;
  readonly places: ServerPlaces;
  readonly chunkLength: number;
  readonly checkpoints: Checkpoints;
  /** Whether processes of this host see the parameters. */
  readonly sharedMemory: boolean;
  /** Of which run this is a server. */
  readonly run: string;
  /** Memory of its next process. */
  readonly snapshotFile?: string | undefined;
  /** To the coordinator. */
  readonly report: (report: ShardReport) => void;
  /** That share the updates of a step. */
  readonly threads: number;
  readonly log: Log;
  readonly trace: Trace;
  /** Of server 0: where records go, and what a worker that pulls late must hear. */
  readonly ledger?: {
    record(message: PushMessage): void;
    begun(): Begun | undefined;
    /** A worker listens from now on: it is told what it has to know. */
    listens(rank: number): void;
    /** A worker does not listen any more. */
    left(rank: number): void;
  };
}

/** What a shard needs of its job. */
interface Order {
  readonly epoch: number;
  readonly plan: string;
  readonly workers: number;
}

/** Arrays, and nothing in them that anybody has said to go on from. */
interface Prepared {
  readonly epoch: number;
  readonly plan: Plan;
  readonly workers: number;
  readonly arrays: ShardArrays;
}

interface Loaded {
  readonly epoch: number;
  readonly exchange: Exchange;
  readonly arrays: ShardArrays;
  readonly layout: ArenaLayout;
  readonly workers: number;
  /** Versions are made as contributions come. */
  readonly leased: boolean;
}

const NO_DATA = new Uint8Array(0);
const NO_PAYLOAD: Payload = { bytes: NO_DATA, codec: '', shared: false };

export class ParameterServer implements ExchangeHandlers {
  readonly #options: ParameterServerOptions;
  #loaded: Loaded | undefined;
  #prepared: Prepared | undefined;
  /** Epoch of the newest recall or load command, done or not. */
  #loading = 0;
  readonly #streams: WorkerStreams;
  readonly #arrivals: Arrivals;
  #copies: CopyCommand[] = [];

  constructor(options: ParameterServerOptions) {
    this.#options = options;
    this.#streams = new WorkerStreams(options.engine);
    this.#arrivals = new Arrivals(options.trace);
  }

  command({ recall, load, copy, norm, quorum }: ServerCommand): void {
    if (recall) this.#recall(recall);
    if (load) this.#load(load).catch((error: unknown) => this.#failed(load.epoch, error));
    if (copy && copy.epoch === this.#loaded?.epoch) {
      this.#copies.push(copy);
      this.#maybeCopy();
    }
    if (norm && norm.epoch === this.#loaded?.epoch) this.#decide({ kind: 'norm', ...norm });
    if (quorum && quorum.epoch === this.#loaded?.epoch) this.#decide({ kind: 'quorum', ...quorum });
  }

  /** What updates of all chunks have waited for. */
  #decide(decision: Extract<ExchangeMessage, { kind: 'norm' | 'quorum' }>): void {
    this.#apply(decision);
    this.#conclude();
  }

  /** What a message has led to becomes visible. */
  #conclude(): void {
    this.#settle();
    this.#streams.flush();
  }

  #settle(): void {
    const { arrays } = this.#loaded!;
    const { dueStep: step } = arrays;
    if (step === undefined) return;
    const sinceMs = performance.now();
    arrays.settle();
    this.#options.trace.span('update', step, sinceMs);
  }

  /** Server 0: tells all workers that a step may begin. */
  announce(begun: Begun): void {
    this.#streams.announce(begun);
  }

  /** Server 0: the same to one worker. */
  tell(rank: number, begun: Begun): void {
    this.#streams.tell(rank, begun);
  }

  /** Server 0: tells all workers that the job is over. */
  finish(): void {
    this.#streams.finish();
  }

  /** A worker listens. */
  hears(rank: number): boolean {
    return this.#streams.current(rank)?.pull !== undefined;
  }

  attend({ rank, epoch, gradients }: AttendRequest): AttendResponse {
    const effects = this.#apply({ kind: 'attend', rank, epoch });
    const { step } = effects.find((effect) => effect.kind === 'attended')!;
    const { arrays, layout } = this.#loaded!;
    const session = this.#own({ rank, epoch });
    delete session.gradients;
    const seen = arrays.shared && gradients && this.#streams.share(session, gradients, layout.length);
    const parameters = seen ? arrays.shared : undefined;
    return { step: this.#stepInProgress(step), ...(parameters ? { parameters } : {}) };
  }

  /** A step whose records are not complete is still in progress, even when all its chunks are made. */
  #stepInProgress(attended: number): number {
    const { ledger } = this.#options;
    if (!ledger) return attended;
    const begun = ledger.begun();
    if (!begun) throw new RuntimeError('NOT_READY', 'attend: no step has begun');
    const empty = this.#loaded!.arrays.shard.chunks.length === 0;
    return empty ? begun.step : Math.min(begun.step, attended);
  }

  push(messages: Inbox<PushMessage>): void {
    messages.onMessage((message, lease) => {
      const session = this.#own(message);
      session.push ??= messages;
      const { epoch, rank, initial, record, refresh, data } = message;
      if (record) this.#options.ledger?.record(message);
      else if (refresh) this.#refresh(message);
      else if (message.gradient) this.#pushed(message, session, lease);
      else if (initial) {
        this.#loaded?.arrays.checkSize(initial.chunk, data);
        this.#apply(
          { kind: 'initialize', epoch, rank, chunk: initial.chunk },
          { bytes: data, codec: '', shared: false },
        );
      } else throw new RuntimeError('BAD_MESSAGE', 'push: expected gradient, initial, record or refresh');
    });
  }

  #refresh({ epoch, rank, step }: PushMessage): void {
    this.#apply({ kind: 'refresh', epoch, rank, step });
    this.#conclude();
  }

  /** One chunk in the message, or several in memory that both see. */
  #pushed({ epoch, rank, step, gradient, data }: PushMessage, { gradients }: Session, lease: Lease): void {
    const { chunk: first, weight, learningRate, codec = '', sharedChunks = 0 } = gradient!;
    const { arrays } = this.#loaded!;
    if (sharedChunks > 0 && !gradients)
      throw new RuntimeError(
        'BAD_MESSAGE',
        `push of rank ${rank}: expected data, got chunks of memory that is not shared`,
      );
    try {
      for (let chunk = first; chunk < first + Math.max(1, sharedChunks); chunk++) {
        const payload: Payload =
          sharedChunks > 0
            ? { bytes: arrays.view(chunk, gradients!.values), codec: '', shared: true }
            : { bytes: data, codec, shared: false, lease };
        if (weight > 0) arrays.checkGradient(chunk, rank, step, payload);
        this.#apply({ kind: 'push', epoch, rank, step, chunk, weight, learningRate }, payload);
      }
    } finally {
      // Whatever is refused, the chunks before it are not.
      this.#conclude();
    }
  }

  pull({ rank, epoch, step, onRequest = false }: PullRequest, messages: Outbox<PullMessage>): void {
    const session = this.#own({ rank, epoch });
    const { pull: before } = session;
    session.pull = messages;
    // Each holds a copy of all parameters until its worker has read them.
    before?.fail(new RuntimeError('OLD_EPOCH', 'the session pulls anew'));
    messages.onClose(() => {
      if (session.pull !== messages) return;
      delete session.pull;
      if (this.#streams.current(rank) === session) this.#options.ledger?.left(rank);
    });
    this.#apply({ kind: 'pull', rank, epoch, step, onRequest });
    this.#conclude();
    this.#options.ledger?.listens(rank);
  }

  /** The rank's newest session; those of an older one end. */
  #own(speaker: Speaker): Session {
    if (!this.#loaded) throw new RuntimeError('NOT_READY', 'stream: this server has no parameters yet');
    const { workers, epoch: baseEpoch } = this.#loaded;
    return this.#streams.of(speaker, { baseEpoch, workers });
  }

  /** Throws what the exchange refuses; carries out everything else, in order. */
  #apply(message: ExchangeMessage, payload: Payload = NO_PAYLOAD): ExchangeEffect[] {
    const loaded = this.#loaded;
    if (!loaded) throw new RuntimeError('NOT_READY', `${message.kind}: this server has no parameters yet`);
    const effects = loaded.exchange.step(message);
    for (const effect of effects) this.#carryOut(loaded, effect, message, payload);
    return effects;
  }

  #carryOut(
    { arrays, epoch }: Loaded,
    effect: ExchangeEffect,
    cause: ExchangeMessage,
    payload: Payload,
  ): void {
    const sinceMs = performance.now();
    switch (effect.kind) {
      case 'refuse':
        throw new RuntimeError(effect.code, effect.message);
      case 'write':
        arrays.write(effect.chunk, 0, payload.bytes);
        break;
      case 'initialized':
        this.#report(epoch, { initialized: {} });
        break;
      case 'hold':
        arrays.hold(effect.chunk, effect.rank, payload);
        this.#arrivals.came(effect.rank, (cause as { step: number }).step);
        break;
      case 'accumulate':
        arrays.accumulate(effect.chunk, effect.rank, effect.weight, effect.first);
        this.#options.trace.span('sum', (cause as { step: number }).step, sinceMs);
        break;
      case 'update':
        arrays.update(effect);
        if (arrays.dueStep === undefined) this.#options.trace.span('update', effect.version, sinceMs);
        break;
      case 'reportNorm':
        this.#report(epoch, {
          norm: { step: effect.step, blocks: arrays.squares(effect.step, effect.scale) },
        });
        break;
      case 'send':
        this.#streams.send(effect.ranks, effect.chunk, effect.step, () => this.#answer(effect, cause));
        this.#options.trace.span('send', effect.step, sinceMs);
        break;
      case 'complete':
        this.#settle();
        arrays.complete(effect.step);
        this.#arrivals.complete(effect.step - 1);
        this.#maybeCopy();
        break;
      case 'supersede':
        this.#own({ rank: effect.rank, epoch: (cause as { epoch: number }).epoch });
        break;
      case 'attended':
        break;
    }
  }

  #answer({ chunk, version }: Extract<ExchangeEffect, { kind: 'send' }>, { kind }: ExchangeMessage): Encoded {
    const { arrays, leased } = this.#loaded!;
    this.#settle();
    // Others may make the version after the next before this one has left.
    if (leased) return { codec: '', data: arrays.bytes(chunk, version).slice() };
    // Who pulls anew has no version before.
    if (kind === 'pull' || kind === 'refresh') return { codec: '', data: arrays.bytes(chunk, version) };
    return arrays.news(chunk, version);
  }

  /** From here on nothing changes what is held, so all servers can agree on one step of it. */
  #recall(command: RecallCommand): void {
    const { epoch } = command;
    if (epoch <= this.#loading) return; // repeated or late
    try {
      this.#prepared = this.#prepare(command);
      const { heldSteps: steps, shard } = this.#prepared.arrays;
      this.#report(epoch, { held: { steps, empty: shard.chunks.length === 0 } });
    } catch (error) {
      this.#failed(epoch, error);
    }
  }

  async #load(command: LoadCommand): Promise<void> {
    const { epoch } = command;
    const recalled = this.#prepared?.epoch === epoch ? this.#prepared : undefined;
    if (!recalled && epoch <= this.#loading) return; // repeated or late
    const prepared = recalled ?? this.#prepare(command);
    this.#prepared = undefined;
    const step = await this.#fill(prepared, command);
    if (this.#loading !== epoch) return; // a newer command came meanwhile
    const { arrays, plan, workers } = prepared;
    const { layout, clip } = plan;
    const { chunks } = arrays.shard;
    const clipByNorm = clip.norm !== undefined;
    const exchange = new Exchange({ workers, chunks, clipByNorm, consistency: plan.consistency });
    this.#loaded = { epoch, exchange, arrays, layout, workers, leased: isLeased(plan.consistency) };
    this.#apply(step === undefined ? { kind: 'clear', epoch } : { kind: 'load', epoch, step });
    this.#report(epoch, { loaded: { shardBytes: arrays.sizeBytes } });
  }

  /** Ends whatever goes on. */
  #prepare({ epoch, plan: text, workers }: Order): Prepared {
    const { engine, index, places, chunkLength, sharedMemory, threads } = this.#options;
    this.#loading = epoch;
    this.#loaded = undefined;
    this.#copies = [];
    this.#streams.endAll();
    const plan = parsePlan(text);
    const { layout, optimizer, clip, gradientCodec, consistency } = plan;
    const { trainableLength } = layout;
    const shard = planShards(planChunks(layout, chunkLength), places)[index]!;
    const snapshot = mayGoBack(plan)
      ? this.#openSnapshot(shard, plan, { epoch, plan: text, workers })
      : undefined;
    const arrays = new ShardArrays(engine, {
      shard,
      trainableLength,
      optimizer,
      clipValue: clip.value,
      // Where each worker has a version of its own, there are more than the two that can be seen.
      sharedMemory: sharedMemory && !isLeased(consistency),
      gradientCodec,
      encodesAnswers: !isLeased(consistency) && !hasBackup(consistency),
      threads,
      snapshot,
    });
    return { epoch, plan, workers, arrays };
  }

  /** Where there is no memory for it, the server's next process begins with a checkpoint. */
  #openSnapshot(shard: Shard, { layout, optimizer }: Plan, order: Order): ShardSnapshot | undefined {
    const { engine, index, places, chunkLength, run, snapshotFile: file, log } = this.#options;
    if (file === undefined || shard.chunks.length === 0) return undefined;
    const job = identityOf(run, order.plan, order.workers);
    const identity = JSON.stringify([job, index, places, chunkLength]);
    const trainable = trainableOf(shard, layout.trainableLength);
    try {
      return new ShardSnapshot(engine, { file, shard, trainable, optimizer, identity });
    } catch (error) {
      log('warning', 'nothing is kept in memory for the next process', { error: (error as Error).message });
      return undefined;
    }
  }

  /** Gives the step that the arrays stand at then, as this job counts it; undefined where there are no parameters. */
  async #fill(prepared: Prepared, { checkpoint, recalled, step }: LoadCommand): Promise<number | undefined> {
    const { arrays } = prepared;
    if (recalled) arrays.keepOnly(step);
    else arrays.forget();
    if (recalled) return step;
    return checkpoint === '' ? undefined : await this.#restore(checkpoint, prepared);
  }

  /** Reads what overlaps with this shard. */
  async #restore(folder: string, { epoch, plan, workers, arrays }: Prepared): Promise<number> {
    const { checkpoints } = this.#options;
    const manifest = atPace(await checkpoints.manifest(folder), paceOf(plan, workers));
    for (const file of manifest.files) {
      if (file.to <= arrays.shard.from || file.from >= arrays.shard.to) continue;
      const content = await checkpoints.readShard(folder, file);
      // The memory may be that of a newer command by now.
      if (this.#loading === epoch) arrays.restore(content, manifest.step);
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
      const copy = loaded.arrays.copy(loaded.exchange.version);
      this.#report(epoch, { copied: { step } });
      const { checkpoints, index, places } = this.#options;
      checkpoints.writeShard(folder, index, serverCount(places), copy).then(
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

/**
 * Whether a step is all that servers hold at it. What codecs keep back is also in the workers, who lose it with their sessions; only the
 * steps of checkpoints have nothing kept back. In the modes named here servers are at most one step apart.
 */
function mayGoBack({ gradientCodec, consistency }: Plan): boolean {
  return !gradientCodec && !isLeased(consistency) && !hasBackup(consistency);
}
