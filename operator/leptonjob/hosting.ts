// Where a job's parameter servers live on a cluster: in pods of their own, each in the pod of a worker, or in both. Pure.
import {
  hostOf,
  type ProcessPlace,
  serverCount,
  serverIn,
  serverPlacesOf,
} from '../../crds/server-places.ts';
import type { LeptonJobObject } from './job.ts';
import { podName } from './names.ts';

type Spec = Pick<LeptonJobObject, 'spec'>;

/** The pod runs a server, beside a worker or alone. */
export function hostsServer({ spec }: Spec, place: ProcessPlace): boolean {
  return serverIn(serverPlacesOf(spec), place) !== undefined;
}

/**
 * A killed server is started again in its pod, where the memory of the process before is. Not where the job says what is to happen after
 * such an end: then it is the end of the pod.
 */
export function restartsInPlace({ spec }: Spec): boolean {
  return spec.maxRestarts > 0 && spec.failurePolicy.rules.length === 0;
}

/** Server 0 is the coordinator's. */
export function isCoordinator({ spec }: Spec, place: ProcessPlace): boolean {
  return serverIn(serverPlacesOf(spec), place) === 0;
}

/** Names of the pods that servers live in, by index; the coordinator's is the first. */
export function hostNames({ metadata, spec }: LeptonJobObject): string[] {
  const places = serverPlacesOf(spec);
  return Array.from({ length: serverCount(places) }, (_, server) => {
    const { role, rank } = hostOf(places, server);
    return podName(metadata.name, role, rank);
  });
}
