// A worker of the world where steps do without the slowest ones: the real Gather, what is under way to it and from it, and which step
// each of its parameters is of.
import assert from 'node:assert/strict';
import { type Begun, Gather, type GatherMessage, isEnding } from '../../../worker/protocol/gather.ts';

/** Lies where the worker computes the next one: what is under way, or shared, is only referred to. */
export interface Gradient {
  readonly step: number;
  /** Computed with the parameters of its step and no others, and not overwritten. */
  isSound: boolean;
}

/** What it says to a server. */
export type Said =
  | { readonly kind: 'push'; readonly chunk: number; readonly gradient: Gradient }
  | { readonly kind: 'record'; readonly step: number }
  | { readonly kind: 'refresh'; readonly step: number };

/** What it is told by a server. */
export type Told = { readonly chunk: number; readonly step: number } | Begun;

/** What it does next, or what happens on one of its streams. */
export type Work =
  | { readonly kind: 'compute' | 'computed' | 'evaluate' }
  | { readonly kind: 'attend' | 'pull' | 'hear' | 'tell'; readonly server: number };

export interface WorkerOptions {
  readonly epoch: number;
  /** The server of each chunk. */
  readonly owners: readonly number[];
  readonly servers: number;
  /** Messages that were written at once come one by one, and some while it reads the data of a step. */
  readonly apart: boolean;
  /** Parameters are seen where the servers have them, otherwise copied as they come. */
  readonly shared: boolean;
  /** What lies where a server has version `step` of a chunk. */
  readonly at: (chunk: number, step: number) => number | undefined;
}

export class Worker {
  readonly epoch: number;
  /** By server: the step that it told. */
  readonly attended: (number | undefined)[];
  readonly pulled: boolean[];
  /** By server, in order: what comes at once. */
  readonly said: Said[][][];
  readonly told: Told[][][];
  /** By server: when it was told something last. */
  readonly #toldAt: number[] = [];
  /** What it does now. */
  taken: Begun | undefined;
  isComputing = false;
  /** Nothing is left to do. */
  isDone = false;
  readonly #options: WorkerOptions;
  #gather: Gather | undefined;
  #gradient: Gradient | undefined;
  /** When it began to compute. */
  #wasWhole = false;
  /** Chunk -> place -> step of what lies there. */
  readonly #places: [number | undefined, number | undefined][];
  // What the gather was told and has not forgotten.
  #begun: Begun | undefined;
  #missed = -1;
  readonly #written = new Set<string>();

  constructor(options: WorkerOptions) {
    const { epoch, servers, owners } = options;
    this.#options = options;
    this.epoch = epoch;
    this.attended = new Array<number | undefined>(servers).fill(undefined);
    this.pulled = new Array<boolean>(servers).fill(false);
    this.said = Array.from({ length: servers }, () => []);
    this.told = Array.from({ length: servers }, () => []);
    this.#places = owners.map(() => [undefined, undefined]);
  }

  /** The step that it asks for when it pulls; undefined before all servers are attended. */
  get first(): number | undefined {
    const steps = this.attended.filter((step) => step !== undefined);
    return steps.length === this.attended.length ? Math.min(...steps) : undefined;
  }

  due(): Work[] {
    const { taken, isComputing, isDone, attended, pulled, said, told } = this;
    const works: Work[] = [];
    if (taken?.directive === 'train') works.push({ kind: isComputing ? 'computed' : 'compute' });
    else if (taken) works.push({ kind: 'evaluate' });
    for (const server of said.keys()) {
      if (attended[server] === undefined) works.push({ kind: 'attend', server });
      if (this.first !== undefined && !pulled[server]) works.push({ kind: 'pull', server });
      if (said[server]!.length > 0) works.push({ kind: 'hear', server });
      if (told[server]!.length > 0 && !isDone) works.push({ kind: 'tell', server });
    }
    return works;
  }

  attends(server: number, attended: number): void {
    this.attended[server] = attended;
    const { first: step } = this;
    if (step === undefined) return;
    this.#gather = new Gather({ chunks: this.#options.owners.length, step, byQuorum: true });
  }

