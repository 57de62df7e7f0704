// A whole job out of the protocol's machines, with a network that repeats, reorders, delays and loses, and processes that die.
// Every arithmetic effect is done on one number per chunk. Steps are drawn by a seed.
import { type Chunk, planShards, type Shard } from '../../../worker/protocol/chunks.ts';
import { Cut, type CutMessage } from '../../../worker/protocol/cut.ts';
import { Exchange, type ExchangeEffect, type ExchangeMessage } from '../../../worker/protocol/exchange.ts';
import { type Directive, Gather, type GatherMessage } from '../../../worker/protocol/gather.ts';
import {
  Ledger,
  type LedgerMessage,
  type LedgerState,
  type Totals,
} from '../../../worker/protocol/ledger.ts';
import { Membership, type MembershipMessage } from '../../../worker/protocol/membership.ts';
import { NormSum } from '../../../worker/protocol/norm.ts';
import { Random } from '../../../worker/random/philox.ts';
import { contribution, initial, type Job, LEARNING_RATE, lossOf, type Result, samplesOf } from './plain.ts';

export interface Faults {
  /** Chance per action, of each kind of trouble. */
  readonly repeat: number;
  readonly breakSession: number;
  readonly killWorker: number;
  readonly killServer: number;
  readonly killCoordinator: number;
  /** Chance per written shard. */
  readonly fullDisk: number;
  /** Somebody asks for another number of workers. */
  readonly resize: number;
}

const MOST_WORKERS = 5;

interface Checkpoint {
  readonly step: number;
  readonly ledger: LedgerState;
  readonly parameters: readonly number[];
  /** Workers of each step before it. */
  readonly trail: readonly number[];
}

/** Runs a closure when delivered; `to` says whose death drops it. */
interface Letter {
  readonly to: string;
  readonly deliver: () => void;
}

const round = Math.fround;

export class System {
  readonly job: Job;
  readonly random: Random;
  readonly letters: Letter[] = [];
  readonly shards: readonly Shard[];
  readonly servers: Server[];
  readonly workers: Worker[];
  coordinator: Coordinator;
  checkpoints: Checkpoint[] = [];
  coordinatorLives = 0;
  ended: Exclude<Directive, 'train'> | undefined;
  actions = 0;
  troubles = 0;
  /** Whether a shard that is written now finds no room. */
  diskFails = (): boolean => false;
  /** What a new coordinator is started with, and what was asked for last. */
  present: number;
  asked: number;

  constructor(job: Job, servers: number, seed: number) {
    this.job = job;
    this.random = new Random(seed, 'system');
    const trainable = job.chunks - job.state;
    const chunks: Chunk[] = Array.from({ length: job.chunks }, (_, index) => ({
      index,
      from: index,
      to: index + 1,
      state: index >= trainable,
    }));
    this.shards = planShards(chunks, servers);
    this.servers = this.shards.map((shard) => new Server(this, shard));
    this.present = job.workers;
    this.asked = job.workers;
    this.workers = Array.from({ length: MOST_WORKERS }, (_, rank) => new Worker(this, rank));
    this.coordinator = new Coordinator(this);
  }

  send(to: string, deliver: () => void): void {
    this.letters.push({ to, deliver });
  }

  /** Runs to the end; faults stop after `maxTroubles`, so that the end must come. */
  run(faults: Faults, maxTroubles: number): Result {
    this.diskFails = () =>
      this.troubles < maxTroubles && this.random.uniform() < faults.fullDisk && ++this.troubles > 0;
    for (const server of this.servers) server.enlist();
    for (const worker of this.workers.slice(0, this.job.workers)) worker.join();
    while (this.ended === undefined) {
      if (this.actions++ > 200_000) throw new Error('the system does not come to an end');
      if (this.troubles < maxTroubles) this.#trouble(faults);
      if (this.letters.length > 0) this.#deliver(faults);
      else this.#wakeSomebody();
    }
    const { parameters, ledger } = this.checkpoints.at(-1)!;
    const epochs = ledger.history.map(({ train }) => ({ samples: train.samples, sum: train.sums[0] ?? 0 }));
    return { parameters, epochs };
  }

