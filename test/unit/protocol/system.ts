// A whole job out of the protocol's machines, with a network that repeats, reorders, delays and loses, and processes that die.
// Steps are drawn by a seed. What each process does with its machines is in files of their own.
import { type Chunk, planShards, type Shard } from '../../../worker/protocol/chunks.ts';
import type { Directive } from '../../../worker/protocol/gather.ts';
import type { LedgerState } from '../../../worker/protocol/ledger.ts';
import { Random } from '../../../worker/random/philox.ts';
import type { Job, Result } from './plain.ts';
import { Coordinator } from './system-coordinator.ts';
import { Server } from './system-server.ts';
import { Worker } from './system-worker.ts';

export interface Faults {
  /** Chance per action, of each kind of trouble. */
  readonly repeat: number;
  readonly breakSession: number;
  readonly killWorker: number;
  readonly killServer: number;
  readonly killCoordinator: number;
  /** Chance per death of a server that the memory which outlives it is lost with it. */
  readonly loseMemory: number;
  /** Chance per written shard. */
  readonly fullDisk: number;
  /** Somebody asks for another number of workers. */
  readonly resize: number;
}

const MOST_WORKERS = 5;

export interface Checkpoint {
  readonly step: number;
  readonly ledger: LedgerState;
  readonly parameters: readonly number[];
  /** Workers of each step before it. */
  readonly trail: readonly number[];
}

/** What the coordinator's next process finds of a step. */
export interface KeptLedger {
  readonly step: number;
  readonly workers: number;
  readonly ledger: LedgerState;
  readonly trail: readonly number[];
}

/** Runs a closure when delivered; `to` says whose death drops it. */
interface Letter {
  readonly to: string;
  readonly deliver: () => void;
}

export class System {
  readonly job: Job;
  readonly random: Random;
  readonly letters: Letter[] = [];
  readonly shards: readonly Shard[];
  readonly servers: Server[];
  readonly workers: Worker[];
  coordinator: Coordinator;
  checkpoints: Checkpoint[] = [];
  /** By step mod 2; outlives coordinators. */
  keptLedgers: (KeptLedger | undefined)[] = [undefined, undefined];
  /** How often everybody went back to memory, and to a checkpoint although the ledger of later steps was kept. */
  returns = { toMemory: 0, toCheckpoint: 0, lostSteps: 0 };
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
    this.shards = planShards(chunks, { dedicated: servers, hosted: 0 });
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
    const losesMemory = (): boolean => this.random.uniform() < faults.loseMemory;
    if (draw(faults.killServer)) this.servers[this.random.integer(this.servers.length)]!.die(losesMemory());
    if (draw(faults.killCoordinator)) this.killCoordinator(losesMemory());
  }

  /** Coordinator and server 0 are one process. */
  killCoordinator(losesMemory: boolean): void {
    this.drop('coordinator');
    this.coordinatorLives++;
    if (losesMemory) this.keptLedgers = [undefined, undefined];
    this.coordinator = new Coordinator(this);
    this.servers[0]!.die(losesMemory);
    for (const server of this.servers) server.enlist();
    for (const worker of this.workers.slice(0, this.present)) worker.breakSession();
  }

  /** Loses what is under way to a process that died. */
  drop(to: string): void {
    for (let at = this.letters.length - 1; at >= 0; at--)
      if (this.letters[at]!.to === to) this.letters.splice(at, 1);
  }
}
