// When each worker's gradients of a step came to one server, and for how long the server had one worker's and lacked another's.
import type { Trace } from '../trace/trace.ts';

interface Arrival {
  step: number;
  fromMs: number;
  untilMs: number;
}

export class Arrivals {
  readonly #trace: Trace;
  readonly #newest: Arrival[] = [];

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  came(rank: number, step: number): void {
    const now = performance.now();
    const arrival = this.#newest[rank];
    if (arrival?.step === step) arrival.untilMs = now;
    else this.#newest[rank] = { step, fromMs: now, untilMs: now };
  }

  /** All gradients of a step have come. */
  complete(step: number): void {
    let [first, last, lastRank] = [Number.POSITIVE_INFINITY, 0, 0];
    for (const [rank, arrival] of this.#newest.entries()) {
      if (arrival?.step !== step) continue;
      const { fromMs, untilMs } = arrival;
      this.#trace.span('receive', step, fromMs, untilMs, rank);
      first = Math.min(first, untilMs);
      if (untilMs >= last) [last, lastRank] = [untilMs, rank];
    }
    if (last > first) this.#trace.span('wait', step, first, last, lastRank);
  }
}
