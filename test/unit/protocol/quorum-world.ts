// A small world where steps do without the slowest worker, of the real Exchange, Ledger, NormSum and Gather: who is there and what is
// under way between them. Knows no order of events.
import assert from 'node:assert/strict';
import type { World } from './explore.ts';
import { Coordinator } from './quorum-coordinator.ts';
import { Late } from './quorum-late.ts';
import { type Decision, Server } from './quorum-server.ts';
import { type Said, type Told, type Work, Worker } from './quorum-worker.ts';

export interface Size {
  readonly workers: number;
  readonly servers: number;
  /** Of the last server; the others have one each. */
  readonly chunks: number;
  readonly steps: number;
  readonly checkpointEvery: number;
  /** Workers that are lost, and servers. */
  readonly losses: number;
  readonly returns: number;
  /** Everybody meets after every step. */
  readonly evaluates: boolean;
  /** Updates wait for the norm of the whole gradient. */
  readonly clips: boolean;
  /** Workers see parameters where the servers have them, and servers gradients where the workers have them. */
  readonly shared: boolean;
  /** Messages that were written at once come one by one, and data is read before a step is computed. */
  readonly apart: boolean;
  /** What goes to server 0 and comes from it takes no time. */
  readonly prompt: boolean;
}

type RankEvent =
  | (Work & { readonly rank: number })
  | { readonly kind: 'join' | 'lose'; readonly rank: number };
type Event =
  | RankEvent
  | { readonly kind: 'decide' | 'report'; readonly server: number }
  | { readonly kind: 'late'; readonly stream: number }
  | { readonly kind: 'cut' | 'return' };

export class QuorumWorld implements World<Event> {
  readonly #size: Size;
  readonly #coordinator: Coordinator;
  readonly #servers: Server[] = [];
  /** By server: the step whose norm it has told to the coordinator, under way. */
  readonly #norms: (number | undefined)[] = [];
  readonly #workers: (Worker | undefined)[];
  /** The server of each chunk. */
  readonly #owners: readonly number[];
  readonly #late = new Late();
  #epoch = 1;
  #losses = 0;
  #returns = 0;
  /** How many have happened. */
  #events = 0;

  constructor(size: Size) {
    const { workers, servers, chunks } = size;
    this.#size = size;
    this.#owners = Array.from({ length: servers - 1 + chunks }, (_, chunk) => Math.min(chunk, servers - 1));
    this.#workers = new Array<Worker | undefined>(workers).fill(undefined);
    this.#coordinator = new Coordinator({
      ...size,
      announce: (begun) => {
        for (const rank of this.#workers.keys()) this.#tell(rank, 0, begun);
      },
      tell: (rank, begun) => this.#tell(rank, 0, begun),
      decided: (decision) => this.#decided(decision),
    });
    this.#load();
    for (const rank of this.#workers.keys()) this.#joinAtOnce(rank);
  }