  #deliver({ repeat }: Faults): void {
    const at = this.random.integer(this.letters.length);
    const letter = this.letters[at]!;
    // A repeated message stays in the network: it comes again, maybe much later.
    if (this.random.uniform() >= repeat) {
      this.letters[at] = this.letters.at(-1)!;
      this.letters.pop();
    }
    letter.deliver();
  }

  /** Nothing is under way: whoever waits finds out by its deadline. */
  #wakeSomebody(): void {
    this.#somebody().join();
    this.coordinator.resize(this.asked);
  }

  #somebody(): Worker {
    return this.workers[this.random.integer(Math.max(this.present, this.asked))]!;
  }

  #resize(workers: number): void {
    for (let rank = this.asked; rank < workers; rank++) this.workers[rank]!.join();
    this.asked = workers;
    this.send('coordinator', () => this.coordinator.resize(workers));
  }

  #trouble(faults: Faults): void {
    const draw = (chance: number): boolean => this.random.uniform() < chance && ++this.troubles > 0;
    const worker = this.#somebody();
    if (draw(faults.resize)) this.#resize(1 + this.random.integer(MOST_WORKERS));
    if (draw(faults.breakSession)) worker.breakSession();
    if (draw(faults.killWorker)) worker.die();
    if (draw(faults.killServer)) this.servers[this.random.integer(this.servers.length)]!.die();
    if (draw(faults.killCoordinator)) this.killCoordinator();
  }

  /** Coordinator and server 0 are one process. */
  killCoordinator(): void {
    this.drop('coordinator');
    this.coordinatorLives++;
    this.coordinator = new Coordinator(this);
    this.servers[0]!.die();
    for (const server of this.servers) server.enlist();
    for (const worker of this.workers.slice(0, this.present)) worker.breakSession();
  }

  /** Loses what is under way to a process that died. */
  drop(to: string): void {
    for (let at = this.letters.length - 1; at >= 0; at--)
      if (this.letters[at]!.to === to) this.letters.splice(at, 1);
  }
}

class Server {
  readonly #system: System;
  readonly #shard: Shard;
  #exchange: Exchange | undefined;
  #epoch = 0;
  #versions = new Map<string, number>();
  #sums = new Map<number, number>();
  #held = new Map<string, number>();
  #copies: { step: number; epoch: number }[] = [];

  constructor(system: System, shard: Shard) {
    this.#system = system;
    this.#shard = shard;
  }

  get index(): number {
    return this.#shard.server;
  }

  enlist(): void {
    const server = this.index;
    const { coordinator } = this.#system;
    this.#toCoordinator(() => coordinator.membership({ kind: 'left', server }));
    // The stream is one: leaving and enlisting cannot overtake each other.
    this.#toCoordinator(() => coordinator.membership({ kind: 'enlist', server }));
  }

  die(): void {
    this.#exchange = undefined;
    this.#epoch = 0;
    this.#system.drop(`server ${this.index}`);
    this.enlist();
  }

