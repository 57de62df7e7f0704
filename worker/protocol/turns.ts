// A worker's turns where batches are leased: which comes next, whether it needs newer parameters than there are, and which parameters
// that come are the answer to what. Counts by itself; a batch's number is only a name. Pure.
import type { Begun, Directive } from './gather.ts';

export type TurnEffect =
  /** Ask for all parameters anew, which then come as those of `step`. */
  | { readonly kind: 'refresh'; readonly step: number }
  /** As soon as the parameters are there. */
  | { readonly kind: 'begin'; readonly directive: Directive };

interface Turn extends Begun {
  /** Parameters of before it was told may lack what the lease waited for. */
  readonly stale: boolean;
}

/** What was told and may be told once more, as a worker that pulls anew hears again what it has. */
const MOST_REMEMBERED = 64;

export class Turns {
  readonly #told = new Set<string>();
  readonly #queue: Turn[] = [];
  #current: Turn | undefined;
  /** It computes, and nothing of it has left: all answers are still to come. */
  #untouched = false;
  #label: number;

  /** `label`: of the parameters that come first. */
  constructor(label: number) {
    this.#label = label;
  }

  /** Parameters of this step, and no others, are those that are waited for. */
  get label(): number {
    return this.#label;
  }

  get current(): Begun | undefined {
    return this.#current;
  }

  told(begun: Begun): TurnEffect[] {
    const name = `${begun.directive} ${begun.step}`;
    if (this.#told.has(name)) return [];
    this.#told.add(name);
    if (this.#told.size > MOST_REMEMBERED) this.#told.delete(this.#told.values().next().value!);
    this.#queue.push({ ...begun, stale: !this.#untouched });
    return this.#next();
  }

  /** The batch is computed from now on: what comes is the answer to it. */
  computing(): void {
    this.#label = this.#current!.step;
    this.#untouched = true;
  }

  /** The first of its gradients leaves. */
  pushes(): void {
    this.#untouched = false;
  }

  /** It is over: all servers have answered, or there was nothing to push. */
  over(): TurnEffect[] {
    this.#current = undefined;
    this.#untouched = false;
    return this.#next();
  }

  #next(): TurnEffect[] {
    if (this.#current) return [];
    this.#current = this.#queue.shift();
    if (!this.#current) return [];
    const { step, directive, stale } = this.#current;
    if (stale) this.#label = step;
    return [...(stale ? [{ kind: 'refresh', step } as const] : []), { kind: 'begin', directive }];
  }
}