  /** `at`: during which event. */
  tell(server: number, told: Told, at: number): void {
    const stream = this.told[server]!;
    const newest = this.#toldAt[server] === at && !this.#options.apart ? stream.at(-1) : undefined;
    if (newest) newest.push(told);
    else stream.push([told]);
    this.#toldAt[server] = at;
  }

  receive(server: number): void {
    for (const message of this.told[server]!.shift()!)
      if ('directive' in message) this.#apply({ kind: 'begin', ...message });
      else this.#apply({ kind: 'chunk', ...message });
  }

  compute(): void {
    this.#apply({ kind: 'computing' });
    this.isComputing = true;
    if (this.#gradient) this.#gradient.isSound = false;
    this.#wasWhole = this.#isWhole(this.taken!.step);
  }

  /** Gradients, the last ones first, and the record. */
  computed(): void {
    const { step } = this.taken!;
    const gradient = { step, isSound: this.#isWhole(step) };
    assert.ok(
      this.#options.shared || gradient.isSound === this.#wasWhole,
      `parameters of step ${step} were overwritten while it was computed`,
    );
    this.#gradient = gradient;
    const { apart, owners } = this.#options;
    for (const [server, stream] of this.said.entries()) {
      const own = [...owners.keys()].filter((chunk) => owners[chunk] === server).reverse();
      const said: Said[] = own.map((chunk) => ({ kind: 'push', chunk, gradient }));
      if (server === 0) said.push({ kind: 'record', step });
      stream.push(...(apart ? said.map((one) => [one]) : [said]));
    }
    this.isComputing = false;
    this.taken = undefined;
    this.#apply({ kind: 'computed' });
  }

  /** The step that it has evaluated. */
  evaluated(): number {
    const { step, directive } = this.taken!;
    assert.ok(this.#isWhole(step), `step ${step} is evaluated with other parameters`);
    this.taken = undefined;
    this.isDone = isEnding(directive);
    this.#apply({ kind: 'passed' });
    return step;
  }

  /** Every parameter is of this step. */
  #isWhole(step: number): boolean {
    const { shared, at } = this.#options;
    return this.#places.every((places, chunk) => (shared ? at(chunk, step) : places[step % 2]) === step);
  }

  #apply(message: GatherMessage): void {
    this.#remember(message);
    for (const effect of this.#gather!.step(message)) {
      if (effect.kind === 'write') {
        const { chunk, step } = effect;
        this.#written.add(`${chunk} ${step}`);
        this.#places[chunk]![step % 2] = this.#options.at(chunk, step);
      }
      if (effect.kind === 'refresh')
        for (const stream of this.said) stream.push([{ kind: 'refresh', step: effect.step }]);
    }
    this.#maybeTake();
  }

  #remember(message: GatherMessage): void {
    const newest = this.#gather!.target + (this.isComputing ? 0 : 1);
    if (message.kind === 'chunk' && message.step > newest) this.#missed = message.step;
    else if (message.kind !== 'chunk' && !this.taken) this.#missed = -1;
    if (message.kind === 'begin') this.#begun = message;
  }

  #maybeTake(): void {
    const gather = this.#gather!;
    if (this.taken || this.isDone || !gather.ready) return;
    this.taken = gather.ready;
    gather.step({ kind: 'taken' });
    if (this.taken.directive === 'train' && !this.#options.apart) this.compute();
  }

  /** What can make a difference later. */
  key(): unknown {
    const { attended, pulled, said, told, taken, isComputing, isDone } = this;
    if (isDone) return said;
    const target = this.#gather?.target ?? 0;
    const written = [...this.#written].filter((name) => Number(name.split(' ')[1]) >= target).sort();
    const gather = [target, this.#begun, this.#missed, written, this.#gather?.ready, target === this.first];
    return [attended, pulled, said, told, taken, isComputing, this.#wasWhole, gather, this.#places];
  }
}