  load(epoch: number, checkpoint: Checkpoint | undefined, workers: number): void {
    if (epoch <= this.#epoch) return; // repeated or late
    const { job } = this.#system;
    this.#epoch = epoch;
    const clipByNorm = job.clipNorm !== undefined;
    this.#exchange = new Exchange({ workers, chunks: this.#shard.chunks, clipByNorm });
    this.#copies = [];
    for (const { index } of this.#shard.chunks)
      if (checkpoint) this.#versions.set(`${index}:${checkpoint.step % 2}`, checkpoint.parameters[index]!);
    this.apply(checkpoint ? { kind: 'load', epoch, step: checkpoint.step } : { kind: 'clear', epoch });
    this.#report((coordinator) => coordinator.membership({ kind: 'loaded', server: this.index, epoch }));
  }

  copy(step: number, epoch: number): void {
    if (epoch !== this.#epoch) return;
    this.#copies.push({ step, epoch });
    this.#maybeCopy();
  }

  norm(step: number, factor: number, epoch: number): void {
    if (epoch === this.#epoch) this.apply({ kind: 'norm', step, factor });
  }

  /** Effects, or what it was refused for. */
  apply(message: ExchangeMessage, value = 0): ExchangeEffect[] | string {
    const effects = this.#exchange?.step(message) ?? [
      { kind: 'refuse', code: 'NOT_READY', message: '' } as const,
    ];
    for (const effect of effects) {
      if (effect.kind === 'refuse') return effect.code;
      this.#carryOut(effect, value);
    }
    return effects;
  }

  #carryOut(effect: ExchangeEffect, value: number): void {
    const epoch = this.#epoch;
    switch (effect.kind) {
      case 'write':
        this.#versions.set(`${effect.chunk}:0`, value);
        break;
      case 'initialized':
        this.#report((coordinator) =>
          coordinator.membership({ kind: 'initialized', server: this.index, epoch }),
        );
        break;
      case 'hold':
        this.#held.set(`${effect.chunk}:${effect.rank}`, value);
        break;
      case 'accumulate': {
        const sum = effect.first ? 0 : this.#sums.get(effect.chunk)!;
        const held = this.#held.get(`${effect.chunk}:${effect.rank}`)!;
        this.#sums.set(effect.chunk, effect.weight > 0 ? round(sum + round(effect.weight * held)) : sum);
        break;
      }
      case 'update':
        this.#update(effect);
        break;
      case 'reportNorm': {
        const { step, scale } = effect;
        const own = this.#shard.chunks.filter(({ state }) => !state);
        const blocks = own.map(({ index }) => this.#sums.get(index)! ** 2 * scale * scale);
        this.#report((coordinator) => coordinator.normPart(this.index, step, blocks, epoch));
        break;
      }
      case 'send':
        for (const rank of effect.ranks) {
          const data = this.#version(effect.chunk, effect.step);
          this.#system.workers[rank]!.receive(
            { kind: 'chunk', chunk: effect.chunk, step: effect.step },
            data,
          );
        }
        break;
      case 'complete':
        this.#maybeCopy();
        break;
    }
  }

  #update({ chunk, step, scale, learningRate }: Extract<ExchangeEffect, { kind: 'update' }>): void {
    const old = this.#version(chunk, step);
    const sum = this.#sums.get(chunk)!;
    const { state } = this.#shard.chunks.find(({ index }) => index === chunk)!;
    const next = state ? round(sum * scale) : round(old - learningRate * round(sum * scale));
    this.#versions.set(`${chunk}:${(step + 1) % 2}`, scale === 0 ? old : next);
  }

  #version(chunk: number, step: number): number {
    return this.#versions.get(`${chunk}:${step % 2}`)!;
  }

  #maybeCopy(): void {
    const due = this.#copies.filter(({ step }) => this.#exchange!.isComplete(step));
    this.#copies = this.#copies.filter((copy) => !due.includes(copy));
    for (const { step, epoch } of due) {
      const content = this.#shard.chunks.map(({ index }) => [index, this.#version(index, step)] as const);
      const server = this.index;
      this.#report((coordinator) => coordinator.cutReport({ kind: 'copied', server, step }, epoch));
      this.#report((coordinator) => coordinator.saved(server, step, content, epoch));
    }
  }

  #report(deliver: (coordinator: Coordinator) => void): void {
    const { coordinator } = this.#system;
    this.#toCoordinator(() => deliver(coordinator));
  }

  #toCoordinator(deliver: () => void): void {
    // Control messages travel on one stream, in order; here at once.
    deliver();
  }
}

