// What is created, and in which order: once no rule has anything against it.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import { backOffMs } from '../failure.ts';
import { gather, hold } from '../gang/rules.ts';
import type { Plan, Seen, Step } from '../job.ts';
import { podName } from '../names.ts';
import { act } from './decision.ts';
import { activeMs, timeOf } from './lifetime.ts';
import { placedWorkers, placesOf } from './places.ts';
import { steer } from './resizing.ts';

/** What is missing: children, the gang, and every pod whose place is not taken. */
export function assemble(seen: Seen, status: LeptonJobStatus): Plan {
  const { job, pods, missing, nowMs } = seen;
  const children = missing.map((child): Step => ({ kind: 'createChild', child }));
  const gathering = gather(seen, status);
  if (gathering) return withChildren(gathering, children);
  const waitMs = backOffLeftMs(status, nowMs);
  if (waitMs > 0) return act(status, children, waitMs);
  const taken = new Set(pods.map(({ name }) => name));
  const places = placesOf(job.spec.parameterServer.replicas, placedWorkers(seen, status));
  const newcomers = places
    .filter(({ role, rank }) => !taken.has(podName(job.metadata.name, role, rank)))
    .map(({ role, rank }): Step => ({ kind: 'createPod', role, rank, attempt: status.attempt ?? 0 }));
  const changing = [...children, ...steer(seen, status)];
  const wakeInMs = changing.length > 0 || status.resizing ? 1000 : undefined;
  if (newcomers.length > 0)
    return withChildren(hold(seen, status) ?? act(status, newcomers, wakeInMs), changing);
  if (wakeInMs !== undefined) return act(status, changing, wakeInMs);
  return act({ ...status, assembled: true }, [], deadlineInMs(job.spec.activeDeadlineSeconds, status, nowMs));
}

/** More than any back-off takes is left only where the clock was set back since. */
function backOffLeftMs({ backOffUntil, restarts = 0 }: LeptonJobStatus, nowMs: number): number {
  const leftMs = timeOf(backOffUntil, nowMs) - nowMs;
  return leftMs > backOffMs(restarts) ? 0 : leftMs;
}

function withChildren(plan: Plan, children: readonly Step[]): Plan {
  return plan.kind === 'act' ? { ...plan, steps: [...children, ...plan.steps] } : plan;
}

function deadlineInMs(
  seconds: number | undefined,
  status: LeptonJobStatus,
  nowMs: number,
): number | undefined {
  return seconds === undefined ? undefined : Math.max(1, seconds * 1000 - activeMs(status, nowMs));
}
