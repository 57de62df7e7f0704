// What a process does with the calls that reach it, and all that a listener knows of it.
import type {
  AttendRequest,
  AttendResponse,
  EnlistRequest,
  EvaluationReport,
  HeartbeatRequest,
  HeartbeatResponse,
  JoinRequest,
  JoinResponse,
  PullMessage,
  PullRequest,
  PushMessage,
  ResizeRequest,
  ServerCommand,
  ShardReport,
} from './messages.ts';
import type { Inbox, Outbox } from './streams.ts';

export interface CoordinationHandlers {
  join(request: JoinRequest): Promise<JoinResponse>;
  heartbeat(request: HeartbeatRequest): HeartbeatResponse;
  reportEvaluation(request: EvaluationReport): void;
  enlist(request: EnlistRequest, commands: Outbox<ServerCommand>): void;
  reportShard(request: ShardReport): void;
  watch(progress: Outbox<unknown>): void;
  stop(): void;
  resize(request: ResizeRequest): void;
}

export interface ExchangeHandlers {
  attend(request: AttendRequest): AttendResponse;
  push(messages: Inbox<PushMessage>): void;
  pull(request: PullRequest, messages: Outbox<PullMessage>): void;
}
