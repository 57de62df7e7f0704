// What one pass over a LeptonJob should do. Decisions only: no clock, no client, no logger. The rules are tried in order and the
// order is the policy; rules/ holds them by theme. A decision that must count once is first recorded in the status; a later pass
// acts on it.

import type { LeptonJobStatus } from '../../crds/status.ts';
import { describe } from './describe.ts';
import { choose, regroup, ungroup } from './gang/rules.ts';
import type { Plan, Seen } from './job.ts';
import { assemble } from './rules/assembling.ts';
import { begin, leaveAlone, refuse } from './rules/beginning.ts';
import { tellCheckpoints } from './rules/checkpoints.ts';
import { overdueInMs, wakeForForce } from './rules/deleting.ts';
import { passDeadline, succeed, tidyUp } from './rules/ending.ts';
import { fail, replace } from './rules/failing.ts';
import { resize, resized } from './rules/resizing.ts';
import { stayDown, stop, suspend } from './rules/suspending.ts';

type Rule = (seen: Seen, status: LeptonJobStatus) => Plan | undefined;

const RULES: readonly Rule[] = [
  leaveAlone,
  ungroup,
  tidyUp,
  begin,
  refuse,
  succeed,
  passDeadline,
  suspend,
  resized,
  resize,
  stop,
  stayDown,
  choose,
  regroup,
  fail,
  replace,
  tellCheckpoints,
];

export function planLeptonJob(seen: Seen): Plan {
  const status = seen.job.status ?? {};
  for (const rule of RULES) {
    const plan = rule(seen, status);
    if (plan) return finishPlan(seen, plan);
  }
  return finishPlan(seen, wakeForForce(seen, assemble(seen, status)));
}

/** Every plan carries the whole status: what was decided, and what is seen of the world. */
function finishPlan(seen: Seen, plan: Plan): Plan {
  const whole = { ...plan, status: describe(seen, plan.status) };
  const dueInMs = overdueInMs(seen);
  if (whole.kind === 'record' || dueInMs === undefined) return whole;
  return { ...whole, wakeInMs: Math.min(whole.wakeInMs ?? dueInMs, dueInMs) };
}