  #load(): void {
    for (let index = 0; index < this.#size.servers; index++)
      this.#servers[index] = new Server({
        ...this.#size,
        chunks: [...this.#owners.keys()].filter((chunk) => this.#owners[chunk] === index),
        epoch: this.#epoch,
        step: this.#coordinator.kept,
        quorumOf: (step) => this.#coordinator.quorumOf(step),
        send: (rank, chunk, step) => this.#tell(rank, index, { chunk, step }),
        reportNorm: (step) => this.#reportNorm(index, step),
      });
    this.#norms.length = 0;
    this.#coordinator.restore();
  }

  #joinAtOnce(rank: number): void {
    this.#join(rank);
    for (const server of this.#servers.keys()) this.#attend(rank, server);
    for (const server of this.#servers.keys()) this.#pull(rank, server);
  }

  due(): Event[] {
    const urgent = this.#urgent();
    return urgent.length > 0 ? urgent : this.#anyDue();
  }

  #urgent(): Event[] {
    if (!this.#size.prompt) return [];
    const events = [...this.#workers.keys()].flatMap((rank) => this.#dueOf(rank));
    const isUrgent = (event: Event): boolean =>
      (event.kind === 'hear' || event.kind === 'tell') && event.server === 0;
    return events.filter(isUrgent).slice(0, 1);
  }

  #anyDue(): Event[] {
    const { cut } = this.#coordinator;
    const isCut = cut !== undefined && this.#servers.every((server) => server.isComplete(cut));
    return [
      ...(isCut ? [{ kind: 'cut' } as const] : []),
      ...[...this.#servers.keys()].flatMap((server): Event[] => [
        ...(this.#servers[server]!.isAwaited ? [{ kind: 'decide', server } as const] : []),
        ...(this.#norms[server] === undefined ? [] : [{ kind: 'report', server } as const]),
      ]),
      ...[...this.#workers.keys()].flatMap((rank) => this.#dueOf(rank)),
    ];
  }

  #dueOf(rank: number): Event[] {
    const worker = this.#workers[rank];
    if (worker) return worker.due().map((work) => ({ ...work, rank }));
    return this.#coordinator.hasEnded ? [] : [{ kind: 'join', rank }];
  }

  faults(): Event[] {
    const { losses, returns } = this.#size;
    if (this.#coordinator.hasEnded || this.#urgent().length > 0) return [];
    const living = [...this.#workers.keys()].filter((rank) => this.#workers[rank]);
    return [
      ...(this.#losses < losses ? living.map((rank) => ({ kind: 'lose', rank }) as const) : []),
      ...(this.#returns < returns ? [{ kind: 'return' } as const] : []),
      ...[...this.#late.streams.keys()].map((stream) => ({ kind: 'late', stream }) as const),
    ];
  }

  happen(event: Event): void {
    this.#events++;
    switch (event.kind) {
      case 'cut':
        this.#coordinator.takeCut(this.#coordinator.cut!);
        break;
      case 'decide':
        this.#servers[event.server]!.decide();
        break;
      case 'report':
        this.#addNorm(event.server);
        break;
      case 'late': {
        const { rank, server, epoch, said } = this.#late.streams[event.stream]!;
        this.#hear(rank, server, epoch, said);
        break;
      }
      case 'return':
        this.#return();
        break;
      default:
        this.#work(event);
    }
  }

  #work(event: RankEvent): void {
    const { rank } = event;
    const worker = this.#workers[rank];
    switch (event.kind) {
      case 'join':
        this.#join(rank);
        break;
      case 'lose':
        this.#losses++;
        this.#lose(rank);
        break;
      case 'attend':
        this.#attend(rank, event.server);
        break;
      case 'pull':
        this.#pull(rank, event.server);
        break;
      case 'hear':
        this.#hear(rank, event.server, worker!.epoch, worker!.said[event.server]!);
        break;
      case 'tell':
        worker!.receive(event.server);
        break;
      case 'compute':
        worker!.compute();
        break;
      case 'computed':
        worker!.computed();
        break;
      case 'evaluate':
        this.#coordinator.evaluation(rank, worker!.evaluated());
    }
  }

  #join(rank: number): void {
    const epoch = ++this.#epoch;
    this.#coordinator.join(rank, epoch);
    const { servers, shared, apart } = this.#size;
    const at = (chunk: number, step: number) => this.#servers[this.#owners[chunk]!]!.at(chunk, step);
    this.#workers[rank] = new Worker({ epoch, owners: this.#owners, servers, apart, shared, at });
  }

  #lose(rank: number): void {
    const worker = this.#workers[rank];
    this.#workers[rank] = undefined;
    for (const [server, said] of worker?.said.entries() ?? [])
      this.#late.add({ rank, server, epoch: worker!.epoch, said });
  }

  /** A server is lost with all that it has. */
  #return(): void {
    this.#returns++;
    this.#epoch++;
    for (const rank of this.#workers.keys()) this.#lose(rank);
    this.#load();
    for (const server of this.#servers.keys())
      for (const rank of this.#workers.keys()) this.#hearEnded(rank, server);
  }

  #hearEnded(rank: number, server: number): void {
    for (const { epoch, said } of this.#late.takeEnded(server, rank))
      while (said.length > 0) this.#hear(rank, server, epoch, said);
  }

  /** A step whose records are not complete is in progress for server 0. */
  #attend(rank: number, server: number): void {
    const worker = this.#workers[rank]!;
    const step = this.#servers[server]!.attend(rank, worker.epoch);
    this.#hearEnded(rank, server);
    worker.attends(server, server === 0 ? Math.min(step, this.#coordinator.begun!.step) : step);
  }

  #pull(rank: number, server: number): void {
    const { epoch, first, pulled } = this.#workers[rank]!;
    pulled[server] = true;
    this.#servers[server]!.hear({ kind: 'pull', rank, epoch, step: first! });
    if (server === 0) this.#coordinator.listens(rank);
  }

  #hear(rank: number, index: number, epoch: number, stream: Said[][]): void {
    const server = this.#servers[index]!;
    for (const said of stream.shift()!) {
      const speaker = { rank, epoch };
      if (said.kind === 'record') this.#coordinator.record(rank, epoch, said.step);
      else if (said.kind === 'refresh') server.hear({ ...said, ...speaker });
      else {
        const { kind, chunk, gradient } = said;
        const push = { kind, chunk, step: gradient.step, weight: 1, learningRate: 1, ...speaker };
        server.hear(push, this.#size.shared ? gradient : { ...gradient });
      }
    }
  }

  /** Server 0 is where the coordinator is. */
  #decided(decision: Decision): void {
    for (const server of this.#servers) server.command(decision);
    this.#servers[0]!.decide();
  }

  #reportNorm(server: number, step: number): void {
    this.#norms[server] = step;
    if (server === 0) this.#addNorm(server);
  }

  #addNorm(server: number): void {
    const step = this.#norms[server]!;
    this.#norms[server] = undefined;
    this.#coordinator.addNorm(server, step);
  }

  #tell(rank: number, server: number, told: Told): void {
    const worker = this.#workers[rank];
    if (worker && this.#servers[server]!.sendsTo(rank, worker.epoch)) worker.tell(server, told, this.#events);
  }

  assertEnded(): void {
    const { steps } = this.#size;
    const { hasEnded, begun } = this.#coordinator;
    assert.ok(hasEnded, `stuck: step ${begun?.step} of ${steps}`);
    for (const server of this.#servers) assert.ok(server.isComplete(steps));
    for (const [rank, worker] of this.#workers.entries())
      assert.ok(!worker || worker.isDone, `worker ${rank} is stuck`);
  }

  /** Ranks are interchangeable. */
  key(): string {
    const ranks = [...this.#workers.keys()].map((rank) => this.#keyOf(rank)).sort();
    const servers = this.#servers.map((server) => server.key());
    const spent = [this.#losses, this.#returns];
    return `${ranks.join()} ${JSON.stringify([servers, this.#norms, this.#coordinator.key(), spent])}`;
  }

  #keyOf(rank: number): string {
    const oldest = Math.min(...this.#servers.map(({ clock }) => clock));
    const worker = this.#workers[rank];
    const late = this.#late.of(rank);
    const servers = this.#servers.map((server) => server.keyOf(rank));
    const { epoch, share } = this.#coordinator.keyOf(rank, oldest);
    const epochs = [epoch, ...servers.flatMap((one) => one.epochs), ...late.map((one) => one.epoch)];
    const order = [...new Set(epochs)].sort((a, b) => a - b);
    const held = servers.map((one) => one.held);
    const under = late.map(({ server, said }) => [server, said]);
    return JSON.stringify([worker?.key(), epochs.map((one) => order.indexOf(one)), held, under, share]);
  }
}
