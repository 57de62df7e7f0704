// The pods of a job that have failed, each with how it ended. Judges none of them.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { Failure } from '../failure.ts';
import type { PodEnd, PodView, Seen } from '../job.ts';
import { podName } from '../names.ts';
import { troubledPods } from '../trouble.ts';
import { placedPods, placesOf } from './places.ts';

/** A pod failed, sits on a lost node, runs and is no good all the same, or was there and is not any more. */
export function failedPods(seen: Seen, status: LeptonJobStatus): Failure[] {
  const pods = placedPods(seen, status);
  const handled = new Set(status.replacing);
  const isHandled = ({ name, uid }: PodView): boolean => handled.has(`${name}/${uid}`);
  const found = pods.flatMap((pod): Failure[] => {
    const end = isHandled(pod) ? undefined : endOf(pod, seen);
    return end ? [{ pod, end }] : [];
  });
  const told = new Set(found.map(({ pod }) => pod.uid));
  for (const failure of troubledPods({ ...seen, pods })) {
    if (isHandled(failure.pod) || told.has(failure.pod.uid)) continue;
    told.add(failure.pod.uid);
    found.push(failure);
  }
  return [...found, ...vanished(seen, status, pods)];
}

/** What the pod itself says of its end. */
function endOf(pod: PodView, { lostNodes }: Seen): PodEnd | undefined {
  const { phase, words, node, terminatingSinceMs } = pod;
  if (phase === 'Failed') return pod.end ?? { reason: 'Error', message: 'failed' };
  if (phase === 'Running' && pod.end) return pod.end;
  if (words?.phase === 'Left') return { reason: 'Disruption', message: 'it has left, and is needed again' };
  if (words?.phase === 'Stopped')
    return { reason: 'Disruption', message: 'the run was stopped by somebody else' };
  if (terminatingSinceMs !== undefined && phase !== 'Succeeded')
    return { reason: 'Disruption', message: 'the pod is being deleted' };
  if (node !== undefined && lostNodes.has(node) && phase === 'Running')
    return { reason: 'NodeLost', message: `node ${node} is lost` };
  return undefined;
}

/** Places without a pod that had one: of a run that was complete, or by what this process has seen; not known to be replaced. */
function vanished(
  { job, met }: Seen,
  { assembled, replacing, worker }: LeptonJobStatus,
  pods: readonly PodView[],
): Failure[] {
  const taken = new Set(pods.map(({ name }) => name));
  const replaced = new Set((replacing ?? []).map((entry) => entry.split('/')[0]));
  return placesOf(job.spec.parameterServer.replicas, worker?.replicas ?? 0)
    .map(({ role, rank }) => ({ name: podName(job.metadata.name, role, rank), role, rank }))
    .filter(({ name }) => (assembled || met.has(name)) && !taken.has(name) && !replaced.has(name))
    .map((place) => ({
      pod: { ...place, uid: '', attempt: 0, phase: 'Failed', ready: false },
      end: { reason: 'Vanished', message: 'the pod was deleted' },
    }));
}
