// What a pass does about the gang of a job: chosen while there are no pods, made before them, gone when none may come. Decides
// only; the rules stand among those of plan.ts.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { Plan, PodView, Seen, Step } from '../job.ts';
import { act, record } from '../rules/decision.ts';
import { stoppingFor } from '../rules/suspending.ts';
import type { GangRef } from './gang.ts';

/** A job without pods keeps no places from others: of a suspended or finished one, and of what cannot be changed, nothing stays. */
export function ungroup({ pods, gang, job }: Seen, status: LeptonJobStatus): Plan | undefined {
  const over = status.phase === 'Succeeded' || status.phase === 'Failed';
  if (pods.some((pod) => !over || isActive(pod))) return undefined;
  const idle = over || (status.phase === 'Suspended' && job.spec.suspend);
  const doomed = idle ? gang.present : gang.outdated;
  return doomed.length > 0 ? act(status, deletions(doomed)) : undefined;
}

/** One back-end for all pods of a run: it is recorded before the first of them exists. */
export function choose({ pods, gang }: Seen, status: LeptonJobStatus): Plan | undefined {
  const { choice } = gang;
  if (pods.length > 0 || choice === undefined || choice === (status.gang ?? 'none')) return undefined;
  const { gang: _, ...rest } = status;
  return record(choice === 'none' ? rest : { ...rest, gang: choice }, []);
}

/**
 * A group whose minimum the server lets nobody change, though the run has another size by now. One that wants more would keep a
 * replaced pod from ever starting; one that wants fewer would start a part of a run that nobody has begun. The run stops, with a
 * checkpoint if there is something to keep, and goes on in a new group.
 */
export function regroup(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { pods, gang, job, nowMs } = seen;
  const places = job.spec.parameterServer.replicas + (status.worker?.replicas ?? job.spec.worker.replicas);
  if (gang.outdated.length === 0 || gang.minimum === undefined || status.stopping) return undefined;
  const tooLarge = gang.minimum > places && pods.some(hasNoNode);
  const tooSmall = gang.minimum < places && pods.length > 0 && pods.every(hasNoNode);
  if (!tooLarge && !tooSmall) return undefined;
  const message = `the group is one of ${gang.minimum} pods and cannot be changed: the run of ${places} begins anew`;
  return record(stoppingFor(status, 'Scale', nowMs), [{ type: 'Normal', reason: 'Regrouping', message }]);
}

/** The objects come before the pods, and follow their number. */
export function gather({ gang: { tasks } }: Seen, status: LeptonJobStatus): Plan | undefined {
  return tasks.length === 0 ? undefined : act(status, [{ kind: 'arrangeGang', tasks }], 1000);
}

/** Why no pod is created now: no scheduler would start it, it says so itself, or objects of the same names are still going. */
export function hold({ gang, pods, refusal }: Seen, status: LeptonJobStatus): Plan | undefined {
  // A run that has been let in stays in, whatever the phase of its group is while a pod is replaced.
  const held =
    refusal?.on === 'GangNotServed' || (pods.length === 0 && (gang.leaving || gang.held !== undefined));
  return held ? act(status, []) : undefined;
}

export function hasNoNode({ phase, node }: PodView): boolean {
  return phase === 'Pending' && node === undefined;
}

function isActive({ phase }: PodView): boolean {
  return phase === 'Pending' || phase === 'Running';
}

function deletions(doomed: readonly GangRef[]): Step[] {
  return [{ kind: 'deleteGang', objects: doomed }];
}
