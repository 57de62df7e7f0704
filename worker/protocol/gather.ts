// A worker's view of the parameters: which chunks of which step have come, when the next step may begin. No payloads.
// The worker keeps two versions, that of step s in place s mod 2: what belongs to the next step is written while this one computes.

/** What the coordinator says with the begin of a step. */
export type Directive = 'train' | 'evaluate' | 'finish' | 'stop';

/** With these nothing more is trained. */
export type Ending = Extract<Directive, 'finish' | 'stop'>;

export function isEnding(directive: Directive): directive is Ending {
  return directive === 'finish' || directive === 'stop';
}

/** A step that may begin. */
export interface Begun {
  readonly step: number;
  readonly directive: Directive;
  /** Of a round of local steps: batches of each rank. */
  readonly shares?: readonly number[];
}

export type GatherMessage =
  | { readonly kind: 'chunk'; readonly chunk: number; readonly step: number }
  /** Step `step` may begin as far as the coordinator is concerned. */
  | ({ readonly kind: 'begin' } & Begun)
  /** The engine starts to compute: parameters must stay as they are until `computed`. */
  | { readonly kind: 'computing' }
  | { readonly kind: 'computed' }
  /** A later step than the target is collected. */
  | { readonly kind: 'skip'; readonly to: number };

export type GatherEffect =
  /** The message's data belongs to this version of the parameters. */
  | { readonly kind: 'write'; readonly chunk: number; readonly step: number }
  /** All parameters of `step` are in place. */
  | { readonly kind: 'gathered'; readonly step: number }
  /** And nothing else is in the way. */
  | ({ readonly kind: 'ready' } & Begun);

export class Gather {
  readonly #chunks: number;
  #target: number;
  #computing = false;
  /** Step -> chunks that are written; only `target` and the one after it occur. */
  readonly #written = new Map<number, Set<number>>();
  #begun: Begun | undefined;
  /** The newest step of which something was not written. */
  #missed = -1;
  #gathered = false;
  #announced = false;

  /** Collects the parameters of `step`, then of the steps after it. */
  constructor(chunks: number, step: number) {
    this.#chunks = chunks;
    this.#target = step;
  }

  /** The step whose parameters are collected. */
  get target(): number {
    return this.#target;
  }

  /** True once where something came for which there was no place: it has to be asked for, as it will be collected. */
  takeMissed(): boolean {
    const missed = this.#missed >= this.#target;
    this.#missed = -1;
    return missed;
  }

  step(message: GatherMessage): GatherEffect[] {
    switch (message.kind) {
      case 'chunk':
        return this.#chunk(message.chunk, message.step);
      case 'begin':
        return this.#begin(message);
      case 'computing':
        this.#moveTo(this.#target + 1);
        this.#computing = true;
        return [];
      case 'computed':
        this.#computing = false;
        return this.#maybeReady();
      case 'skip':
        this.#moveTo(message.to);
        return this.#maybeReady();
    }
  }

  #moveTo(step: number): void {
    for (const other of this.#written.keys()) if (other < step) this.#written.delete(other);
    this.#target = step;
    this.#gathered = false;
    this.#announced = false;
  }

  /** The newest counts; of one step, what was said last. */
  #begin(begun: Begun): GatherEffect[] {
    const known = this.#begun;
    if (
      known &&
      (begun.step < known.step || (begun.step === known.step && begun.directive === known.directive))
    )
      return [];
    if (begun.step === known?.step) this.#announced = false;
    this.#begun = begun;
    return this.#maybeReady();
  }

  #chunk(chunk: number, step: number): GatherEffect[] {
    // While a step computes, the version after the target would lie where the engine reads.
    const newest = this.#computing ? this.#target : this.#target + 1;
    if (step > newest) this.#missed = step;
    if (chunk < 0 || chunk >= this.#chunks || step < this.#target || step > newest) return [];
    const written = this.#written.get(step) ?? new Set<number>();
    this.#written.set(step, written);
    if (written.has(chunk)) return [];
    written.add(chunk);
    return [{ kind: 'write', chunk, step }, ...this.#maybeReady()];
  }

  #maybeReady(): GatherEffect[] {
    const written = this.#written.get(this.#target)?.size ?? 0;
    if (this.#computing || written < this.#chunks) return [];
    const gathered: GatherEffect[] = this.#gathered ? [] : [{ kind: 'gathered', step: this.#target }];
    this.#gathered = true;
    return [...gathered, ...this.#ready()];
  }

  #ready(): GatherEffect[] {
    const begun = this.#begun;
    if (this.#announced || !begun || begun.step < this.#target) return [];
    this.#announced = true;
    // A later step has begun elsewhere, so this one was to be trained.
    if (begun.step !== this.#target) return [{ kind: 'ready', step: this.#target, directive: 'train' }];
    const { step, directive, shares } = begun;
    return [{ kind: 'ready', step, directive, ...(shares ? { shares } : {}) }];
  }
}
