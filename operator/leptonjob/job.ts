// A LeptonJob as the API server keeps it, and what one pass sees of its world. Types alone.
import type { LeptonJobSpec } from '../../crds/leptonjob.ts';
import type { LeptonJobStatus } from '../../crds/status.ts';
import type { PhaseTimes } from '../../protos/phases.ts';
import type { Stored } from '../kube/objects.ts';
import type { GangRef, GangTask, GangView } from './gang/gang.ts';
import type { EventReason, Role, WaitingOn } from './names.ts';

export interface LeptonJobObject extends Stored {
  /** With all defaults: the server fills them in. */
  readonly spec: LeptonJobSpec;
  readonly status?: LeptonJobStatus;
}

/** How a container or its pod ended. */
export type FailureReason =
  | 'Error'
  | 'Signal'
  | 'OutOfMemory'
  | 'Disruption'
  | 'NodeLost'
  | 'Evicted'
  | 'Vanished'
  /** Runs, and its coordinator (of the coordinator: the operator) has not heard it for too long. */
  | 'LostHeartbeat'
  /** Runs, and everybody has waited for it for too long. */
  | 'Stalled'
  /** Runs on a node with a condition that a rule names. */
  | 'NodeUnhealthy';

export interface PodEnd {
  readonly reason: FailureReason;
  readonly exitCode?: number;
  readonly signal?: number;
  /** Code and words of the process itself, where it left any. */
  readonly code?: string;
  readonly message: string;
}

export interface Words {
  readonly phase: 'Succeeded' | 'Failed' | 'Stopped' | 'Left';
  readonly step?: number;
  readonly steps?: number;
  readonly metrics?: Readonly<Record<string, number>>;
}

/** One pod, reduced to what decisions need. */
export interface PodView {
  readonly name: string;
  readonly uid: string;
  readonly role: Role;
  readonly rank: number;
  readonly attempt: number;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  readonly ready: boolean;
  readonly node?: string;
  /** When it had to be gone, grace included. */
  readonly terminatingSinceMs?: number;
  /** Of a failed pod, or one whose container ends again and again. */
  readonly end?: PodEnd;
  /** Of a process that has ended well: the coordinating server, or a worker that the job does without. */
  readonly words?: Words;
  /** What a pending pod waits for. */
  readonly waiting?: { readonly on: WaitingOn; readonly message: string };
}

/** What the coordinator said last. */
export interface Report {
  readonly phase: 'Starting' | 'Running' | 'Evaluating' | 'Succeeded' | 'Failed' | 'Stopped';
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  /** Workers that share a step now; 0 from coordinators that do not say. */
  readonly workerCount?: number;
  readonly samplesPerSecond: number;
  readonly remainingSeconds?: number;
  readonly loss?: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly evaluation: Readonly<Record<string, number>>;
  readonly message?: string;
  readonly errorCode?: string;
  /** The newest, and why none could be written since. */
  readonly checkpoint?: { readonly step: number; readonly uri: string; readonly failing?: string } | null;
  /** Null from coordinators that do not know it. */
  readonly waits?: Waits | null;
  /** For which training has stood still for checkpoints, since this coordinator started. */
  readonly checkpointSeconds?: number;
  /** Of the phases that make up a step, since this coordinator started. */
  readonly phases?: readonly PhaseTimes[];
  readonly heardMs: number;
}

/** Who is waited for, as the coordinator sees it; `attempt` is that of the pod. */
export interface Waits {
  readonly silent: readonly { readonly rank: number; readonly attempt: number; readonly seconds: number }[];
  readonly absent: readonly number[];
  readonly awaited: readonly { readonly rank: number; readonly attempt: number; readonly waiting: boolean }[];
  readonly standingSeconds: number;
}

/** Everything that one pass knows. Time comes in as a number. */
export interface Seen {
  readonly job: LeptonJobObject;
  readonly pods: readonly PodView[];
  /** Names of pods of the present attempt that this process has seen, whether they are there or not. */
  readonly met: ReadonlySet<string>;
  /** Children that there should be and that are not, or not as they should be. */
  readonly missing: readonly ChildKind[];
  readonly report?: Report;
  /** For so long the coordinator, once heard by this process, has said nothing. Absent: not heard, or nobody is. */
  readonly silenceMs?: number;
  /** Conditions that hold, by node; a node that is not ready has `NotReady`. */
  readonly nodes: ReadonlyMap<string, readonly string[]>;
  /** Why no node, even an empty one, could take a worker. */
  readonly lack?: string;
  /** Nodes that the cluster holds to be lost. */
  readonly lostNodes: ReadonlySet<string>;
  readonly gang: GangView;
  /** Why nothing may be created: a template against the operator's policy, a foreign object under a child's name, no gang scheduler. */
  readonly refusal?: {
    readonly on: 'Refused' | 'NameConflict' | 'GangNotServed';
    readonly message: string;
  };
  /** What the server said when the last creation was refused. */
  readonly rejected?: { readonly on: 'Quota' | 'Admission'; readonly message: string };
  /** Nothing can be created there any more, and the job goes with it. */
  readonly namespaceEnds?: boolean;
  readonly nowMs: number;
  readonly limits: Limits;
}

/** `nextConfig`: of the workers that are to come. */
export type ChildKind = 'config' | 'nextConfig' | 'service' | 'certificates' | 'networkPolicy';

export interface Limits {
  /** Time for a checkpoint when a run is stopped. */
  readonly stopMs: number;
  /** A pod that should have been gone for this long on a lost node is removed by force. */
  readonly forceDeleteMs: number;
  /** A process that runs and is not heard for this long is replaced. */
  readonly heartbeatMs: number;
  /** Those that everybody has waited for for this long are replaced. */
  readonly stallMs: number;
  /** Between two writes of progress alone. */
  readonly progressMs: number;
  /** Between two writes of numbers of pods alone. */
  readonly countsMs: number;
}

export type Step =
  | { readonly kind: 'createChild'; readonly child: ChildKind }
  /** One after the other. */
  | { readonly kind: 'arrangeGang'; readonly tasks: readonly GangTask[] }
  | { readonly kind: 'deleteGang'; readonly objects: readonly GangRef[] }
  | { readonly kind: 'createPod'; readonly role: Role; readonly rank: number; readonly attempt: number }
  | { readonly kind: 'deletePod'; readonly name: string; readonly uid: string; readonly force: boolean }
  /** Asks the coordinator for a checkpoint and an end. */
  | { readonly kind: 'stopRun' }
  /** Asks the coordinator to go on with this number; `gone`: without waiting for a boundary with the ranks above. */
  | { readonly kind: 'resizeRun'; readonly workers: number; readonly gone: boolean }
  | { readonly kind: 'deleteJob' };

export interface JobEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly message: string;
}

/** What one pass should do. `record` changes the status alone: the next pass acts on it. */
export type Plan =
  | {
      readonly kind: 'record';
      readonly status: LeptonJobStatus;
      readonly events: readonly JobEvent[];
      readonly restarted?: { readonly role: Role; readonly reason: string };
      /** The pod whose absence is a reason: the server itself must confirm it before this is written. */
      readonly absent?: { readonly role: Role; readonly rank: number };
    }
  | {
      readonly kind: 'act';
      readonly steps: readonly Step[];
      readonly status: LeptonJobStatus;
      readonly wakeInMs?: number;
    };
