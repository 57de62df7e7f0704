// A parameter server of the system: an exchange whose every arithmetic effect is done on one number per chunk.

import { consistencyOf } from '../../../crds/leptonjob.ts';
import type { Shard } from '../../../worker/protocol/chunks.ts';
import { Exchange } from '../../../worker/protocol/exchange.ts';
import type { ExchangeEffect, ExchangeMessage } from '../../../worker/protocol/exchange-messages.ts';
import type { Checkpoint, System } from './system.ts';
import type { Coordinator } from './system-coordinator.ts';

const round = Math.fround;

export class Server {
  readonly #system: System;
  readonly #shard: Shard;
  #exchange: Exchange | undefined;
  #epoch = 0;
  /** Of the newest load. */
  #loaded = 0;
  /** Outlives the process, and so do the marks: which step each place holds whole, and for how many workers. */
  #versions = new Map<string, number>();
  #marks: (number | undefined)[] = [undefined, undefined];
  #marksOf = 0;
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

  die(losesMemory: boolean): void {
    this.#exchange = undefined;
    this.#epoch = 0;
    this.#loaded = 0;
    if (losesMemory) {
      this.#marks = [undefined, undefined];
      this.#versions.clear();
    }
    this.#system.drop(`server ${this.index}`);
    this.enlist();
  }

  recall(epoch: number, workers: number): void {
    if (epoch <= this.#epoch) return; // repeated or late
    this.#epoch = epoch;
    this.#exchange = undefined;
    this.#copies = [];
    const steps = workers === this.#marksOf ? this.#marks.filter((step) => step !== undefined) : [];
    const holding = { steps, empty: this.#shard.chunks.length === 0 };
    this.#report((coordinator) => coordinator.held(this.index, holding, epoch));
  }

  /** `recalled`: of the memory, at this step. */
  load(epoch: number, checkpoint: Checkpoint | undefined, workers: number, recalled?: number): void {
    if (epoch < this.#epoch || epoch <= this.#loaded) return; // repeated or late
    const { job } = this.#system;
    this.#epoch = epoch;
    this.#loaded = epoch;
    this.#marks = this.#marks.map((step) => (step === recalled ? step : undefined));
    this.#marksOf = workers;
    const clipByNorm = job.clipNorm !== undefined;
    this.#exchange = new Exchange({
      workers,
      chunks: this.#shard.chunks,
      clipByNorm,
      consistency: consistencyOf({}),
    });
    this.#copies = [];
    for (const { index } of this.#shard.chunks)
      if (checkpoint) this.#versions.set(`${index}:${checkpoint.step % 2}`, checkpoint.parameters[index]!);
    const step = recalled ?? checkpoint?.step;
    this.apply(step === undefined ? { kind: 'clear', epoch } : { kind: 'load', epoch, step });
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
        this.#marks[effect.step % 2] = effect.step;
        this.#maybeCopy();
        break;
    }
  }

  #update({ chunk, version: step, scale, learningRate }: Extract<ExchangeEffect, { kind: 'update' }>): void {
    this.#marks[(step + 1) % 2] = undefined;
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
