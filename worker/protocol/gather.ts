// A worker's view of the parameters: which chunks of which step have come, when the next step may begin. No payloads.

/** What the coordinator says with the begin of a step. */
export type Directive = 'train' | 'finish' | 'stop';

export type GatherMessage =
  | { readonly kind: 'chunk'; readonly chunk: number; readonly step: number }
  /** Step `step` may begin as far as the coordinator is concerned. */
  | { readonly kind: 'begin'; readonly step: number; readonly directive: Directive }
  /** The engine starts to compute: parameters must stay as they are until `computed`. */
  | { readonly kind: 'computing' }
  | { readonly kind: 'computed' };

export type GatherEffect =
  /** Keep the message's data: it may not be written yet. */
  | { readonly kind: 'hold'; readonly chunk: number; readonly step: number }
  /** Write the message's or the held data of this version into the parameters. */
  | { readonly kind: 'write'; readonly chunk: number; readonly step: number }
  /** All parameters of `step` are in place and nothing else is in the way. */
  | { readonly kind: 'ready'; readonly step: number; readonly directive: Directive };

export class Gather {
  readonly #chunks: number;
  #target: number;
  #computing = false;
  /** Written at `target`. */
  #written = new Set<number>();
  /** Step -> chunks held for it; only `target` (while computing) and `target + 1` occur. */
  #held = new Map<number, Set<number>>();
  #begun: { step: number; directive: Directive } | undefined;
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

  step(message: GatherMessage): GatherEffect[] {
    switch (message.kind) {
      case 'chunk':
        return this.#chunk(message.chunk, message.step);
      case 'begin':
        if (!this.#begun || message.step > this.#begun.step) this.#begun = message;
        return this.#maybeReady();
      case 'computing':
        this.#target++;
        this.#computing = true;
        this.#announced = false;
        this.#written = new Set();
        return [];
      case 'computed':
        this.#computing = false;
        return [...this.#writeHeld(), ...this.#maybeReady()];
    }
  }

  #chunk(chunk: number, step: number): GatherEffect[] {
    if (chunk < 0 || chunk >= this.#chunks || step < this.#target || step > this.#target + 1) return [];
    if (step === this.#target && !this.#computing) {
      if (this.#written.has(chunk)) return [];
      this.#written.add(chunk);
      return [{ kind: 'write', chunk, step }, ...this.#maybeReady()];
    }
    const held = this.#held.get(step) ?? new Set<number>();
    this.#held.set(step, held);
    if (held.has(chunk)) return [];
    held.add(chunk);
    return [{ kind: 'hold', chunk, step }];
  }

  #writeHeld(): GatherEffect[] {
    const step = this.#target;
    const held = [...(this.#held.get(step) ?? [])];
    this.#held.delete(step);
    for (const chunk of held) this.#written.add(chunk);
    return held.map((chunk) => ({ kind: 'write', chunk, step }));
  }

  #maybeReady(): GatherEffect[] {
    const begun = this.#begun;
    if (this.#announced || this.#computing || this.#written.size < this.#chunks) return [];
    if (!begun || begun.step < this.#target) return [];
    this.#announced = true;
    // A later step has begun elsewhere, so this one was to be trained.
    const directive = begun.step === this.#target ? begun.directive : 'train';
    return [{ kind: 'ready', step: this.#target, directive }];
  }
}
