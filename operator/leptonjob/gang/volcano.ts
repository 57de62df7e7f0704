// Volcano's PodGroup. Its queue is `spec.scheduling.queue`. Pure.
import { anyChange, conditionsOf, type GangBackend, type GangObject } from './backend.ts';

export const VOLCANO: GangBackend = {
  family: 'volcano',
  apiVersion: 'scheduling.volcano.sh/v1beta1',
  kinds: [
    {
      resource: {
        apiVersion: 'scheduling.volcano.sh/v1beta1',
        kind: 'PodGroup',
        plural: 'podgroups',
        namespaced: true,
      },
      specOf: ({ minimum, minResources, queue, priorityClassName }) => ({
        minMember: minimum,
        minResources,
        ...(queue === undefined ? {} : { queue }),
        ...(priorityClassName === undefined ? {} : { priorityClassName }),
      }),
      changeOf: anyChange,
    },
  ],
  memberOf: (name) => ({
    annotations: { 'scheduling.k8s.io/group-name': name },
    defaults: { schedulerName: 'volcano' },
  }),
  wordsOf: unschedulable,
  // Volcano's own jobs create no pod before their group is in the queue, and its webhook may refuse one.
  heldOf: (group) => {
    const phase = group.status?.['phase'];
    if (phase !== undefined && phase !== '' && phase !== 'Pending') return undefined;
    return unschedulable(group) ?? 'Volcano has not let the group into its queue';
  },
};

/** Conditions are appended: the last one of the two kinds is what holds. */
function unschedulable(group: GangObject): string | undefined {
  const last = conditionsOf(group).findLast(({ type }) => type === 'Unschedulable' || type === 'Scheduled');
  return last?.type === 'Unschedulable' && last.status === 'True' ? last.message || last.reason : undefined;
}
