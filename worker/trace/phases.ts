// What a process of a job does with its time: the names of phases, and what the code that spends it is given. Measures nothing itself.

/**
 * Of a worker: waiting for its batch, computing, encoding and pushing gradients, waiting for the next step, the arrival of its
 * parameters, evaluating. Of a server: gradients of one worker on their way in, waiting for the last worker once the first is through,
 * adding, updating, sending. Of the coordinator: a step from its begin to the last worker's share.
 */
export const PHASES = [
  'data',
  'compute',
  'encode',
  'push',
  'wait',
  'pull',
  'evaluate',
  'receive',
  'sum',
  'update',
  'send',
  'step',
] as const;

export type Phase = (typeof PHASES)[number];

export interface Trace {
  /**
   * This process was in `phase` of `step` from `fromMs` on, until now where nothing else is said; times are those of performance.now().
   * `rank` is the worker that it was about: whose gradients, or who was last.
   */
  span(phase: Phase, step: number, fromMs: number, untilMs?: number, rank?: number): void;
}
