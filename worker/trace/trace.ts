// What the code that spends the time of a process is given to tell of it. Measures nothing itself.
import type { Phase } from '../../protos/phases.ts';

export interface Trace {
  /**
   * This process was in `phase` of `step` from `fromMs` on, until now where nothing else is said; times are those of performance.now().
   * `rank` is the worker that it was about: whose gradients, or who was last.
   */
  span(phase: Phase, step: number, fromMs: number, untilMs?: number, rank?: number): void;
}
