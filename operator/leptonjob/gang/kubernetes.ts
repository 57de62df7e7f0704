// Kubernetes' own gang scheduling, one adapter per version of scheduling.k8s.io: the fields have other names in each. Pure.
import type { Resource } from '../../kube/objects.ts';
import {
  agrees,
  conditionsOf,
  type Gang,
  type GangBackend,
  type GangObject,
  type Json,
  noChange,
} from './backend.ts';

const GROUP = 'scheduling.k8s.io';
/** The one group of pods in a Workload. */
const TEMPLATE = 'pods';

const resource = (version: string, kind: 'Workload' | 'PodGroup'): Resource => ({
  apiVersion: `${GROUP}/${version}`,
  kind,
  plural: `${kind.toLowerCase()}s`,
  namespaced: true,
});

const controllerRef = ({ apiGroup, kind, name }: Gang): Json => ({ apiGroup, kind, name });
const policy = ({ minimum }: Gang): Json => ({ gang: { minCount: minimum } });
const priority = ({ priorityClassName }: Gang): Json =>
  priorityClassName === undefined ? {} : { priorityClassName };
const template = (gang: Gang): Json => ({
  name: TEMPLATE,
  schedulingPolicy: policy(gang),
  ...priority(gang),
});

/** 1.35: a Workload alone, which the pods name. Its groups cannot be changed. Nobody writes a status. */
const V1ALPHA1: GangBackend = {
  family: 'kubernetes',
  apiVersion: `${GROUP}/v1alpha1`,
  kinds: [
    {
      resource: resource('v1alpha1', 'Workload'),
      specOf: (gang) => ({
        controllerRef: controllerRef(gang),
        podGroups: [{ name: TEMPLATE, policy: policy(gang) }],
      }),
      changeOf: noChange,
    },
  ],
  memberOf: (name) => ({ spec: { workloadRef: { name, podGroup: TEMPLATE } } }),
  wordsOf: () => undefined,
};

const memberOfGroup: GangBackend['memberOf'] = (name) => ({
  spec: { schedulingGroup: { podGroupName: name } },
});

/** 1.36: Workload and PodGroup, both fixed once they are made. */
const V1ALPHA2: GangBackend = {
  family: 'kubernetes',
  apiVersion: `${GROUP}/v1alpha2`,
  kinds: [
    {
      resource: resource('v1alpha2', 'Workload'),
      specOf: (gang) => ({ controllerRef: controllerRef(gang), podGroupTemplates: [template(gang)] }),
      changeOf: noChange,
    },
    {
      resource: resource('v1alpha2', 'PodGroup'),
      specOf: (gang) => ({
        podGroupTemplateRef: { workload: { workloadName: gang.name, podGroupTemplateName: TEMPLATE } },
        schedulingPolicy: policy(gang),
        ...priority(gang),
      }),
      changeOf: noChange,
    },
  ],
  memberOf: memberOfGroup,
  wordsOf: (group) => wordsOf(group, 'PodGroupScheduled'),
};

/** From 1.37 on the minimum may be changed, and nothing else. */
const since137 = (version: 'v1alpha3' | 'v1beta1'): GangBackend => ({
  family: 'kubernetes',
  apiVersion: `${GROUP}/${version}`,
  kinds: [
    {
      resource: resource(version, 'Workload'),
      specOf: (gang) => ({ controllerRef: controllerRef(gang), podGroupTemplates: [template(gang)] }),
      changeOf: (spec, wanted) => {
        const [found, next] = [spec, wanted].map(
          (of) => (of['podGroupTemplates'] as Json[] | undefined)?.[0],
        );
        if (!found || !next) return undefined;
        // What the server filled in stays: a list is replaced as a whole.
        const podGroupTemplates = [{ ...found, schedulingPolicy: next['schedulingPolicy'] }];
        return agrees({ ...spec, podGroupTemplates }, wanted) ? { podGroupTemplates } : undefined;
      },
    },
    {
      resource: resource(version, 'PodGroup'),
      specOf: (gang) => ({
        workloadRef: { workloadName: gang.name, templateName: TEMPLATE },
        schedulingPolicy: policy(gang),
        ...priority(gang),
      }),
      changeOf: (spec, wanted) => {
        const { schedulingPolicy } = wanted;
        return agrees({ ...spec, schedulingPolicy }, wanted) ? { schedulingPolicy } : undefined;
      },
    },
  ],
  memberOf: memberOfGroup,
  // Once true it stays so: later waits are told by the pods.
  wordsOf: (group) => wordsOf(group, 'PodGroupInitiallyScheduled'),
});

function wordsOf(group: GangObject, type: string): string | undefined {
  const scheduled = conditionsOf(group).find((condition) => condition.type === type);
  return scheduled?.status === 'False' ? scheduled.message || scheduled.reason : undefined;
}

/** The newest first. */
export const KUBERNETES: readonly GangBackend[] = [
  since137('v1beta1'),
  since137('v1alpha3'),
  V1ALPHA2,
  V1ALPHA1,
];
