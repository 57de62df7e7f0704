// From a pod as the API server has it to what decisions need of it. Pure; knows the fields of PodStatus.
import { lastWordsSchema } from '../../protos/role-config.ts';
import type { Stored } from '../kube/objects.ts';
import type { FailureReason, PodEnd, PodView, Words } from './job.ts';
import { CONTAINER, LABELS, type Role, type WaitingOn } from './names.ts';

export interface Pod extends Stored {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly podIP?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly terminated?: Terminated;
  };
  /** Of the container before, in this pod. */
  readonly lastState?: { readonly terminated?: Terminated };
}

interface Terminated {
  readonly exitCode: number;
  readonly signal?: number;
  readonly reason?: string;
  readonly message?: string;
}

/** As the launcher of `lepton run` counts them (worker/launch/restarts.ts). */
const MOST_RESTARTS_IN_PLACE = 3;

/** Undefined for pods that no place of a job can be read from. */
export function viewPod(pod: Pod): PodView | undefined {
  const { name, uid, labels = {}, deletionTimestamp } = pod.metadata;
  const role = labels[LABELS.role];
  const rank = Number(labels[LABELS.rank]);
  if ((role !== 'worker' && role !== 'server') || !Number.isInteger(rank)) return undefined;
  const phase = phaseOf(pod);
  const words = wordsOf(pod);
  const waiting = phase === 'Pending' ? waitingOf(pod) : undefined;
  const node = pod.spec?.nodeName;
  return {
    name,
    uid,
    role: role as Role,
    rank,
    attempt: Number(labels[LABELS.attempt] ?? 0),
    phase,
    ready: isReady(pod),
    ...(node === undefined ? {} : { node }),
    ...(deletionTimestamp === undefined ? {} : { terminatingSinceMs: Date.parse(deletionTimestamp) }),
    ...(phase === 'Failed' || wearsOut(pod) ? { end: endOf(pod) } : {}),
    ...(words ? { words } : {}),
    ...(waiting ? { waiting } : {}),
  };
}

/** Its container was started again in place so often that another start is held to be useless. */
function wearsOut(pod: Pod): boolean {
  return (containerOf(pod)?.restartCount ?? 0) > MOST_RESTARTS_IN_PLACE;
}

export function isReady(pod: Pod): boolean {
  return conditionOf(pod, 'Ready')?.status === 'True';
}

function phaseOf({ status }: Pod): PodView['phase'] {
  const phase = status?.phase;
  return phase === 'Running' || phase === 'Succeeded' || phase === 'Failed' ? phase : 'Pending';
}

function conditionOf({ status }: Pod, type: string) {
  return status?.conditions?.find((condition) => condition.type === type);
}

function containerOf({ status }: Pod): ContainerStatus | undefined {
  return status?.containerStatuses?.find(({ name }) => name === CONTAINER) ?? status?.containerStatuses?.[0];
}