class Coordinator {
  readonly #system: System;
  readonly #membership: Membership;
  #ledger: Ledger;
  /** Workers of each step that has begun. */
  #trail: number[] = [];
  readonly #cut: Cut;
  readonly #norm: NormSum | undefined;
  #restorePoint: Checkpoint | undefined;
  #cutLedger = new Map<number, LedgerState>();
  /** `step:server` -> values by chunk. */
  #saved = new Map<string, (readonly [number, number])[]>();

  constructor(system: System) {
    const { job, shards } = system;
    this.#system = system;
    this.#membership = new Membership({
      workers: system.present,
      servers: shards.length,
      attempt: system.coordinatorLives,
      silentMs: Number.POSITIVE_INFINITY,
    });
    this.#ledger = this.#openLedger();
    this.#cut = new Cut(shards.length);
    const owners = shards
      .filter(({ chunks }) => chunks.some(({ state }) => !state))
      .map(({ server }) => server);
    this.#norm = job.clipNorm === undefined ? undefined : new NormSum(owners, job.clipNorm);
  }

  #openLedger(): Ledger {
    const { job } = this.#system;
    const { workers } = this.#membership;
    return new Ledger({ ...job, workers, checkpointEvery: 3, evaluates: false });
  }

  resize(workers: number): void {
    this.membership({ kind: 'resize', workers, gone: false });
  }

  #tellNext(): void {
    // The steps of the plain implementation keep their numbers.
    this.#ledgerStep({
      kind: 'resize',
      workers: this.#membership.nextWorkers,
      samplesPerStep: 1,
      fixed: true,
    });
  }

  begun(): Ledger['begun'] {
    return this.#ledger.begun;
  }

  membership(message: MembershipMessage): void {
    const system = this.#system;
    if (system.coordinator !== this) return;
    const before = this.#membership.phase;
    for (const effect of this.#membership.step(message)) {
      switch (effect.kind) {
        case 'findRestorePoint': {
          this.#restorePoint = system.checkpoints.at(-1);
          const step = this.#restorePoint?.step;
          this.membership({ kind: 'restorePoint', epoch: effect.epoch, step, foreign: false });
          break;
        }
        case 'load': {
          const point = this.#restorePoint;
          const { server, epoch } = effect;
          const { workers } = this.#membership;
          system.send(`server ${server}`, () => system.servers[server]!.load(epoch, point, workers));
          break;
        }
        case 'restored':
          this.#ledger = this.#openLedger();
          this.#ledger.step({ kind: 'restore', state: this.#restorePoint?.ledger, nowMs: 0 });
          this.#trail = [...(this.#restorePoint?.trail ?? [])];
          this.#cut.step({ kind: 'reset' });
          this.#norm?.reset();
          break;
        case 'anchor':
          this.#cutStep({ kind: 'begin', step: effect.step });
          break;
        case 'askInitial':
          system.workers[effect.rank]!.answered(effect.epoch, true);
          break;
        case 'admit':
          system.workers[effect.rank]!.answered(effect.epoch, false);
          break;
        case 'resizeAtBoundary':
          if (this.#membership.phase === 'ready') this.#tellNext();
          break;
        case 'resized':
          system.present = effect.workers;
          break;
      }
    }
    if (before !== 'ready' && this.#membership.phase === 'ready') {
      const { step } = this.#ledger.state(0);
      this.#tellNext();
      this.#ledgerStep({ kind: 'committed', step });
      if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'cutTaken', step });
    }
  }

  record(rank: number, epoch: number, step: number, totals: Totals): void {
    if (this.#system.coordinator !== this || !this.#membership.isCurrent(rank, epoch)) return;
    this.#ledgerStep({ kind: 'record', rank, step, totals, nowMs: 0 });
  }

  normPart(server: number, step: number, blocks: readonly number[], epoch: number): void {
    if (epoch !== this.#membership.baseEpoch) return;
    const factor = this.#norm!.step({ server, step, blocks });
    if (!factor) return;
    for (const target of this.#system.servers)
      this.#system.send(`server ${target.index}`, () => target.norm(factor.step, factor.factor, epoch));
  }

  cutReport(message: CutMessage, epoch: number): void {
    if (epoch === this.#membership.baseEpoch) this.#cutStep(message);
  }

  saved(server: number, step: number, content: (readonly [number, number])[], epoch: number): void {
    const system = this.#system;
    system.send('coordinator', () => {
      if (epoch !== this.#membership.baseEpoch) return;
      if (system.diskFails()) {
        this.#cutStep({ kind: 'unsaved', server, step, reason: 'full' });
        return;
      }
      this.#saved.set(`${step}:${server}`, content);
      const file = { name: `${server}`, sizeBytes: 0, sha256: '', from: 0, to: 0 };
      this.#cutStep({ kind: 'saved', server, step, file });
    });
  }

  #ledgerStep(message: LedgerMessage): void {
    for (const effect of this.#ledger.step(message)) {
      if (effect.kind === 'refuse') throw new Error(`ledger: ${effect.message}`);
      if (effect.kind === 'cut') this.#cutStep({ kind: 'begin', step: effect.step });
      if (effect.kind === 'boundary') this.membership({ kind: 'boundary', workers: effect.workers });
      if (effect.kind === 'begin') this.#trail[effect.step] = this.#membership.workers;
      if (effect.kind === 'begin')
        for (const worker of this.#system.workers)
          worker.receive({ kind: 'begin', step: effect.step, directive: effect.directive }, 0);
      if (effect.kind === 'ended') this.#system.ended = effect.directive;
    }
  }

  #cutStep(message: CutMessage): void {
    const system = this.#system;
    for (const effect of this.#cut.step(message)) {
      if (effect.kind === 'copy') {
        const epoch = this.#membership.baseEpoch;
        this.#cutLedger.set(effect.step, this.#ledger.state(0));
        const server = system.servers[effect.server]!;
        system.send(`server ${effect.server}`, () => server.copy(effect.step, epoch));
      } else if (effect.kind === 'taken') {
        if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'cutTaken', step: effect.step });
      } else if (effect.kind === 'abandoned') this.#abandoned(effect.step);
      else this.#commit(effect.step);
    }
  }

  /** Where nobody goes on without it, it is tried again later. */
  #abandoned(step: number): void {
    if (this.#membership.phase === 'ready') this.#ledgerStep({ kind: 'abandoned', step });
    const epoch = this.#membership.baseEpoch;
    this.#system.send('coordinator', () => {
      const awaited = this.#membership.phase === 'anchoring' || this.#ledger.awaitsCommit;
      if (epoch === this.#membership.baseEpoch && awaited && this.#ledger.state(0).step === step)
        this.#cutStep({ kind: 'begin', step });
    });
  }

  #commit(step: number): void {
    const parameters: number[] = [];
    for (const { server } of this.#system.shards)
      for (const [chunk, value] of this.#saved.get(`${step}:${server}`)!) parameters[chunk] = value;
    const trail = this.#trail.slice(0, step);
    this.#system.checkpoints.push({ step, ledger: this.#cutLedger.get(step)!, parameters, trail });
    this.#cutStep({ kind: 'committed', step });
    const epoch = this.#membership.baseEpoch;
    if (this.#membership.phase === 'anchoring') this.membership({ kind: 'anchored', epoch });
    else this.#ledgerStep({ kind: 'committed', step });
  }
}

class Worker {
  readonly #system: System;
  readonly #rank: number;
  #attempt = 0;
  /** Counts sessions, so that letters of an older one are not taken for the present one's. */
  #session = 0;
  #epoch = 0;
  #gather: Gather | undefined;
  #parameters: number[] = [];
  #held = new Map<string, number>();

  constructor(system: System, rank: number) {
    this.#system = system;
    this.#rank = rank;
  }

  join(): void {
    this.#session++;
    this.#gather = undefined;
    this.#held = new Map();
    const { coordinator } = this.#system;
    const message = {
      kind: 'join',
      rank: this.#rank,
      attempt: this.#attempt,
      digest: 'd',
      nowMs: 0,
    } as const;
    this.#system.send('coordinator', () => coordinator.membership(message));
  }

  die(): void {
    this.#attempt++;
    this.#parameters = [];
    this.join();
  }

  breakSession(): void {
    this.join();
  }

  answered(epoch: number, initialize: boolean): void {
    const session = this.#session;
    this.#system.send(`worker ${this.#rank}`, () => {
      if (session !== this.#session || epoch <= this.#epoch) return;
      this.#epoch = epoch;
      if (initialize) this.#bringInitial();
      else this.#attend();
    });
  }

  receive(message: GatherMessage, value: number): void {
    // What is said comes over the streams of a session: before they are open, nobody hears it.
    const gather = this.#gather;
    this.#system.send(`worker ${this.#rank}`, () => {
      if (gather && gather === this.#gather) this.#apply(message, value);
    });
  }

  #bringInitial(): void {
    const [rank, epoch] = [this.#rank, this.#epoch];
    for (const { server, chunks } of this.#system.shards)
      for (const { index: chunk } of chunks)
        this.#system.send(`server ${server}`, () =>
          this.#system.servers[server]!.apply({ kind: 'initialize', rank, epoch, chunk }, initial(chunk)),
        );
    this.join();
  }

  /** As a session opens: attend everywhere, then pull the oldest step; any refusal means to join again. */
  #attend(): void {
    const [rank, epoch] = [this.#rank, this.#epoch];
    const { servers: all, shards, coordinator, job } = this.#system;
    const servers = all.filter((_, index) => shards[index]!.chunks.length > 0);
    const begun = coordinator.begun();
    const attended = servers.map((server) => server.apply({ kind: 'attend', rank, epoch }));
    const steps = attended.map((effects) =>
      typeof effects === 'string' ? Number.NaN : effects.find((effect) => effect.kind === 'attended')!.step,
    );
    const step = Math.min(begun?.step ?? Number.NaN, ...steps);
    if (begun && !Number.isNaN(step)) this.#gather = new Gather(job.chunks, step);
    const pulled =
      this.#gather &&
      servers.every((server) => typeof server.apply({ kind: 'pull', rank, epoch, step }) !== 'string');
    if (pulled) this.receive({ kind: 'begin', ...begun! }, 0);
    else this.join();
  }

  #apply(message: GatherMessage, value: number): void {
    for (const effect of this.#gather!.step(message)) {
      if (effect.kind === 'hold') this.#held.set(`${effect.chunk}:${effect.step}`, value);
      else if (effect.kind === 'write') {
        const key = `${effect.chunk}:${effect.step}`;
        this.#parameters[effect.chunk] = this.#held.get(key) ?? value;
        this.#held.delete(key);
      } else if (effect.directive === 'train') this.#train(effect.step);
    }
  }

  #train(step: number): void {
    const { job, shards, servers, coordinator } = this.#system;
    const [rank, epoch, parameters] = [this.#rank, this.#epoch, [...this.#parameters]];
    const samples = samplesOf(job, rank, step);
    this.#gather!.step({ kind: 'computing' });
    for (const { server, chunks } of shards)
      for (const { index: chunk } of chunks) {
        const push = {
          kind: 'push',
          rank,
          epoch,
          step,
          chunk,
          weight: samples / 4,
          learningRate: LEARNING_RATE,
        } as const;
        const gradient = contribution(rank, step, chunk, parameters);
        this.#system.send(`server ${server}`, () => servers[server]!.apply(push, gradient));
      }
    const totals = { samples, sums: samples > 0 ? [samples * lossOf(rank, step, parameters)] : [] };
    this.#system.send('coordinator', () => coordinator.record(rank, epoch, step, totals));
    this.receive({ kind: 'computed' }, 0);
  }
}
