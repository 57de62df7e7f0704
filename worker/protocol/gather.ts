// A worker's view of the parameters: which chunks of which step have come, when the next step may begin, and where a step does without
// the slowest workers, when one of them goes on where the others are. No payloads. The worker keeps two versions, that of step s in
// place s mod 2: what belongs to the next step is written while this one computes.

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
  /** The worker does what is ready: it goes nowhere else before `computed` or `passed`. */
  | { readonly kind: 'taken' }
  /** The engine starts to compute: parameters must stay as they are until `computed`. */
  | { readonly kind: 'computing' }
  | { readonly kind: 'computed' }
  /** What was ready is done without computing. */
  | { readonly kind: 'passed' }
  /** A later step than the target is collected. */
  | { readonly kind: 'skip'; readonly to: number };

export type GatherEffect =
  /** The message's data belongs to this version of the parameters. */
  | { readonly kind: 'write'; readonly chunk: number; readonly step: number }
  /** All parameters of `step` are in place. */
  | { readonly kind: 'gathered'; readonly step: number }
  /** And nothing else is in the way. */
  | ({ readonly kind: 'ready' } & Begun)
  /** Ask all servers for what they have now. */
  | { readonly kind: 'refresh'; readonly step: number };

export interface GatherOptions {
  /** Of all servers. */
  readonly chunks: number;
  /** Whose parameters are collected first. */
  readonly step: number;
  /** Steps do without the slowest workers, which this one may be. */
  readonly byQuorum?: boolean;
}

export class Gather {
  readonly #options: GatherOptions;
  #target: number;
  /** From `taken` until it is done. */
  #busy = false;
  #computing = false;
  /** Step -> chunks that are written; only `target` and the one after it occur. */
  readonly #written = new Map<number, Set<number>>();
  #begun: Begun | undefined;
  /**
   * The target may be owed: an older session of this rank has said that it is done, and was lost before all servers had its gradients.
   * They are waited for, and the others are at the step after it at most.
   */
  #mayOwe = true;
  /** The newest step of which something was not written. */
  #missed = -1;
  #gathered = false;
  #announced = false;
  #ready: Begun | undefined;

  constructor(options: GatherOptions) {
    this.#options = options;
    this.#target = options.step;
  }

  /** The step whose parameters are collected. */
  get target(): number {
    return this.#target;
  }

  /** Announced and not begun; undefined again where this worker goes on elsewhere. */
  get ready(): Begun | undefined {
    return this.#ready;
  }

  /** The others have done without this worker's part of the step: nobody looks at it any more. */
  isOvertaken(step: number): boolean {
    return this.#options.byQuorum === true && (this.#begun?.step ?? step) > step;
  }

  step(message: GatherMessage): GatherEffect[] {
    switch (message.kind) {
      case 'chunk':
        return this.#chunk(message.chunk, message.step);
      case 'begin':
        return this.#begin(message);
      case 'taken':
        this.#busy = true;
        return [];
      case 'computing':
        this.#moveTo(this.#target + 1);
        this.#computing = true;
        return [];
      case 'computed':
        this.#computing = false;
        return this.#goOn();
      case 'passed':
        // What nobody trains yet, nobody owes.
        this.#mayOwe = false;
        // The next step may have begun already.
        if (this.#ready?.directive === 'evaluate') this.#ready = undefined;
        return this.#goOn();
      case 'skip':
        this.#moveTo(message.to);
        return this.#maybeReady();
    }
  }

  #moveTo(step: number): void {
    for (const other of this.#written.keys()) if (other < step) this.#written.delete(other);
    this.#target = step;
    this.#mayOwe = false;
    this.#gathered = false;
    this.#announced = false;
    this.#ready = undefined;
  }

  #goOn(): GatherEffect[] {
    this.#busy = false;
    return [...this.#catchUp(), ...this.#maybeReady()];
  }

  /** Whoever is not waited for goes on where the others are, and asks for what came when there was no place for it. */
  #catchUp(): GatherEffect[] {
    if (!this.#options.byQuorum || this.#busy) return [];
    const newest = this.#begun?.step ?? this.#target;
    const isBehind = newest > this.#target + (this.#mayOwe ? 1 : 0);
    if (isBehind) this.#moveTo(newest);
    const missed = this.#missed >= this.#target;
    this.#missed = -1;
    return isBehind || missed ? [{ kind: 'refresh', step: this.#target }] : [];
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
    return [...this.#catchUp(), ...this.#maybeReady()];
  }

  #chunk(chunk: number, step: number): GatherEffect[] {
    // While a step computes, the version after the target would lie where the engine reads.
    const newest = this.#computing ? this.#target : this.#target + 1;
    if (step > newest) this.#missed = step;
    if (chunk < 0 || chunk >= this.#options.chunks || step < this.#target || step > newest) return [];
    const written = this.#written.get(step) ?? new Set<number>();
    this.#written.set(step, written);
    if (written.has(chunk)) return [];
    written.add(chunk);
    return [{ kind: 'write', chunk, step }, ...this.#maybeReady()];
  }

  #maybeReady(): GatherEffect[] {
    const written = this.#written.get(this.#target)?.size ?? 0;
    if (this.#computing || written < this.#options.chunks) return [];
    const gathered: GatherEffect[] = this.#gathered ? [] : [{ kind: 'gathered', step: this.#target }];
    this.#gathered = true;
    return [...gathered, ...this.#announce()];
  }

  #announce(): GatherEffect[] {
    const begun = this.#begun;
    if (this.#announced || !begun || begun.step < this.#target) return [];
    this.#announced = true;
    const { step, directive, shares } = begun;
    // Where a later step has begun elsewhere, this one was to be trained.
    if (step !== this.#target) this.#ready = { step: this.#target, directive: 'train' };
    else this.#ready = { step, directive, ...(shares ? { shares } : {}) };
    return [{ kind: 'ready', ...this.#ready }];
  }
}
