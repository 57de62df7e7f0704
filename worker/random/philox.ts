// Random numbers by counter: the same (seed, stream) gives the same numbers on every machine, in any order of asking.
// Philox-4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011). No global state.

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** Upper 32 bits of a product of two unsigned 32-bit numbers, by halves so that every sum is exact in a double. */
function highProduct(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  return (a1 * b1 + Math.floor((a0 * b1 + middle) / 0x10000)) >>> 0;
}

/** Replaces the four words of `counter` by four random ones. Words are unsigned 32-bit numbers. */
export function philox(counter: Uint32Array, key0: number, key1: number): void {
  let c0 = counter[0]!;
  let c1 = counter[1]!;
  let c2 = counter[2]!;
  let c3 = counter[3]!;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = highProduct(MULTIPLIER_0, c0);
    const high1 = highProduct(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ key0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ key1) >>> 0;
    c3 = low0;
    key0 = (key0 + WEYL_0) >>> 0;
    key1 = (key1 + WEYL_1) >>> 0;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

/** FNV-1a over the parts of a stream's name; a separator keeps ('ab', 'c') and ('a', 'bc') apart. */
function hashStream(parts: readonly (number | string)[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    for (const byte of Buffer.from(`${typeof part === 'number' ? '#' : '$'}${part}\0`)) {
      hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    }
  }
  return hash;
}

/** A sequence of random numbers named by a seed and a stream, for example `new Random(seed, 'shuffle', epoch)`. */
export class Random {
  readonly #seed: number;
  readonly #stream: number;
  readonly #block = new Uint32Array(4);
  #counter = 0;
  #used = 4;

  constructor(seed: number, ...stream: readonly (number | string)[]) {
    this.#seed = seed >>> 0;
    this.#stream = hashStream([Math.floor(seed / 2 ** 32), ...stream]);
  }

  /** A whole number of 0 to 2^32 - 1. */
  word(): number {
    if (this.#used === 4) {
      this.#block[0] = this.#counter >>> 0;
      this.#block[1] = Math.floor(this.#counter / 2 ** 32);
      this.#block[2] = 0;
      this.#block[3] = 0;
      philox(this.#block, this.#seed, this.#stream);
      this.#counter++;
      this.#used = 0;
    }
    return this.#block[this.#used++] as number;
  }

  /** Uniform in [0, 1) with 32 random bits. */
  uniform(): number {
    return this.word() / 2 ** 32;
  }

  /** Normal with mean 0 and deviation 1, by Box and Muller's transform. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Uniform whole number in [0, bound), 1 <= bound <= 2^32, without bias: words of the unfinished last interval are drawn again. */
  integer(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % bound;
  }

  /** Puts the values in random order, in place (Fisher and Yates). */
  shuffle(values: Uint32Array): void {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const value = values[i] as number;
      values[i] = values[j] as number;
      values[j] = value;
    }
  }
}
