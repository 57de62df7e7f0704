// Whether a job is run here at all, and its first pass. Creates nothing: that is assembling.
import { MANAGED_BY } from '../../../crds/running.ts';
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { Plan, Seen } from '../job.ts';
import { act, record } from './decision.ts';
import { hasBegun, running } from './lifetime.ts';

/** Deleted or going with its namespace (owner references clean up), or run by another controller. */
export function leaveAlone({ job, namespaceEnds }: Seen, status: LeptonJobStatus): Plan | undefined {
  const stays = isOurs(job) && job.metadata.deletionTimestamp === undefined && !namespaceEnds;
  return stays ? undefined : act(status, []);
}

/** Of another controller's job the status is the other's as well. */
export function isOurs({ spec }: Seen['job']): boolean {
  return spec.managedBy === MANAGED_BY;
}

/** The first pass: names the run, so that every later pod finds the checkpoints of earlier ones. */
export function begin({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  if (hasBegun(status)) return undefined;
  const run = job.metadata.uid.replaceAll('-', '').slice(0, 20).toLowerCase();
  const first: LeptonJobStatus = { ...status, run, attempt: 0, restarts: 0 };
  return record(
    job.spec.suspend
      ? { ...first, phase: 'Suspended' }
      : { ...first, ...running(nowMs, job.spec.worker.replicas) },
    [
      {
        type: 'Normal',
        reason: job.spec.suspend ? 'Suspended' : 'Accepted',
        message: 'the job is known to the controller',
      },
    ],
  );
}

/** Nothing is created while something speaks against it; what runs already goes on. */
export function refuse({ refusal, pods }: Seen, status: LeptonJobStatus): Plan | undefined {
  return refusal && pods.length === 0 ? act(status, []) : undefined;
}
