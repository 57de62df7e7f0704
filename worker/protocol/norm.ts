// The norm of the whole gradient from the servers' parts: sums of squares of blocks, added in arena order so that the
// bits depend neither on the number of servers nor on who answers first.

export type NormMessage =
  /** Sums of squares of a server's blocks, from its first to its last, already scaled. */
  { readonly server: number; readonly step: number; readonly blocks: readonly number[] };

/** `servers`: those that own trainable elements, in arena order. */
export class NormSum {
  readonly #servers: readonly number[];
  readonly #limit: number;
  #step = -1;
  #parts = new Map<number, readonly number[]>();

  constructor(servers: readonly number[], limit: number) {
    this.#servers = servers;
    this.#limit = limit;
  }

  /** Forgets a step that was begun before the servers went back. */
  reset(): void {
    this.#step = -1;
    this.#parts = new Map();
  }

  /** The factor for the gradient of a step once all parts are there: min(1, limit / norm). */
  step({ server, step, blocks }: NormMessage): { step: number; factor: number } | undefined {
    if (step < this.#step) return undefined;
    if (step > this.#step) {
      this.#step = step;
      this.#parts = new Map();
    }
    this.#parts.set(server, blocks);
    if (this.#servers.some((owner) => !this.#parts.has(owner))) return undefined;
    let total = 0;
    for (const owner of this.#servers) for (const block of this.#parts.get(owner)!) total += block;
    const norm = Math.sqrt(total);
    // As Keras' clip_by_global_norm: a norm that is not finite passes through and makes the loss say so.
    return { step, factor: norm > this.#limit ? this.#limit / norm : 1 };
  }
}
