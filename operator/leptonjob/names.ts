// Names, labels and reasons of everything that a LeptonJob has on a cluster. Pure; the one place where they are made.
import { PLURAL } from '../../crds/crd.ts';
import { GROUP, KIND, VERSION } from '../../crds/leptonjob.ts';
import type { Resource } from '../kube/objects.ts';

export const LEPTON_JOBS: Resource = {
  apiVersion: `${GROUP}/${VERSION}`,
  kind: KIND,
  plural: PLURAL,
  namespaced: true,
};

export type Role = 'worker' | 'server';

export const LABELS = {
  jobName: `${GROUP}/job-name`,
  jobUid: `${GROUP}/job-uid`,
  role: `${GROUP}/role`,
  rank: `${GROUP}/rank`,
  attempt: `${GROUP}/attempt`,
  /** On pods that a parameter server lives in, alone or beside a worker. */
  server: `${GROUP}/server`,
  /** Of the job's config that a pod was started with. */
  config: `${GROUP}/config`,
} as const;

/** Selects all that jobs have on a cluster, by a name of ours: policies of others set labels like `managed-by` as they like. */
export const CHILDREN = LABELS.jobName;

/** Of events; docs/operate.md says of each what to do. */
export const EVENT_REASONS = [
  'Accepted',
  'SuccessfulCreatePod',
  'SuccessfulDeletePod',
  'FailedCreatePod',
  'NameConflict',
  'StatusConflict',
  'Restarting',
  'Scaling',
  'Scaled',
  'Regrouping',
  'Suspending',
  'Suspended',
  'Resumed',
  'DeadlineExceeded',
  'ScalingAnew',
  'CheckpointFailing',
  'CheckpointWritten',
  'Succeeded',
  'Failed',
] as const;
export type EventReason = (typeof EVENT_REASONS)[number];

/** What a job can wait for: `status.waiting.on`; docs/operate.md says of each what to do. */
export const WAITING_ON = [
  'Refused',
  'NameConflict',
  'GangNotServed',
  'Queue',
  'Quota',
  'Admission',
  'Accelerators',
  'Unschedulable',
  'ImagePull',
  'Volume',
  'ContainerConfig',
  'ContainerCreating',
  'PodsTerminating',
  'BackOff',
  'Rendezvous',
  'Stall',
] as const;
export type WaitingOn = (typeof WAITING_ON)[number];

/** Types of conditions; docs/operate.md says of each what it means. */
export const CONDITIONS = [
  'Accepted',
  'Suspended',
  'Running',
  'CheckpointFailing',
  'Succeeded',
  'Failed',
] as const;
export type ConditionType = (typeof CONDITIONS)[number];

/** Kueue's label of its queue, on jobs that it admits. */
export const KUEUE_QUEUE = 'kueue.x-k8s.io/queue-name';

/** Where results go when the manifest names no folder. */
export const DEFAULT_OUTPUT = '/output';
/** The port that every parameter server listens on. */
export const SERVER_PORT = 2222;
export const CONTAINER = 'lepton';

export const podName = (job: string, role: Role, rank: number): string => `${job}-${role}-${rank}`;
export const serviceName = (job: string): string => job;
/** Configs are immutable: another content has another name. */
export const configName = (job: string, digest: string): string => `${job}-config-${digest}`;
/** Of certificates, after the first. Pods know their names from the beginning: nothing else can be brought into one that runs. */
export const LATER_GENERATIONS = 2;
/** Secrets are immutable: certificates that are made later have names of their own. */
export const certificatesName = (job: string, generation: number): string =>
  generation === 0 ? `${job}-tls` : `${job}-tls-${generation}`;
export const networkPolicyName = (job: string): string => job;

export function selectorOf(jobName: string, role?: Role): Readonly<Record<string, string>> {
  return { [LABELS.jobName]: jobName, ...(role ? { [LABELS.role]: role } : {}) };
}

export function selectorText(selector: Readonly<Record<string, string>>): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}
