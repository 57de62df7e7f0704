// The failure ladder: from a pod that ended to what is done about it. The first rule that fits decides: the user's rules, then
// these. Pure.
import type { LeptonJobSpec } from '../../crds/leptonjob.ts';
import { EXIT } from '../../protos/exit-codes.ts';
import type { PodEnd, PodView } from './job.ts';

export interface Verdict {
  readonly action: 'RestartPod' | 'RestartRole' | 'RestartJob' | 'ExcludeNode' | 'FailJob';
  readonly counts: boolean;
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

export function judge(pod: Pick<PodView, 'role'>, end: PodEnd, rules: readonly Rule[]): Verdict {
  const rule = [...rules, ...BUILT_IN].find((candidate) => fits(candidate, pod, end)) as Rule;
  return { action: rule.action, counts: rule.countsTowardsMax };
}

function fits({ roles, reasons, exitCodes }: Rule, { role }: Pick<PodView, 'role'>, end: PodEnd): boolean {
  const name = role === 'worker' ? 'worker' : 'parameterServer';
  if (roles && !roles.includes(name)) return false;
  if (reasons && !reasons.includes(end.reason)) return false;
  return !exitCodes || (end.exitCode !== undefined && exitCodes.includes(end.exitCode));
}

/** Wait before the n-th counted replacement in a row: 1 s, doubling, at most a minute. */
export function backOffMs(restarts: number): number {
  return Math.min(1000 * 2 ** Math.max(0, restarts - 1), 60_000);
}
