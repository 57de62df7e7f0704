// TypeScript shapes of protos/lepton/{coordination,exchange}/v1, as proto-loader gives them with the options of services.ts.
import type { CodecName } from '../../native/engine.ts';
import type { PhaseTimes } from '../../protos/phases.ts';
import type { Directive } from '../protocol/gather.ts';
import type { Totals } from '../protocol/ledger.ts';
import type { Holding } from '../protocol/recall.ts';

export interface ProtocolRange {
  readonly oldest: number;
  readonly newest: number;
}

export interface JoinRequest {
  readonly protocol: ProtocolRange;
  readonly rank: number;
  readonly attempt: number;
  readonly plan: string;
}
export interface JoinResponse {
  /** The transport fills it in and checks it. */
  readonly protocol?: number;
  readonly epoch: number;
  readonly initialize: boolean;
  readonly chunkLength: number;
  readonly workers: number;
  readonly leave: boolean;
}

export interface HeartbeatRequest {
  readonly rank: number;
  readonly epoch: number;
  readonly step: number;
  readonly samplesPerSecond: number;
  readonly waitRatio: number;
  readonly state: string;
  readonly waiting?: boolean;
  readonly phases?: readonly PhaseTimes[];
}
export interface HeartbeatResponse {
  readonly rejoin: boolean;
}

export interface EvaluationReport {
  readonly rank: number;
  readonly epoch: number;
  readonly step: number;
  readonly totals: Totals;
}

export interface EnlistRequest {
  readonly protocol: ProtocolRange;
  readonly server: number;
  readonly attempt: number;
  readonly recalls?: boolean;
}

export interface LoadCommand {
  readonly epoch: number;
  readonly plan: string;
  readonly checkpoint: string;
  readonly workers: number;
  readonly recalled: boolean;
  readonly step: number;
}
export interface RecallCommand {
  readonly epoch: number;
  readonly plan: string;
  readonly workers: number;
}
export interface CopyCommand {
  readonly epoch: number;
  readonly step: number;
  readonly folder: string;
}
export interface NormCommand {
  readonly epoch: number;
  readonly step: number;
  readonly factor: number;
}
export interface QuorumCommand {
  readonly epoch: number;
  readonly step: number;
  readonly ranks: readonly number[];
}
/** Exactly one is set. */
export interface ServerCommand {
  readonly load?: LoadCommand;
  readonly copy?: CopyCommand;
  readonly norm?: NormCommand;
  readonly recall?: RecallCommand;
  readonly quorum?: QuorumCommand;
}

export interface Saved {
  readonly step: number;
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly from: number;
  readonly to: number;
}
/** Exactly one of the reports is set. */
export interface ShardReport {
  readonly server: number;
  readonly epoch: number;
  readonly loaded?: { readonly shardBytes: number };
  readonly initialized?: Readonly<Record<string, never>>;
  readonly copied?: { readonly step: number };
  readonly saved?: Saved;
  readonly norm?: { readonly step: number; readonly blocks: readonly number[] };
  readonly unsaved?: { readonly step: number; readonly reason: string };
  readonly held?: Holding;
  readonly failed?: { readonly code: string; readonly message: string };
  readonly timed?: { readonly phases: readonly PhaseTimes[] };
}

export interface ResizeRequest {
  readonly workers: number;
  readonly gone: boolean;
}

export type Empty = Readonly<Record<string, never>>;

export interface SharedMemory {
  readonly host: string;
  readonly process: number;
  readonly descriptor: number;
  readonly key: string;
  readonly length: number;
}
export interface AttendRequest {
  readonly protocol: ProtocolRange;
  readonly rank: number;
  readonly epoch: number;
  readonly gradients?: SharedMemory | null;
}
export interface AttendResponse {
  /** The transport fills it in and checks it. */
  readonly protocol?: number;
  readonly step: number;
  readonly parameters?: SharedMemory | null;
}

/** Exactly one of gradient, initial, record and refresh is set. */
export interface PushMessage {
  readonly epoch: number;
  readonly rank: number;
  readonly step: number;
  readonly gradient?: {
    readonly chunk: number;
    readonly weight: number;
    readonly learningRate: number;
    readonly codec?: CodecName | '';
    readonly sharedChunks?: number;
  };
  readonly initial?: { readonly chunk: number };
  readonly record?: Totals;
  readonly refresh?: Empty;
  readonly data: Uint8Array;
}

export interface PullRequest {
  readonly rank: number;
  readonly epoch: number;
  readonly step: number;
  readonly onRequest?: boolean;
}

export interface Parameters {
  readonly chunk: number;
  readonly codec?: CodecName | '';
  readonly sharedChunks?: number;
}

/** Exactly one of parameters and begin is set. */
export interface PullMessage {
  readonly step: number;
  readonly parameters?: Parameters;
  readonly begin?: { readonly directive: Directive; readonly shares?: readonly number[] };
  readonly data: Uint8Array;
}
