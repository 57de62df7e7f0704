// Running means over samples, from sums over batches.

export class Means {
  readonly #names: readonly string[];
  readonly #sums: Float64Array;
  #samples = 0;

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#sums = new Float64Array(names.length);
  }

  /** Sums over `samples` samples, in the order of the names. */
  add(sums: readonly number[], samples: number): void {
    for (const [i, sum] of sums.entries()) this.#sums[i] = (this.#sums[i] ?? 0) + sum;
    this.#samples += samples;
  }

  values(): Record<string, number> {
    return Object.fromEntries(
      this.#names.map((name, i) => [name, (this.#sums[i] as number) / this.#samples]),
    );
  }
}
