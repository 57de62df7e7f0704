// Where a job's parameter servers live on a cluster: in pods of their own, or each in the pod of a worker. Pure.
import { serverPlacesOf } from '../../crds/running.ts';
import type { LeptonJobObject } from './job.ts';
import { podName, type Role } from './names.ts';

type Spec = Pick<LeptonJobObject, 'spec'>;

interface Standing {
  readonly role: Role;
  readonly rank: number;
}

/** Whose pods servers live in. */
export function hostRole({ spec }: Spec): Role {
  return serverPlacesOf(spec).inWorkers ? 'worker' : 'server';
}

/** The pod runs a server, beside a worker or alone. */
export function hostsServer(job: Spec, { role, rank }: Standing): boolean {
  return role === hostRole(job) && rank < serverPlacesOf(job.spec).servers;
}

/**
 * A killed server is started again in its pod, where the memory of the process before is. Not where the job says what is to happen after
 * such an end: then it is the end of the pod.
 */
export function restartsInPlace({ spec }: Spec): boolean {
  return spec.maxRestarts > 0 && spec.failurePolicy.rules.length === 0;
}

/** Server 0 is the coordinator's. */
export function isCoordinator(job: Spec, { role, rank }: Standing): boolean {
  return rank === 0 && role === hostRole(job);
}

/** Names of the pods that servers live in, by index. */
export function hostNames(job: LeptonJobObject): string[] {
  const { servers } = serverPlacesOf(job.spec);
  return Array.from({ length: servers }, (_, rank) => podName(job.metadata.name, hostRole(job), rank));
}
