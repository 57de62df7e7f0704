// Kubernetes' own gang scheduling as each minor has it: its objects, where the minimum stands, what a pod says. No tests.
import type { Resource } from '../../operator/kube/objects.ts';
import type { Minor } from '../cluster/minors.ts';

export const resource = (apiVersion: string, kind: string, plural: string): Resource => ({
  apiVersion,
  kind,
  plural,
  namespaced: true,
});

export interface Native {
  /** The last one has the minimum. */
  readonly resources: readonly Resource[];
  readonly minimumAt: (spec: Record<string, unknown>) => number;
  readonly member: (name: string) => Record<string, unknown>;
  /** The minimum of a group may be changed. */
  readonly adjustable: boolean;
  /** A PodGroup has a status in which it says what it waits for. */
  readonly speaks: boolean;
  /** The scheduler wants all pods of a group alike. */
  readonly strict: boolean;
}

export type Policy = { gang: { minCount: number } };

const groups = (version: string): readonly Resource[] => [
  resource(`scheduling.k8s.io/${version}`, 'Workload', 'workloads'),
  resource(`scheduling.k8s.io/${version}`, 'PodGroup', 'podgroups'),
];
const minimumOfGroup = (spec: Record<string, unknown>) => (spec['schedulingPolicy'] as Policy).gang.minCount;
const memberOfGroup = (name: string) => ({ schedulingGroup: { podGroupName: name } });

export const NATIVE: Readonly<Record<Minor, Native>> = {
  '1.35': {
    resources: [resource('scheduling.k8s.io/v1alpha1', 'Workload', 'workloads')],
    minimumAt: (spec) => (spec['podGroups'] as { policy: Policy }[])[0]!.policy.gang.minCount,
    member: (name) => ({ workloadRef: { name, podGroup: 'pods' } }),
    adjustable: false,
    speaks: false,
    strict: false,
  },
  '1.36': {
    resources: groups('v1alpha2'),
    minimumAt: minimumOfGroup,
    member: memberOfGroup,
    adjustable: false,
    speaks: true,
    strict: false,
  },
  '1.37': {
    resources: groups('v1beta1'),
    minimumAt: minimumOfGroup,
    member: memberOfGroup,
    adjustable: true,
    speaks: true,
    strict: true,
  },
};
