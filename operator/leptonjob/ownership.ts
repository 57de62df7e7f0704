// To whom an object belongs: the labels and the owner of everything that a job has on a cluster. Pure.
import type { KubeObject, OwnerReference } from '../kube/objects.ts';
import { hostsServer } from './hosting.ts';
import type { LeptonJobObject } from './job.ts';
import { LABELS, LEPTON_JOBS, type Role } from './names.ts';

export interface Place {
  readonly role: Role;
  readonly rank: number;
  readonly attempt: number;
}

export function childMetadata(job: LeptonJobObject, name: string): KubeObject['metadata'] {
  return {
    name,
    namespace: job.metadata.namespace ?? 'default',
    labels: labelsOf(job),
    ownerReferences: [ownerOf(job)],
  };
}

export function ownerOf({ metadata }: LeptonJobObject): OwnerReference {
  const { apiVersion, kind } = LEPTON_JOBS;
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Labels of every object of a job. */
export function labelsOf({ metadata }: LeptonJobObject): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'lepton',
    'app.kubernetes.io/instance': metadata.name,
    'app.kubernetes.io/managed-by': 'lepton-operator',
    [LABELS.jobName]: metadata.name,
    [LABELS.jobUid]: metadata.uid,
  };
}

/** Labels of ours on a pod. */
export function podLabelsOf(job: LeptonJobObject, { role, rank, attempt }: Place): Record<string, string> {
  return {
    ...labelsOf(job),
    'app.kubernetes.io/component': role === 'worker' ? 'worker' : 'parameter-server',
    [LABELS.role]: role,
    [LABELS.rank]: String(rank),
    [LABELS.attempt]: String(attempt),
    ...(hostsServer(job, { role, rank }) ? { [LABELS.server]: 'true' } : {}),
  };
}
