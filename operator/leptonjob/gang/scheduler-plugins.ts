// The PodGroup of scheduler-plugins' coscheduling. The name of its scheduler is a matter of its installation: it stands in the pod
// template. Pure.
import { anyChange, type GangBackend } from './backend.ts';

export const SCHEDULER_PLUGINS: GangBackend = {
  family: 'schedulerPlugins',
  apiVersion: 'scheduling.x-k8s.io/v1alpha1',
  kinds: [
    {
      resource: {
        apiVersion: 'scheduling.x-k8s.io/v1alpha1',
        kind: 'PodGroup',
        plural: 'podgroups',
        namespaced: true,
      },
      specOf: ({ minimum, minResources }) => ({ minMember: minimum, minResources }),
      changeOf: anyChange,
    },
  ],
  memberOf: (name) => ({ labels: { 'scheduling.x-k8s.io/pod-group': name } }),
  // It says nothing in its status beyond counts: the pods have the scheduler's words.
  wordsOf: () => undefined,
};
