// What the processes of a job tell of their time: the names of phases and the bounds of the buckets that steps are counted in. Both
// ends of `PhaseTimes` (lepton/coordination/v1) go by these lists. Measures nothing.

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

/** Upper bounds of the buckets in seconds, the last one of all without. */
export const BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;

/** Of one phase since the process began. */
export interface PhaseTimes {
  readonly phase: string;
  /** Steps by what the phase took of them: one number for each bound, and one for what is above all. */
  readonly counts: readonly number[];
  readonly seconds: number;
}
