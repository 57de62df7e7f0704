// How many batches of a round of local steps each worker takes, by how fast it was in the round before. Pure.

/** Workers whose speeds lie within this of the mean take equal shares, so that a round does not depend on chance. */
const ALIKE = 0.2;
/** By how much a share may change from one round to the next: one slow round may have been a pause of the host. */
const LEAST_FACTOR = 0.5;
const LARGEST_FACTOR = 2;

export class Shares {
  readonly #batches: number;
  readonly #balance: boolean;
  #step = -1;
  #begunMs = 0;
  #shares: readonly number[] = [];
  #milliseconds: (number | undefined)[] = [];

  /** `batches`: of each worker in a round, where all are alike. */
  constructor(batches: number, balance: boolean) {
    this.#batches = batches;
    this.#balance = balance;
  }

  /** The shares of a round, by rank; their sum is that of equal ones. A round that begins again keeps its shares. */
  begun(step: number, workers: number, nowMs: number): readonly number[] {
    const again = step === this.#step && workers === this.#shares.length;
    if (!again) this.#shares = this.#next(step, workers);
    this.#step = step;
    this.#begunMs = nowMs;
    this.#milliseconds = new Array<number | undefined>(workers).fill(undefined);
    return this.#shares;
  }

  /** Of a round that has begun. */
  of(step: number): readonly number[] {
    return step === this.#step ? this.#shares : [];
  }

  recorded(rank: number, step: number, nowMs: number): void {
    if (step === this.#step) this.#milliseconds[rank] ??= nowMs - this.#begunMs;
  }

  #next(step: number, workers: number): readonly number[] {
    const equal = new Array<number>(workers).fill(this.#batches);
    const before = this.#shares;
    const measured = step === this.#step + 1 && before.length === workers;
    if (!this.#balance || !measured || this.#milliseconds.some((took) => took === undefined)) return equal;
    const speeds = before.map((share, rank) => share / Math.max(1, this.#milliseconds[rank]!));
    const mean = sum(speeds) / workers;
    if (speeds.every((speed) => Math.abs(speed / mean - 1) <= ALIKE)) return equal;
    const total = workers * this.#batches;
    const wanted = speeds.map((speed, rank) => {
      const share = (total * speed) / sum(speeds);
      return Math.min(LARGEST_FACTOR * before[rank]!, Math.max(LEAST_FACTOR * before[rank]!, share));
    });
    return apportion(wanted, total);
  }
}

/** Whole numbers in the ratio of `wanted` with a given sum, by largest remainders; each at least 1 where the sum allows it. */
export function apportion(wanted: readonly number[], total: number): number[] {
  const least = total >= wanted.length ? 1 : 0;
  const spare = total - least * wanted.length;
  const exact = wanted.map((want) => (spare * want) / sum(wanted));
  const shares = exact.map((value) => least + Math.floor(value));
  const byRemainder = exact
    .map((value, rank) => ({ rank, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.rank - b.rank);
  for (const { rank } of byRemainder.slice(0, total - sum(shares))) shares[rank]!++;
  return shares;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
