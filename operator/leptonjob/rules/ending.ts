// How a job ends well or runs out of time, and what is left of one that has ended. Ends by failures are in failing.ts.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { Plan, Seen } from '../job.ts';
import { act, record } from './decision.ts';
import { deletions, wakeForForce } from './deleting.ts';
import { activeMs, finished, isFinished, timeOf } from './lifetime.ts';
import { coordinatorOf } from './places.ts';
import { stoppingFor } from './suspending.ts';

/** A finished job never gets pods again; those left go by policy, the job by its time to live. */
export function tidyUp(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  if (!isFinished(status)) return undefined;
  const { job, pods, nowMs } = seen;
  const { cleanPodPolicy, ttlSecondsAfterFinished } = job.spec;
  const doomed = pods.filter(
    ({ phase }) =>
      cleanPodPolicy !== 'None' && (cleanPodPolicy === 'All' || phase === 'Running' || phase === 'Pending'),
  );
  const steps = deletions(doomed, seen);
  if (steps.length > 0) return act(status, steps);
  if (ttlSecondsAfterFinished === undefined) return wakeForForce(seen, act(status, []));
  const dueMs = timeOf(status.completionTime, nowMs) + ttlSecondsAfterFinished * 1000;
  if (dueMs <= nowMs) return act(status, [{ kind: 'deleteJob' }]);
  return wakeForForce(seen, act(status, [], dueMs - nowMs));
}

/** The coordinator, or the last words of its process, say that the job is done. */
export function succeed(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { report, nowMs } = seen;
  const words = coordinatorOf(seen)?.words;
  if (words?.phase !== 'Succeeded' && report?.phase !== 'Succeeded') return undefined;
  return record({ ...finished(status, nowMs, 'Succeeded'), message: 'the model is trained' }, [
    { type: 'Normal', reason: 'Succeeded', message: 'the model is trained' },
  ]);
}

export function passDeadline({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  const { activeDeadlineSeconds } = job.spec;
  if (activeDeadlineSeconds === undefined || status.stopping?.reason === 'Deadline') return undefined;
  if (activeMs(status, nowMs) < activeDeadlineSeconds * 1000) return undefined;
  return record(stoppingFor(status, 'Deadline', nowMs), [
    { type: 'Warning', reason: 'DeadlineExceeded', message: `active for ${activeDeadlineSeconds} s` },
  ]);
}
