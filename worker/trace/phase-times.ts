// Histograms of what each phase takes per step: filled from spans in a process, summed over processes by the coordinator. No clock.
import { BOUNDS, PHASES, type Phase, type PhaseTimes } from '../../protos/phases.ts';
import type { Trace } from './trace.ts';

interface Filled {
  readonly counts: number[];
  seconds: number;
  /** The step that spans are added to until one of another step comes. */
  step: number;
  stepMs: number;
}

/** Spans of one phase and step count as one, as long as none of another step lies between them. */
export class PhaseClock implements Trace, Disposable {
  readonly #filled = new Map<Phase, Filled>();
  readonly #next: (Trace & Partial<Disposable>) | undefined;

  /** `next` is given every span as well, and ends with this one. */
  constructor(next?: Trace & Partial<Disposable>) {
    this.#next = next;
  }

  span(phase: Phase, step: number, fromMs: number, untilMs = performance.now(), rank?: number): void {
    this.#add(phase, step, untilMs - fromMs);
    this.#next?.span(phase, step, fromMs, untilMs, rank);
  }

  /** Without the steps in progress. In the order of PHASES. */
  times(): PhaseTimes[] {
    return PHASES.flatMap((phase) => {
      const filled = this.#filled.get(phase);
      return filled ? [{ phase, counts: [...filled.counts], seconds: filled.seconds }] : [];
    });
  }

  [Symbol.dispose](): void {
    this.#next?.[Symbol.dispose]?.();
  }

  #add(phase: Phase, step: number, milliseconds: number): void {
    let filled = this.#filled.get(phase);
    if (!filled) {
      filled = { counts: new Array<number>(BOUNDS.length + 1).fill(0), seconds: 0, step, stepMs: 0 };
      this.#filled.set(phase, filled);
    }
    if (filled.step !== step) {
      const seconds = filled.stepMs / 1000;
      filled.counts[bucketOf(seconds)]!++;
      filled.seconds += seconds;
      filled.step = step;
      filled.stepMs = 0;
    }
    filled.stepMs += milliseconds;
  }
}

function bucketOf(seconds: number): number {
  const at = BOUNDS.findIndex((bound) => seconds <= bound);
  return at < 0 ? BOUNDS.length : at;
}

/** Sums of what several processes have told, each of which tells of all its time and may begin anew. Grows with processes, not with time. */
export class PhaseSums {
  /** Process -> phase -> the newest it told. */
  readonly #newest = new Map<string, Map<string, PhaseTimes>>();
  /** Process -> phase -> what its earlier lives told last. */
  readonly #earlier = new Map<string, Map<string, PhaseTimes>>();

  heard(process: string, times: readonly PhaseTimes[]): void {
    const newest = mapOf(this.#newest, process);
    const begunAnew = times.some(
      ({ phase, counts }) => total(counts) < total(newest.get(phase)?.counts ?? []),
    );
    if (begunAnew) {
      const earlier = mapOf(this.#earlier, process);
      for (const told of newest.values()) earlier.set(told.phase, sum(earlier.get(told.phase), told));
      newest.clear();
    }
    for (const told of times) if (isKnown(told)) newest.set(told.phase, told);
  }

  /** Of all processes whose name begins so; in the order of PHASES. */
  times(process: string): PhaseTimes[] {
    const sums = new Map<string, PhaseTimes>();
    for (const told of [this.#newest, this.#earlier])
      for (const [name, phases] of told)
        if (name.startsWith(process))
          for (const times of phases.values()) sums.set(times.phase, sum(sums.get(times.phase), times));
    return PHASES.flatMap((phase) => sums.get(phase) ?? []);
  }

  seconds(process: string, phase: Phase): number {
    const newest = this.#newest.get(process)?.get(phase)?.seconds ?? 0;
    return newest + (this.#earlier.get(process)?.get(phase)?.seconds ?? 0);
  }
}

/** A peer that tells of phases that nobody knows, or of no numbers, cannot make anything grow or be none. */
function isKnown({ phase, counts, seconds }: PhaseTimes): boolean {
  const known = (PHASES as readonly string[]).includes(phase) && counts.length === BOUNDS.length + 1;
  return known && Number.isFinite(seconds) && seconds >= 0;
}

function total(counts: readonly number[]): number {
  return counts.reduce((all, count) => all + count, 0);
}

function sum(a: PhaseTimes | undefined, b: PhaseTimes): PhaseTimes {
  if (!a) return b;
  return {
    phase: b.phase,
    counts: b.counts.map((count, at) => count + a.counts[at]!),
    seconds: a.seconds + b.seconds,
  };
}

function mapOf<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const found = maps.get(key) ?? new Map<string, V>();
  maps.set(key, found);
  return found;
}
