// A run that stops with a checkpoint and may go on from it: asked for, carried out, over. Why one stops is decided here for a
// suspended job alone.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { JobEvent, Plan, Seen } from '../job.ts';
import { act, record } from './decision.ts';
import { deletions, wakeForForce } from './deleting.ts';
import { activeMs, emptyRole, finished, running, timeOf } from './lifetime.ts';
import { coordinatorOf } from './places.ts';

type StopReason = NonNullable<LeptonJobStatus['stopping']>['reason'];

export function suspend({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  if (!job.spec.suspend || status.phase === 'Suspended' || status.stopping) return undefined;
  return record(stoppingFor(status, 'Suspend', nowMs), [
    { type: 'Normal', reason: 'Suspending', message: 'writing a checkpoint, then deleting the pods' },
  ]);
}

/** A run that is being stopped: asked first, ended when it has answered or its time is over. */
export function stop(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { job, pods, nowMs, limits } = seen;
  const { stopping } = status;
  if (!stopping) return undefined;
  if (pods.length === 0) return record(...stopped(status, stopping.reason, job.spec.worker.replicas, nowMs));
  const leftMs = timeOf(stopping.since, nowMs) + limits.stopMs - nowMs;
  const coordinator = coordinatorOf(seen);
  const answering = coordinator?.phase === 'Running' && coordinator.terminatingSinceMs === undefined;
  if (answering && leftMs > 0) return act(status, [{ kind: 'stopRun' }], Math.min(leftMs, 1000));
  return act(status, deletions(pods, seen), 1000);
}

export function stayDown(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { job, pods, nowMs } = seen;
  if (status.phase !== 'Suspended') return undefined;
  if (job.spec.suspend || pods.length > 0) return wakeForForce(seen, act(status, deletions(pods, seen)));
  const next = { ...status, ...running(nowMs, job.spec.worker.replicas), attempt: (status.attempt ?? 0) + 1 };
  return record({ ...next, phase: 'Pending', assembled: false }, [
    { type: 'Normal', reason: 'Resumed', message: 'going on from the newest checkpoint' },
  ]);
}

export function stoppingFor(status: LeptonJobStatus, reason: StopReason, nowMs: number): LeptonJobStatus {
  return { ...status, stopping: { reason, since: new Date(nowMs).toISOString() } };
}

/** No pod is left of a run that was to stop. */
function stopped(
  status: LeptonJobStatus,
  reason: StopReason,
  workers: number,
  nowMs: number,
): [LeptonJobStatus, JobEvent[]] {
  const { stopping: _, replacing: _2, backOffUntil: _3, resizing: _5, ...rest } = status;
  const next: LeptonJobStatus = { ...rest, assembled: false };
  if (reason === 'Deadline') {
    const message = 'activeDeadlineSeconds is over';
    return [
      { ...finished(next, nowMs, 'Failed', 'DeadlineExceeded'), message },
      [{ type: 'Warning', reason: 'Failed', message }],
    ];
  }
  if (reason === 'Suspend') {
    const { activeSince: _4, ...idle } = next;
    return [
      { ...idle, phase: 'Suspended', activeSeconds: activeMs(status, nowMs) / 1000 },
      [{ type: 'Normal', reason: 'Suspended', message: 'no pod is left' }],
    ];
  }
  const attempt = (status.attempt ?? 0) + 1;
  return [
    { ...next, attempt, worker: { ...emptyRole(workers), selector: status.worker?.selector ?? '' } },
    [{ type: 'Normal', reason: 'Scaled', message: `going on with ${workers} workers` }],
  ];
}
