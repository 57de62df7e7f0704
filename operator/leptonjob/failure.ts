// The failure ladder: from a pod that ended to what is done about it. The first rule that fits decides: the user's rules, then
// these. Pure.
import type { LeptonJobSpec } from '../../crds/leptonjob.ts';
import { EXIT } from '../../protos/exit-codes.ts';
import type { LeptonJobObject, PodEnd, PodView } from './job.ts';

export interface Verdict {
  readonly action: 'RestartPod' | 'RestartRole' | 'RestartJob' | 'ExcludeNode' | 'FailJob';
  readonly counts: boolean;
}

/** A pod that is no good any more, and why. */
export interface Failure {
  readonly pod: PodView;
  readonly end: PodEnd;
}

type Rule = LeptonJobSpec['failurePolicy']['rules'][number];

/** Disruptions are nobody's fault; an end that a new process would meet again is not tried again. */
const BUILT_IN: readonly Rule[] = [
  {
    reasons: ['Disruption', 'NodeLost', 'Evicted', 'Vanished'],
    action: 'RestartPod',
    countsTowardsMax: false,
  },
  {
    reasons: ['Error'],
    exitCodes: [EXIT.hopeless, EXIT.replaced],
    action: 'FailJob',
    countsTowardsMax: true,
  },
  { action: 'RestartPod', countsTowardsMax: true },
];

/** `conditions` are those of the pod's node. */
export function judge(
  pod: Pick<PodView, 'role'>,
  end: PodEnd,
  rules: readonly Rule[],
  conditions: readonly string[] = [],
): Verdict {
  const rule = [...rules, ...BUILT_IN].find((candidate) => fits(candidate, pod, end, conditions)) as Rule;
  return { action: rule.action, counts: rule.countsTowardsMax };
}

export function fits(
  { roles, reasons, exitCodes, signals, nodeConditions }: Rule,
  { role }: Pick<PodView, 'role'>,
  end: PodEnd,
  conditions: readonly string[],
): boolean {
  const name = role === 'worker' ? 'worker' : 'parameterServer';
  if (roles && !roles.includes(name)) return false;
  if (reasons && !reasons.includes(end.reason)) return false;
  if (nodeConditions && !nodeConditions.some((type) => conditions.includes(type))) return false;
  if (signals && (end.signal === undefined || !signals.includes(end.signal))) return false;
  return !exitCodes || (end.exitCode !== undefined && exitCodes.includes(end.exitCode));
}

/** What the job says, else what the operator says. */
export function patienceOf(
  { spec }: LeptonJobObject,
  times: { readonly heartbeatSeconds: number; readonly stallSeconds: number },
): { readonly heartbeatMs: number; readonly stallMs: number } {
  const { heartbeatSeconds, stallSeconds } = spec.failurePolicy;
  return {
    heartbeatMs: 1000 * (heartbeatSeconds ?? times.heartbeatSeconds),
    stallMs: 1000 * (stallSeconds ?? times.stallSeconds),
  };
}

/** Wait before the n-th counted replacement: the first is made at once, then 1 s, doubling, at most a minute. */
export function backOffMs(restarts: number): number {
  return restarts <= 1 ? 0 : Math.min(1000 * 2 ** (restarts - 2), 60_000);
}
