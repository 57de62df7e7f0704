// A worker of the system: joins, attends, gathers the parameters of a step and pushes its share of it.
import { Gather, type GatherMessage } from '../../../worker/protocol/gather.ts';
import { contribution, initial, LEARNING_RATE, lossOf, samplesOf } from './plain.ts';
import type { System } from './system.ts';

export class Worker {
  readonly #system: System;
  readonly #rank: number;
  #attempt = 0;
  /** Counts sessions, so that letters of an older one are not taken for the present one's. */
  #session = 0;
  #epoch = 0;
  #gather: Gather | undefined;
  /** Version s in place s mod 2. */
  #versions: [number[], number[]] = [[], []];

  constructor(system: System, rank: number) {
    this.#system = system;
    this.#rank = rank;
  }

  join(): void {
    this.#session++;
    this.#gather = undefined;
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
    this.#versions = [[], []];
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
    if (begun && !Number.isNaN(step)) this.#gather = new Gather({ chunks: job.chunks, step });
    const pulled =
      this.#gather &&
      servers.every((server) => typeof server.apply({ kind: 'pull', rank, epoch, step }) !== 'string');
    if (pulled) this.receive({ kind: 'begin', ...begun! }, 0);
    else this.join();
  }

  #apply(message: GatherMessage, value: number): void {
    for (const effect of this.#gather!.step(message)) {
      if (effect.kind === 'write') this.#versions[effect.step % 2]![effect.chunk] = value;
      else if (effect.kind === 'ready' && effect.directive === 'train') this.#train(effect.step);
    }
  }

  #train(step: number): void {
    const { job, shards, servers, coordinator } = this.#system;
    const [rank, epoch, parameters] = [this.#rank, this.#epoch, [...this.#versions[step % 2]!]];
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
