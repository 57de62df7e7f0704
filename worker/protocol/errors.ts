// Named errors of the runtime: what peers, launcher and command tell each other when something is refused or lost.

/** Code -> what a process that meets it does: try again with a new session, or end (a restart would meet it again). */
export const RUNTIME_ERRORS = {
  OLD_EPOCH: 'retry', // the session was overtaken by a newer one or by a rollback
  NOT_READY: 'retry', // the peer has no parameters yet
  STEP_GONE: 'retry', // the asked step is not kept any more
  PEER_LOST: 'retry', // a connection or a call failed
  STREAM_STUCK: 'retry', // a peer takes nothing of a stream any more
  STALLED: 'end', // nothing moved for the configured time
  STEP_AHEAD: 'end', // a peer pushes a step that cannot have begun
  REPLACED: 'end', // a newer process has this rank
  PROTOCOL_VERSION: 'end',
  PLAN_MISMATCH: 'end', // two workers describe different models or data
  WRONG_TOKEN: 'end',
  WRONG_IDENTITY: 'end', // a certificate of this job, but of a role that may not ask for this
  BAD_MESSAGE: 'end',
  BAD_ROLE_CONFIG: 'end',
  PORT_TAKEN: 'end',
  LOSS_NOT_FINITE: 'end',
  GRADIENT_NOT_FINITE: 'end',
  CHECKPOINT_WRITE_FAILED: 'end',
  CHECKPOINT_MISMATCH: 'end',
  CHECKPOINT_TORN: 'end',
  OUTPUT_WRITE_FAILED: 'end',
  CRASH_LOOP: 'end',
  RESTART_LIMIT: 'end',
  DEADLINE_EXCEEDED: 'end',
  PARENT_LOST: 'end',
  INTERNAL: 'end',
} as const satisfies Record<string, 'retry' | 'end'>;

export type RuntimeErrorCode = keyof typeof RUNTIME_ERRORS;

export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'RuntimeError';
    this.code = code;
  }

  get retryable(): boolean {
    return RUNTIME_ERRORS[this.code] === 'retry';
  }
}

/** GRADIENT_NOT_FINITE; `what` says whose it is. */
export function gradientNotFinite(what: string, chunk: number, step: number, cause?: unknown): RuntimeError {
  return new RuntimeError(
    'GRADIENT_NOT_FINITE',
    `${what}, step ${step}, chunk ${chunk}: expected finite values; try a smaller learning rate or clipNorm`,
    { cause },
  );
}

export function isRuntimeErrorCode(code: string): code is RuntimeErrorCode {
  return Object.hasOwn(RUNTIME_ERRORS, code);
}
