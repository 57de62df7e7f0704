// How pods are made to go: asked once, by force when overdue, with a pass at that time. Which pods go is decided in the files of
// the rules.
import type { Plan, PodView, Seen, Step } from '../job.ts';

/** Each pod once; by force where it should long be gone. */
export function deletions(pods: readonly PodView[], seen: Seen): Step[] {
  return pods.flatMap((pod): Step[] => {
    if (pod.terminatingSinceMs === undefined) return [deletion(pod, false)];
    return forceInMs(pod, pod.terminatingSinceMs, seen) < 0 ? [deletion(pod, true)] : [];
  });
}

function deletion({ name, uid }: PodView, force: boolean): Step {
  return { kind: 'deletePod', name, uid, force };
}

/** A kubelet that lives may still be ending the process: force would leave it running without an object. */
const LIVE_NODE_FACTOR = 5;

/** Time until a pod may be removed by force; below zero from then on. */
function forceInMs({ node }: PodView, sinceMs: number, { nowMs, limits, nodes, lostNodes }: Seen): number {
  const alive = node !== undefined && nodes.has(node) && !lostNodes.has(node);
  return sinceMs + limits.forceDeleteMs * (alive ? LIVE_NODE_FACTOR : 1) - nowMs;
}

/** Nobody else says when a pod that does not end is overdue. */
export function wakeForForce(seen: Seen, plan: Plan): Plan {
  if (plan.kind !== 'act') return plan;
  const due = seen.pods.flatMap((pod) =>
    pod.terminatingSinceMs === undefined ? [] : [forceInMs(pod, pod.terminatingSinceMs, seen)],
  );
  if (due.length === 0) return plan;
  const inMs = Math.max(1000, Math.min(...due) + 1);
  return { ...plan, wakeInMs: Math.min(inMs, plan.wakeInMs ?? inMs) };
}

/** When the first of the pods that are to go will be overdue: on a node that has died nothing else would say so. */
export function overdueInMs({ pods, nowMs, limits }: Seen): number | undefined {
  const leftMs = pods.flatMap(({ terminatingSinceMs: sinceMs }) =>
    sinceMs === undefined ? [] : [sinceMs + limits.forceDeleteMs - nowMs + 1],
  );
  const ahead = leftMs.filter((ms) => ms > 0);
  return ahead.length === 0 ? undefined : Math.min(...ahead);
}
