// What is kept of each object that a cluster tells of: ten thousand pods stay in memory, and of most of what is said of them nobody
// reads a word. Pure.
import type { Stored } from '../kube/objects.ts';
import { LABELS } from './names.ts';
import type { ContainerStatus, Pod } from './pod-view.ts';

export interface Node extends Stored {
  readonly spec?: { readonly unschedulable?: boolean };
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime?: string;
    }[];
    readonly allocatable?: Readonly<Record<string, string>>;
  };
}

/** Those that explain a wait or an end, and whether it is ready. */
const CONDITIONS = ['Ready', 'PodScheduled', 'PodReadyToStartContainers', 'DisruptionTarget'];
const POD_LABELS = [LABELS.jobName, LABELS.role, LABELS.rank, LABELS.attempt];

export function keptOfPod({ metadata, spec, status }: Pod): Pod {
  const { phase, reason, message, podIP, conditions = [], containerStatuses = [] } = status ?? {};
  const { initContainerStatuses } = status ?? {};
  const { labels = {} } = metadata;
  return {
    metadata: {
      ...identityOf(metadata),
      labels: Object.fromEntries(
        POD_LABELS.flatMap((key) => (labels[key] === undefined ? [] : [[key, labels[key]]])),
      ),
    },
    ...(spec?.nodeName === undefined ? {} : { spec: { nodeName: spec.nodeName } }),
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
      ...(podIP === undefined ? {} : { podIP }),
      conditions: conditions.filter(({ type }) => CONDITIONS.includes(type)).map(keptOfCondition),
      ...(initContainerStatuses ? { initContainerStatuses: initContainerStatuses.map(keptOfContainer) } : {}),
      containerStatuses: containerStatuses.map(keptOfContainer),
    },
  };
}

function keptOfCondition({
  type,
  status,
  reason,
  message,
}: NonNullable<NonNullable<Pod['status']>['conditions']>[number]) {
  return {
    type,
    status,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

function keptOfContainer({ name, state, restartCount, lastState }: ContainerStatus): ContainerStatus {
  const { waiting, terminated } = state ?? {};
  return {
    name,
    ...(state ? { state: { ...(waiting ? { waiting } : {}), ...(terminated ? { terminated } : {}) } } : {}),
    ...(restartCount ? { restartCount } : {}),
    ...(lastState?.terminated ? { lastState: { terminated: lastState.terminated } } : {}),
  };
}

/** Nodes report images, addresses and sizes every few minutes; only conditions that hold and resources are read here. */
export function keptOfNode({ metadata, spec, status }: Node): Node {
  const { name, uid, resourceVersion } = metadata;
  const conditions = (status?.conditions ?? []).filter(
    ({ type, status: holds }) => type === 'Ready' || holds === 'True',
  );
  return {
    metadata: { name, uid, resourceVersion },
    ...(spec?.unschedulable ? { spec: { unschedulable: true } } : {}),
    status: { conditions, allocatable: extended(status?.allocatable ?? {}) },
  };
}

/** Names with a domain: what device plugins register. */
function extended(allocatable: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(allocatable).filter(([name]) => name.includes('/')));
}

/** That it is there, and whose it is. */
export function keptOfChild({ metadata }: Stored): Stored {
  return { metadata: identityOf(metadata) };
}

function identityOf(metadata: Stored['metadata']): Stored['metadata'] {
  const { name, namespace, uid, resourceVersion, deletionTimestamp, ownerReferences } = metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid,
    resourceVersion,
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    ...(ownerReferences ? { ownerReferences } : {}),
  };
}