/** Left by the process in its termination message. */
function lastWords(pod: Pod) {
  const message = containerOf(pod)?.state?.terminated?.message;
  if (message === undefined) return undefined;
  try {
    const parsed = lastWordsSchema.safeParse(JSON.parse(message));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

function wordsOf(pod: Pod): Words | undefined {
  const words = lastWords(pod);
  if (!words || words.phase === 'Failed') return undefined;
  const { phase, step, steps, metrics } = words;
  return {
    phase,
    ...(step === undefined ? {} : { step }),
    ...(steps === undefined ? {} : { steps }),
    ...(metrics === undefined ? {} : { metrics }),
  };
}

/** The most telling reason: who took the pod away before what its process said. */
function endOf(pod: Pod): PodEnd {
  const container = containerOf(pod);
  const ended = container?.state?.terminated ?? container?.lastState?.terminated;
  const words = lastWords(pod);
  const disrupted = conditionOf(pod, 'DisruptionTarget');
  const reason = reasonOf(pod, ended, disrupted?.status === 'True');
  const message =
    (reason === 'Disruption' && (disrupted?.message ?? disrupted?.reason)) ||
    words?.message ||
    pod.status?.message ||
    (ended ? `exit code ${ended.exitCode}${ended.reason ? ` (${ended.reason})` : ''}` : 'failed');
  return {
    reason,
    message: message.slice(0, 2048),
    ...(ended ? { exitCode: ended.exitCode, ...signalOf(ended) } : {}),
    ...(words?.code === undefined ? {} : { code: words.code }),
  };
}

/** Runtimes tell it as an exit code above 128; few fill the field. */
function signalOf({ exitCode, signal }: { readonly exitCode: number; readonly signal?: number }) {
  if (signal !== undefined && signal > 0) return { signal };
  return exitCode > 128 && exitCode <= 128 + 64 ? { signal: exitCode - 128 } : {};
}

function reasonOf(
  { status }: Pod,
  ended: { readonly exitCode: number; readonly reason?: string } | undefined,
  disrupted: boolean,
): FailureReason {
  if (status?.reason === 'Evicted') return 'Evicted';
  if (status?.reason === 'NodeLost' || status?.reason === 'NodeShutdown' || status?.reason === 'Terminated')
    return 'NodeLost';
  if (disrupted) return 'Disruption';
  if (ended?.reason === 'OOMKilled') return 'OutOfMemory';
  return ended && signalOf(ended).signal !== undefined ? 'Signal' : 'Error';
}

/** Reasons of kubelets (pkg/kubelet/images, pkg/kubelet/container/sync_result.go). */
const KUBELET: Readonly<Record<string, WaitingOn>> = {
  ErrImagePull: 'ImagePull',
  ImagePullBackOff: 'ImagePull',
  InvalidImageName: 'ImagePull',
  ErrImageNeverPull: 'ImagePull',
  ImageInspectError: 'ImagePull',
  RegistryUnavailable: 'ImagePull',
  SignatureValidationFailed: 'ImagePull',
  CreateContainerConfigError: 'ContainerConfig',
  CreateContainerError: 'ContainerConfig',
  PreCreateHookError: 'ContainerConfig',
  RunContainerError: 'ContainerConfig',
};

function waitingOf(pod: Pod): PodView['waiting'] {
  const scheduled = conditionOf(pod, 'PodScheduled');
  if (scheduled?.status === 'False') return unscheduled(scheduled);
  const { nodeName } = pod.spec ?? {};
  if (nodeName === undefined) return undefined;
  // Containers that initialize come first: the others wait for them, and say only that.
  const containers = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  for (const { name, state } of containers) {
    const on = KUBELET[state?.waiting?.reason ?? ''];
    const whose = name === CONTAINER ? '' : `container ${name}: `;
    if (on) return { on, message: `${whose}${state?.waiting?.message ?? state?.waiting?.reason}` };
  }
  return { on: 'ContainerCreating', message: creating(pod, nodeName) };
}

/** What the scheduler says of volumes names them; other reasons beside them go first, because they last. */
const VOLUMES = /persistentvolumeclaim|persistent ?volume|volume node affinity|volume zone|max volume count/i;
const OTHERS = /insufficient|untolerated|didn't match pod's node|too many pods/i;

function unscheduled({ reason, message }: { readonly reason?: string; readonly message?: string }) {
  const words = message ?? reason ?? '';
  if (reason === 'SchedulingGated') return { on: 'Queue', message: words } as const;
  const volume = VOLUMES.test(words) && !OTHERS.test(words);
  return { on: volume ? 'Volume' : 'Unschedulable', message: words } as const;
}

/** Volumes that cannot be mounted are told in events alone. */
function creating(pod: Pod, node: string): string {
  if (conditionOf(pod, 'PodReadyToStartContainers')?.status === 'False')
    return `volumes and network are being prepared on node ${node}; the pod’s events say what is in the way`;
  const initializing = pod.status?.initContainerStatuses?.find(({ state }) => state && !state.terminated);
  const said = initializing ? undefined : containerOf(pod)?.state?.waiting?.message;
  return (
    said ??
    `${initializing ? `container ${initializing.name} initializes` : 'containers start'} on node ${node}`
  );
}
