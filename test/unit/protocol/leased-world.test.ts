// Every order of events in a small world where batches are leased, over the real Leases, Stream and Turns: messages to two servers in
// any order between workers, and workers that are lost between any two of these. Held to: every batch counts once everywhere, no
// gradient is made of parameters that lack more than the bound allows, nobody is stuck.
import assert from 'node:assert/strict';
import type { Chunk } from '../../../worker/protocol/chunks.ts';
import type { ExchangeEffect } from '../../../worker/protocol/exchange-messages.ts';
import { type Lease, Leases } from '../../../worker/protocol/leases.ts';
import { Stream } from '../../../worker/protocol/stream.ts';
import { type TurnEffect, Turns } from '../../../worker/protocol/turns.ts';
import { testEveryOrder, type World } from './explore.ts';

interface Size {
  readonly workers: number;
  readonly steps: number;
  readonly bound: number;
  readonly losses: number;
}
type Message = { readonly kind: 'refresh' | 'push'; readonly step: number };
type Event =
  | { readonly kind: 'listen' | 'hear' | 'record' | 'lose'; readonly rank: number }
  | { readonly kind: 'deliver'; readonly rank: number; readonly server: number };

const SERVERS = [0, 1];
const CHUNK: Chunk = { index: 0, from: 0, to: 1, state: false };

class Server {
  readonly stream: Stream;
  readonly applied: number[] = [];

  constructor({ workers, bound }: Size) {
    this.stream = new Stream({ workers, bound, chunks: [CHUNK], stalenessAware: false }, 0);
  }
}

class Worker {
  readonly turns = new Turns(0);
  readonly told: Lease[] = [];
  readonly sent: Message[][] = SERVERS.map(() => []);
  /** What each server had applied when it answered under the present label. */
  answers: (readonly number[] | undefined)[] = SERVERS.map(() => undefined);
  /** A batch whose gradients are on their way. */
  pushed: number | undefined;
  begun = false;
  /** Everything that it was told, in order. */
  readonly heard: number[] = [];
}

class SmallWorld implements World<Event> {
  readonly #size: Size;
  readonly #leases: Leases;
  readonly #servers: readonly Server[];
  readonly #workers: (Worker | undefined)[];
  readonly #done: number[] = [];
  #losses = 0;

  constructor(size: Size) {
    this.#size = size;
    this.#leases = new Leases(size);
    this.#servers = SERVERS.map(() => new Server(size));
    this.#workers = new Array<Worker | undefined>(size.workers).fill(undefined);
    this.#tell(this.#leases.open(0, size.steps));
  }

