// Who stands where in a job: the places of a run and the pods that have them. No decisions.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import { isCoordinator } from '../hosting.ts';
import type { PodView, Seen } from '../job.ts';
import type { Role } from '../names.ts';

export function placesOf(servers: number, workers: number): { role: Role; rank: number }[] {
  const places = (role: Role, count: number) => Array.from({ length: count }, (_, rank) => ({ role, rank }));
  return [...places('server', servers), ...places('worker', workers)];
}

/** How many workers have places: during a change those that are to leave and those that are to come as well. */
export function placedWorkers({ job }: Pick<Seen, 'job'>, { worker, resizing }: LeptonJobStatus): number {
  return Math.max(worker?.replicas ?? job.spec.worker.replicas, resizing?.to ?? 0);
}

/** Pods of the job, without those of workers that it does without. */
export function placedPods(seen: Seen, status: LeptonJobStatus): readonly PodView[] {
  const workers = placedWorkers(seen, status);
  return seen.pods.filter(({ role, rank }) => role === 'server' || rank < workers);
}

export function coordinatorOf({ job, pods }: Pick<Seen, 'job' | 'pods'>): PodView | undefined {
  return pods.find((pod) => isCoordinator(job, pod));
}
