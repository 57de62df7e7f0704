// What the coordinators of one job, one after the other, tell of the phases of its steps: as one history that only grows, so that a
// coordinator that begins anew is no loss. Pure.
import type { PhaseTimes } from '../../protos/phases.ts';

export class PhaseTotals {
  #newest: readonly PhaseTimes[] = [];
  /** Of the coordinators before. */
  #earlier: readonly PhaseTimes[] = [];

  /** Each tells of all its time; one that tells of fewer steps than before has begun anew. */
  heard(told: readonly PhaseTimes[]): void {
    if (this.#newest.some((before) => hasLess(phaseOf(told, before.phase), before))) {
      this.#earlier = this.times();
      this.#newest = [];
    }
    this.#newest = told.map((times) => ({ ...times, seconds: this.#secondsOf(times) }));
  }

  times(): PhaseTimes[] {
    const before = this.#earlier.filter(({ phase }) => !phaseOf(this.#newest, phase));
    return [...before, ...this.#newest.map((times) => sum(phaseOf(this.#earlier, times.phase), times))];
  }

  /** The coordinator adds in an order of its own: a sum that is less by a rounding would be a counter's reset. */
  #secondsOf({ phase, seconds }: PhaseTimes): number {
    return Math.max(seconds, phaseOf(this.#newest, phase)?.seconds ?? 0);
  }
}

function phaseOf(times: readonly PhaseTimes[], phase: string): PhaseTimes | undefined {
  return times.find((each) => each.phase === phase);
}

function hasLess(now: PhaseTimes | undefined, before: PhaseTimes): boolean {
  return before.counts.some((count, at) => (now?.counts[at] ?? 0) < count);
}

function sum(a: PhaseTimes | undefined, b: PhaseTimes): PhaseTimes {
  if (!a) return b;
  const counts = b.counts.map((count, at) => count + (a.counts[at] ?? 0));
  return { phase: b.phase, counts, seconds: a.seconds + b.seconds };
}
