// Who keeps the others waiting: who was last at each step and for how long the others stood for it, and which workers are slower than
// the rest over many steps. Made from the begins and records of steps as the coordinator hears them. Pure.

/** What a worker and the others have waited since the coordinator started. */
export interface WorkerWaits {
  /** Steps that it had a share in. */
  readonly steps: number;
  /** Steps at which it was last. */
  readonly lastSteps: number;
  /** For which its share was there and another one's was not. */
  readonly waitedSeconds: number;
  /** For whom it waited longest; absent where it waited for nobody. */
  readonly longestFor?: number;
  readonly longestForSeconds: number;
}

/** A worker that takes `times` as long for its shares as the others in the middle. */
export interface SlowWorker {
  readonly rank: number;
  readonly times: number;
}

export interface StragglerTick {
  readonly slow: readonly SlowWorker[];
  readonly begun: readonly SlowWorker[];
  /** Ranks that keep pace again. */
  readonly ended: readonly number[];
}

/** Slow is who takes so many times as long as the others in the middle, and not slow any more who takes less than the second. */
const SLOW_TIMES = 1.5;
const FAST_TIMES = 1.25;
/** A worker must be slow for so long: a pause of the host is no straggler. */
const SLOW_FOR_MS = 3000;
/** Workers are compared over so many steps at least. */
const FEWEST = 5;
/** Differences that nobody sees are nobody's fault, whatever their ratio. */
const LEAST_MS = 1;

interface Seen {
  steps: number;
  lastSteps: number;
  waitedMs: number;
  readonly waitedForMs: Map<number, number>;
  /** What its shares took since workers were compared last, and how many they were. */
  ownMs: number;
  shares: number;
  /** By the last comparison. */
  times: number;
  slowSinceMs: number | undefined;
  slow: boolean;
}

export class Stragglers {
  #step = -1;
  #workers = 0;
  #begunMs = 0;
  /** Steps since workers were compared last. */
  #folded = 0;
  /** When the shares of the step in progress came, in that order. */
  #came: { readonly rank: number; readonly ms: number }[] = [];
  readonly #seen = new Map<number, Seen>();

  /** A step begins, or begins again after everybody went back. What is missing of the one before is not waited for any more. */
  begun(step: number, workers: number, nowMs: number): void {
    if (step > this.#step) this.#fold();
    this.#came = [];
    this.#step = step;
    this.#begunMs = nowMs;
    if (workers !== this.#workers)
      for (const rank of this.#seen.keys()) if (rank >= workers) this.#seen.delete(rank);
    this.#workers = workers;
  }

  /** The share of a rank in a step is done; what is late, repeated or nobody's is not counted. Gives the last rank once all have come. */
  recorded(rank: number, step: number, nowMs: number): { last: number; begunMs: number } | undefined {
    const counts = step === this.#step && rank >= 0 && rank < this.#workers;
    if (!counts || this.#came.some((other) => other.rank === rank)) return undefined;
    this.#came.push({ rank, ms: nowMs });
    if (this.#came.length < this.#workers) return undefined;
    this.#fold();
    this.#came = [];
    this.#step++; // whatever else comes of this step is repeated
    return { last: rank, begunMs: this.#begunMs };
  }

  waits(rank: number): WorkerWaits {
    const { steps, lastSteps, waitedMs, waitedForMs } = this.#of(rank);
    const longest = [...waitedForMs].reduce((a, b) => (b[1] > a[1] ? b : a), [-1, 0] as const);
    return {
      steps,
      lastSteps,
      waitedSeconds: waitedMs / 1000,
      ...(longest[0] < 0 ? {} : { longestFor: longest[0] }),
      longestForSeconds: longest[1] / 1000,
    };
  }

  /** Who is slow now, and what has changed since the last tick. */
  tick(nowMs: number): StragglerTick {
    const before = new Set(this.#slow().map(({ rank }) => rank));
    if (this.#folded >= FEWEST) this.#compare(nowMs);
    const slow = this.#slow();
    const now = new Set(slow.map(({ rank }) => rank));
    return {
      slow,
      begun: slow.filter(({ rank }) => !before.has(rank)),
      ended: [...before].filter((rank) => !now.has(rank)),
    };
  }

  #slow(): SlowWorker[] {
    return [...this.#seen].filter(([, { slow }]) => slow).map(([rank, { times }]) => ({ rank, times }));
  }

  /** By the mean of a worker's shares, as a worker that often stands for a moment is slow as well. */
  #compare(nowMs: number): void {
    const means = new Map<number, number>();
    for (const [rank, { ownMs, shares }] of this.#seen) if (shares > 0) means.set(rank, ownMs / shares);
    for (const [rank, seen] of this.#seen) {
      seen.times = timesOf(rank, means);
      this.#judge(seen, nowMs);
      seen.ownMs = 0;
      seen.shares = 0;
    }
    this.#folded = 0;
  }

  #judge(seen: Seen, nowMs: number): void {
    if (seen.times < (seen.slow ? FAST_TIMES : SLOW_TIMES)) {
      seen.slowSinceMs = undefined;
      seen.slow = false;
      return;
    }
    seen.slowSinceMs ??= nowMs;
    seen.slow ||= nowMs - seen.slowSinceMs >= SLOW_FOR_MS;
  }

  /** Everybody whose share had come has waited for the last one. */
  #fold(): void {
    const last = this.#came.at(-1);
    if (!last) return;
    this.#folded++;
    for (const { rank, ms } of this.#came) {
      const seen = this.#of(rank);
      seen.ownMs += ms - this.#begunMs;
      seen.shares++;
      seen.steps++;
      if (rank === last.rank) continue;
      seen.waitedMs += last.ms - ms;
      seen.waitedForMs.set(last.rank, (seen.waitedForMs.get(last.rank) ?? 0) + last.ms - ms);
    }
    if (this.#came.length > 1) this.#of(last.rank).lastSteps++;
  }

  #of(rank: number): Seen {
    const found = this.#seen.get(rank) ?? {
      steps: 0,
      lastSteps: 0,
      waitedMs: 0,
      waitedForMs: new Map(),
      ownMs: 0,
      shares: 0,
      times: 1,
      slowSinceMs: undefined,
      slow: false,
    };
    this.#seen.set(rank, found);
    return found;
  }
}

/** How many times as long a rank takes as the others in the middle; 1 where nothing can be said. */
function timesOf(rank: number, means: ReadonlyMap<number, number>): number {
  const own = means.get(rank);
  const others = [...means].filter(([other]) => other !== rank).map(([, ms]) => ms);
  if (own === undefined || others.length === 0) return 1;
  const middle = medianOf(others);
  return own - middle < LEAST_MS ? 1 : own / middle;
}

/** The lower one of two in the middle. */
function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