  due(): Event[] {
    return this.#workers.flatMap((worker, rank): Event[] => {
      if (!worker) return this.#leases.isDone ? [] : [{ kind: 'listen', rank }];
      const waiting = SERVERS.filter((server) => worker.sent[server]!.length > 0);
      const answered = worker.pushed !== undefined && worker.answers.every(Boolean);
      return [
        ...(worker.told.length > 0 ? [{ kind: 'hear', rank } as const] : []),
        ...waiting.map((server) => ({ kind: 'deliver', rank, server }) as const),
        ...(answered ? [{ kind: 'record', rank } as const] : []),
      ];
    });
  }

  faults(): Event[] {
    if (this.#losses === this.#size.losses || this.#leases.isDone) return [];
    return this.#workers.flatMap((worker, rank) => (worker ? [{ kind: 'lose', rank } as const] : []));
  }

  happen(event: Event): void {
    const worker = this.#workers[event.rank];
    switch (event.kind) {
      case 'listen':
        this.#workers[event.rank] = new Worker();
        for (const { stream } of this.#servers) stream.listen(event.rank);
        this.#tell(this.#leases.listen(event.rank));
        break;
      case 'hear':
        this.#hear(worker!, worker!.told.shift()!);
        break;
      case 'deliver':
        this.#deliver(event.rank, event.server);
        break;
      case 'record':
        this.#record(worker!);
        break;
      case 'lose':
        this.#losses++;
        this.#workers[event.rank] = undefined;
        for (const { stream } of this.#servers) stream.forget(event.rank);
        this.#tell(this.#leases.leave(event.rank));
    }
  }

  #tell(leases: readonly Lease[]): void {
    for (const lease of leases) this.#workers[lease.rank]?.told.push(lease);
  }

  #hear(worker: Worker, { batch }: Lease): void {
    worker.heard.push(batch);
    this.#turn(worker, worker.turns.told({ step: batch, directive: 'train' }));
  }

  #turn(worker: Worker, effects: readonly TurnEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'begin') worker.begun = true;
      else {
        worker.answers = SERVERS.map(() => undefined);
        for (const server of SERVERS) worker.sent[server]!.push({ kind: 'refresh', step: effect.step });
      }
    }
    this.#maybeCompute(worker);
  }

  #maybeCompute(worker: Worker): void {
    if (!worker.begun || worker.pushed !== undefined || !worker.answers.every(Boolean)) return;
    const batch = worker.turns.current!.step;
    this.#assertFresh(worker, batch);
    worker.begun = false;
    worker.turns.computing();
    worker.turns.pushes();
    worker.pushed = batch;
    worker.answers = SERVERS.map(() => undefined);
    for (const server of SERVERS) worker.sent[server]!.push({ kind: 'push', step: batch });
  }

  /** What it computes with lacks no batch of a step that is more than the bound before its own. */
  #assertFresh({ answers }: Worker, batch: number): void {
    const { workers, bound } = this.#size;
    const needed = (Math.floor(batch / workers) - bound) * workers;
    for (const [server, applied] of answers.entries())
      for (let other = 0; other < needed; other++)
        assert.ok(applied!.includes(other), `batch ${batch} without batch ${other} of server ${server}`);
  }

  #deliver(rank: number, index: number): void {
    const { kind, step } = this.#workers[rank]!.sent[index]!.shift()!;
    const server = this.#servers[index]!;
    const contribution = { chunk: 0, step, weight: 1, learningRate: 1 };
    const effects =
      kind === 'push' ? server.stream.push(rank, contribution, CHUNK) : server.stream.refresh(rank, step);
    for (const effect of effects) this.#carryOut(effect, server, index, step);
  }

  #carryOut(effect: ExchangeEffect, server: Server, index: number, step: number): void {
    if (effect.kind === 'refuse') assert.fail(effect.message);
    if (effect.kind === 'update') {
      assert.ok(!server.applied.includes(step), `batch ${step} was applied twice`);
      server.applied.push(step);
    }
    if (effect.kind !== 'send') return;
    const worker = this.#workers[effect.ranks[0]!];
    if (!worker || worker.turns.label !== effect.step) return;
    worker.answers[index] = [...server.applied];
    this.#maybeCompute(worker);
  }

  #record(worker: Worker): void {
    const batch = worker.pushed!;
    worker.pushed = undefined;
    for (const { applied } of this.#servers)
      assert.ok(applied.includes(batch), `batch ${batch} is counted and not applied`);
    if (this.#leases.judge(batch) === 'due') {
      this.#done.push(batch);
      this.#tell(this.#leases.finish(batch));
    }
    this.#turn(worker, worker.turns.over());
  }

  assertEnded(): void {
    const { workers, steps } = this.#size;
    const all = Array.from({ length: workers * steps }, (_, batch) => batch);
    assert.ok(this.#leases.isDone, `stuck at ${this.#done.length} of ${all.length} batches`);
    assert.deepEqual([...this.#done].sort(), all);
    for (const { applied, stream } of this.#servers) {
      assert.deepEqual([...applied].sort(), all);
      assert.ok(stream.isComplete(steps));
    }
  }

  key(): string {
    const workers = this.#workers.map(
      (worker) => worker && [worker, worker.turns.label, worker.turns.current],
    );
    const servers = this.#servers.map(({ applied }) => applied);
    const { awaited, done, end } = this.#leases;
    return JSON.stringify([workers, servers, this.#done, this.#losses, awaited, done, end]);
  }
}

const SIZES: readonly Size[] = [
  { workers: 2, steps: 2, bound: 0, losses: 0 },
  { workers: 2, steps: 2, bound: 1, losses: 0 },
  { workers: 2, steps: 3, bound: 1, losses: 0 },
  { workers: 2, steps: 1, bound: 0, losses: 2 },
  { workers: 2, steps: 2, bound: 0, losses: 1 },
  { workers: 2, steps: 1, bound: 1, losses: 2 },
];

testEveryOrder(SIZES, (size) => new SmallWorld(size));
