// What a status says of the life of its job: begun, running, finished, for how long it was active. No pods, no decisions.
import type { LeptonJobStatus } from '../../../crds/status.ts';

export function hasBegun({ run }: LeptonJobStatus): boolean {
  return run !== undefined;
}

export function isFinished({ phase }: LeptonJobStatus): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

/** What a job has from the moment it may have pods. */
export function running(nowMs: number, workers: number): LeptonJobStatus {
  return { activeSince: new Date(nowMs).toISOString(), worker: emptyRole(workers), assembled: false };
}

export function emptyRole(replicas: number) {
  return { replicas, ready: 0, active: 0, succeeded: 0, failed: 0, selector: '' };
}

export function finished(
  status: LeptonJobStatus,
  nowMs: number,
  phase: 'Succeeded' | 'Failed',
  reason: string = phase,
): LeptonJobStatus {
  const {
    stopping: _,
    replacing: _2,
    backOffUntil: _3,
    activeSince: _4,
    waiting: _5,
    resizing: _6,
    ...rest
  } = status;
  const time = new Date(nowMs).toISOString();
  const conditions = [
    ...(rest.conditions ?? []).filter(({ type }) => type !== phase),
    { type: phase, status: 'True' as const, reason, message: '', lastTransitionTime: time },
  ];
  return { ...rest, phase, conditions, completionTime: time, activeSeconds: activeMs(status, nowMs) / 1000 };
}

/** A clock that was set back does not make it less than was counted before. */
export function activeMs({ activeSeconds = 0, activeSince }: LeptonJobStatus, nowMs: number): number {
  const sinceMs = activeSince === undefined ? nowMs : timeOf(activeSince, nowMs);
  return activeSeconds * 1000 + Math.max(0, nowMs - sinceMs);
}

export function timeOf(text: string | undefined, nowMs: number): number {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? nowMs : ms;
}
