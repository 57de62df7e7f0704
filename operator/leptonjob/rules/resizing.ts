// Another number of workers for a run that goes on: recorded first, then asked of the coordinator until it says that it trains with
// them. Decides only; the rules stand among those of plan.ts.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { Limits, Plan, PodView, Seen, Step } from '../job.ts';
import { record } from './decision.ts';
import { coordinatorOf, placedPods, placedWorkers } from './places.ts';
import { stoppingFor } from './suspending.ts';

/** Another number is asked for: also while a change is under way, which then has another end. */
export function resize({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  const [present, asked] = [status.worker?.replicas, job.spec.worker.replicas];
  if (present === undefined || status.stopping || status.phase === 'Suspended') return undefined;
  if (asked === (status.resizing?.to ?? present)) return undefined;
  const resizing = { from: present, to: asked, since: new Date(nowMs).toISOString() };
  return record({ ...status, resizing }, [
    { type: 'Normal', reason: 'Scaling', message: `from ${present} to ${asked} workers` },
  ]);
}

/** The change is made, has nothing to wait for, or cannot be made by a coordinator that does not answer. */
export function resized(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { resizing, worker, stopping } = status;
  if (!resizing || !worker || stopping) return undefined;
  const { to } = resizing;
  if (worker.replicas === to) return finish(seen, status);
  const next = { ...status, worker: { ...worker, replicas: to } };
  const message = `going on with ${to} workers`;
  if (isMade(seen, resizing)) return record(next, [{ type: 'Normal', reason: 'Scaled', message }]);
  if (hasNotBegun(seen, status))
    return record({ ...next, assembled: false }, [{ type: 'Normal', reason: 'Scaled', message }]);
  if (silentMs(seen, resizing) <= seen.limits.stopMs) return undefined;
  return startAnew(seen, status);
}

/** Whoever leaves has ended: the change is over. */
function finish(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  if (placedPods(seen, status).length < seen.pods.length) return undefined;
  const { resizing: _, ...rest } = status;
  return record(rest, []);
}

type Resizing = NonNullable<LeptonJobStatus['resizing']>;

/** The coordinator says so, or a worker that has left does: then one that knows of no change is another process. */
function isMade({ pods, report }: Seen, { from, to }: Resizing): boolean {
  const left = pods.some(
    ({ role, rank, words }) => role === 'worker' && rank >= to && words?.phase === 'Left',
  );
  return report?.workerCount === to || (to < from && left);
}

/** There is no coordinator that could be asked, and nothing that could be lost. */
function hasNotBegun(seen: Seen, { progress }: LeptonJobStatus): boolean {
  const coordinator = coordinatorOf(seen);
  return (progress?.step ?? 0) === 0 && (!coordinator || coordinator.phase === 'Pending');
}

function silentMs({ report, nowMs }: Seen, { since }: Resizing): number {
  return nowMs - Math.max(Date.parse(since), report?.heardMs ?? 0);
}

/** The run stops, with a checkpoint if anybody still listens, and goes on in the new number. */
function startAnew({ nowMs }: Seen, { resizing, ...status }: LeptonJobStatus): Plan {
  const message = `the coordinator does not answer: the run begins anew with ${resizing?.to} workers`;
  return record(stoppingFor(status, 'Scale', nowMs), [{ type: 'Warning', reason: 'ScalingAnew', message }]);
}

/** What a change asks for at every pass; so does a coordinator that was started with another number than the present one. */
export function steer(seen: Seen, status: LeptonJobStatus): Step[] {
  return [...ask(seen, status), ...sweep(seen, status)];
}

function ask(seen: Seen, { worker, resizing }: LeptonJobStatus): Step[] {
  const { pods, report, nowMs, limits } = seen;
  const coordinator = coordinatorOf(seen);
  const present = worker?.replicas;
  const trains = report?.workerCount;
  if (coordinator?.phase !== 'Running' || present === undefined) return [];
  const workers = resizing?.to ?? present;
  if (!resizing && (!trains || trains === workers)) return [];
  // Ranks above that are no part of the run by now, or are long overdue without running, are not drained.
  const missing = pods.filter((pod) => isAbove(pod, workers) && pod.phase === 'Running').length;
  const overdue = resizing !== undefined && isOverdue(resizing, nowMs, limits);
  const gone = present === workers || (overdue && missing < present - workers);
  return [{ kind: 'resizeRun', workers, gone }];
}

/** Pods that have left, and those that never will because they have not begun. */
function sweep({ pods, nowMs, limits, job }: Seen, status: LeptonJobStatus): Step[] {
  const workers = placedWorkers({ job }, status);
  const overdue = !status.resizing || isOverdue(status.resizing, nowMs, limits);
  return pods
    .filter((pod) => isAbove(pod, workers) && pod.terminatingSinceMs === undefined)
    .filter(({ phase }) => phase !== 'Running' || overdue)
    .map(({ name, uid }) => ({ kind: 'deletePod', name, uid, force: false }));
}

function isAbove({ role, rank }: PodView, workers: number): boolean {
  return role === 'worker' && rank >= workers;
}

function isOverdue({ since }: Resizing, nowMs: number, { stopMs }: Limits): boolean {
  return nowMs - Date.parse(since) > stopMs;
}
