// Batches that are leased to workers one by one: which may begin, who has which, which are done. Batch b belongs to step b div workers.
// Whoever is fast takes more of them. Pure.

export interface Lease {
  readonly rank: number;
  readonly batch: number;
}

export interface LeasesOptions {
  readonly workers: number;
  /** Steps by which a batch that begins may be ahead of the oldest one that is not done. */
  readonly bound: number;
}

/** One to compute and one to follow, whose data is read meanwhile. Where nobody may be ahead, the second would be kept from others. */
const MOST_HELD = 2;

export class Leases {
  readonly #workers: number;
  readonly #bound: number;
  readonly #depth: number;
  /** Every batch below it is done. */
  #oldest = 0;
  /** Never leased so far. */
  #next = 0;
  #end = 0;
  /** Leased to somebody who left; in ascending order. */
  #returned: number[] = [];
  readonly #done = new Set<number>();
  /** Batch -> rank. */
  readonly #held = new Map<number, number>();
  readonly #listening = new Set<number>();

  constructor({ workers, bound }: LeasesOptions) {
    this.#workers = workers;
    this.#bound = bound;
    this.#depth = bound > 0 ? MOST_HELD : 1;
  }

  /** The oldest step that is not done. */
  get step(): number {
    return Math.floor(this.#oldest / this.#workers);
  }

  /** Batches done since the beginning of the job. */
  get done(): number {
    return this.#oldest + this.#done.size;
  }

  /** All batches of the stretch are done. */
  get isDone(): boolean {
    return this.#oldest === this.#end;
  }

  /** Where everybody meets. */
  get end(): number {
    return this.#end / this.#workers;
  }

  /** Ranks that the end of the stretch waits for; none while there is work for everybody. */
  get awaited(): readonly number[] {
    if (this.#next < this.#end || this.#returned.length > 0) return [];
    return [...new Set(this.#held.values())].sort((a, b) => a - b);
  }

  /** The batches of steps `from` to `to` may be leased; those before are done. */
  open(from: number, to: number): Lease[] {
    this.#oldest = from * this.#workers;
    this.#next = this.#oldest;
    this.#end = to * this.#workers;
    this.#returned = [];
    this.#done.clear();
    this.#held.clear();
    return this.#lease();
  }

  /** The stretch ends with the step that has begun; at least one is done. */
  shorten(): void {
    const from = Math.floor(this.#oldest / this.#workers) + 1;
    const begun = Math.ceil(this.#next / this.#workers);
    this.#end = Math.min(this.#end, Math.max(from, begun) * this.#workers);
  }

  /** The rank listens anew: it is told again what it has, and has not done. */
  listen(rank: number): Lease[] {
    this.#listening.add(rank);
    const own = [...this.#held].filter(([, holder]) => holder === rank).map(([batch]) => ({ rank, batch }));
    return [...own.sort((a, b) => a.batch - b.batch), ...this.#lease()];
  }

  /** Others take what the rank had. */
  leave(rank: number): Lease[] {
    this.#listening.delete(rank);
    for (const [batch, holder] of this.#held) {
      if (holder !== rank) continue;
      this.#held.delete(batch);
      this.#returned.push(batch);
    }
    this.#returned.sort((a, b) => a - b);
    return this.#lease();
  }

  /** How a report that a batch is done is to be taken. */
  judge(batch: number): 'due' | 'late' | 'ahead' {
    if (batch < this.#oldest || this.#done.has(batch)) return 'late';
    return batch < this.#next ? 'due' : 'ahead';
  }

  /** A batch is done, by whomever: the first report counts. */
  finish(batch: number): Lease[] {
    this.#held.delete(batch);
    this.#returned = this.#returned.filter((other) => other !== batch);
    this.#done.add(batch);
    while (this.#done.delete(this.#oldest)) this.#oldest++;
    return this.#lease();
  }

  /** Those who have least come first. */
  #lease(): Lease[] {
    const leased: Lease[] = [];
    for (;;) {
      const batch = this.#returned[0] ?? this.#next;
      const ahead = Math.floor(batch / this.#workers) - this.step;
      const rank = this.#idlest();
      if (batch >= this.#end || ahead > this.#bound || rank === undefined) return leased;
      if (batch === this.#next) this.#next++;
      else this.#returned.shift();
      this.#held.set(batch, rank);
      leased.push({ rank, batch });
    }
  }

  #idlest(): number | undefined {
    const counts = new Map([...this.#listening].map((rank) => [rank, 0]));
    for (const rank of this.#held.values()) counts.set(rank, (counts.get(rank) ?? 0) + 1);
    const able = [...this.#listening].filter((rank) => counts.get(rank)! < this.#depth);
    return able.sort((a, b) => counts.get(a)! - counts.get(b)! || a - b)[0];
  }
}
