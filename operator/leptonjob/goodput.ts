// What became of the time of a job: training went forward, or it was lost to a cause. Time is counted from status to status, by what
// the earlier one said; what turns out to be lost only afterwards is taken back from what had counted as training. Pure.
import type { LeptonJobStatus } from '../../crds/status.ts';
import type { Report } from './job.ts';
import type { WaitingOn } from './names.ts';
import type { Phase, Waiting } from './waiting.ts';

export type Cause = 'queue' | 'schedule' | 'init' | 'restart' | 'rollback' | 'checkpoint' | 'stall';
type Goodput = NonNullable<LeptonJobStatus['goodput']>;
type Progress = LeptonJobStatus['progress'];

interface Account {
  productive: number;
  readonly lost: Record<string, number>;
}

const TRAINING = 'training';
const CAUSE: Readonly<Record<Phase, Cause | typeof TRAINING | undefined>> = {
  Pending: 'schedule',
  Starting: 'init',
  Running: TRAINING,
  Restarting: 'restart',
  Suspended: undefined,
  Succeeded: undefined,
  Failed: undefined,
};
/** Waits for leave to begin. Not of the active time, so not of the ratio either. */
const QUEUES: ReadonlySet<WaitingOn> = new Set(['Queue', 'Quota', 'Admission']);

export interface Moment {
  readonly phase: Phase;
  readonly waiting: Waiting | undefined;
  readonly progress: Progress;
  readonly report: Report | undefined;
  readonly nowMs: number;
}

export function goodputOf(before: LeptonJobStatus, now: Moment): Goodput {
  const since = new Date(now.nowMs).toISOString();
  const known = before.goodput ?? { ratio: 0, productiveSeconds: 0, lostSeconds: {}, since };
  const account: Account = { productive: known.productiveSeconds, lost: { ...known.lostSeconds } };
  count(account, before, now, Math.max(0, now.nowMs - Date.parse(known.since)) / 1000);
  takeBack(account, 'stall', standingSeconds(before, now));
  takeBack(account, 'checkpoint', checkpointSeconds(before.progress, now.progress));
  takeBack(account, 'rollback', rollbackSeconds(account, before.progress, now.progress));
  const { queue: _, ...active } = account.lost;
  const all = Object.values(active).reduce((sum, lost) => sum + lost, account.productive);
  return {
    ratio: all > 0 ? Math.round((account.productive / all) * 1e4) / 1e4 : 0,
    productiveSeconds: tenth(account.productive),
    lostSeconds: Object.fromEntries(
      Object.entries(account.lost).map(([cause, lost]) => [cause, tenth(lost)]),
    ),
    since,
  };
}

/** The time since the last status belongs to what that status said. */
function count(account: Account, before: LeptonJobStatus, { phase, waiting }: Moment, seconds: number): void {
  const on = (before.phase === undefined ? waiting : before.waiting)?.on as WaitingOn | undefined;
  const cause = causeOf(before.phase ?? phase, on);
  if (cause === TRAINING) account.productive += seconds;
  else if (cause && seconds > 0) account.lost[cause] = (account.lost[cause] ?? 0) + seconds;
}

function causeOf(phase: Phase, on: WaitingOn | undefined): Cause | typeof TRAINING | undefined {
  if (phase === 'Running') return on === 'Stall' ? 'stall' : TRAINING;
  const queued = on !== undefined && QUEUES.has(on) && (phase === 'Pending' || phase === 'Suspended');
  return queued ? 'queue' : CAUSE[phase];
}

function takeBack(account: Account, cause: Cause, seconds: number): void {
  const lost = Math.min(account.productive, seconds);
  if (!(lost > 0)) return;
  account.productive -= lost;
  account.lost[cause] = (account.lost[cause] ?? 0) + lost;
}

/** That a step stands is said only when it has for long. */
function standingSeconds(before: LeptonJobStatus, { waiting, report }: Moment): number {
  const begins = waiting?.on === 'Stall' && before.waiting?.on !== 'Stall';
  return begins ? (report?.waits?.standingSeconds ?? 0) : 0;
}

/** A coordinator counts from its own start. */
function checkpointSeconds(before: Progress, now: Progress): number {
  const [known, told] = [before?.checkpointSeconds ?? 0, now?.checkpointSeconds ?? 0];
  return told >= known ? told - known : told;
}

/** Steps that are done again, at what a step has taken so far. Another number of workers counts steps anew. */
function rollbackSeconds({ productive }: Account, before: Progress, now: Progress): number {
  if (!before || !now || before.steps !== now.steps || now.step >= before.step) return 0;
  return (before.step - now.step) * (productive / before.step);
}

function tenth(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
