// The two forms of a decision. What is decided is in the files of the rules.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { JobEvent, Plan, Step } from '../job.ts';

/** Changes the status alone: the next pass acts on it. */
export function record(
  status: LeptonJobStatus,
  events: readonly JobEvent[],
): Extract<Plan, { kind: 'record' }> {
  return { kind: 'record', status, events };
}

/** Carries out what is decided already. */
export function act(status: LeptonJobStatus, steps: readonly Step[], wakeInMs?: number): Plan {
  return { kind: 'act', status, steps, ...(wakeInMs === undefined ? {} : { wakeInMs }) };
}
