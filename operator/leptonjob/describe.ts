// What the status says of the world: counts, phase, the one thing waited for, conditions, progress, what became of the time.
// Takes the decisions of the plan as they are. Pure.
import type { JobCondition, LeptonJobStatus } from '../../crds/status.ts';
import { goodputOf } from './goodput.ts';
import type { PodView, Report, Seen } from './job.ts';
import {
  type ConditionType,
  DEFAULT_OUTPUT,
  type Role,
  selectorOf,
  selectorText,
  type WaitingOn,
} from './names.ts';
import { text } from './report.ts';
import { type Phase, type Waiting, waitingOf } from './waiting.ts';

/** Numbers in a status are compared by the API server as 64-bit whole ones where they are whole. */
const LARGEST = 1e18;
const LONGEST_MESSAGE = 4096;

export function describe(seen: Seen, decided: LeptonJobStatus): LeptonJobStatus {
  const { job, pods, nowMs } = seen;
  const before = job.status ?? {};
  const phase = phaseOf(seen, decided);
  const waiting = briefly(waitingOf(seen, decided, phase));
  const { waiting: _, ...rest } = decided;
  const time = new Date(nowMs).toISOString();
  const startTime = decided.startTime ?? (pods.length > 0 ? time : undefined);
  const output = outputOf(seen, decided, phase);
  const { progress } = progressOf(seen, decided);
  return {
    ...rest,
    phase,
    ...(job.metadata.generation === undefined ? {} : { observedGeneration: job.metadata.generation }),
    ...(startTime === undefined ? {} : { startTime }),
    ...(waiting ? { waiting: { ...waiting, since: sinceOf(before, waiting, time) } } : {}),
    worker: roleOf(seen, 'worker', decided.worker?.replicas ?? job.spec.worker.replicas),
    parameterServer: roleOf(seen, 'server', job.spec.parameterServer.replicas),
    ...(progress ? { progress } : {}),
    ...checkpointOf(seen, decided),
    ...(output ? { output } : {}),
    goodput: goodputOf(before, { phase, waiting, progress, report: seen.report, nowMs }),
    conditions: conditionsOf(seen, decided, phase, waiting, time),
  };
}

function phaseOf({ job, pods, report }: Seen, decided: LeptonJobStatus): Phase {
  if (decided.phase === 'Succeeded' || decided.phase === 'Failed' || decided.phase === 'Suspended')
    return decided.phase;
  if ((decided.replacing ?? []).length > 0) return 'Restarting';
  const workers = decided.worker?.replicas ?? job.spec.worker.replicas;
  const running = pods.filter(
    ({ role, rank, phase, terminatingSinceMs }) =>
      (role === 'server' || rank < workers) &&
      phase !== 'Pending' &&
      phase !== 'Failed' &&
      terminatingSinceMs === undefined,
  );
  const complete = running.length >= workers + job.spec.parameterServer.replicas;
  const begun = (decided.attempt ?? 0) > 0;
  if (!complete) return begun ? 'Restarting' : 'Pending';
  // A worker that starts or loads holds everybody up.
  const training = report?.phase === 'Running' && (report.waits?.absent.length ?? 0) === 0;
  return training || report?.phase === 'Evaluating' || report?.phase === 'Succeeded' ? 'Running' : 'Starting';
}

/** Schedulers, kubelets and coordinators say as much as they like. */
function briefly(waiting: Waiting | undefined): Waiting | undefined {
  return waiting && { ...waiting, message: text(waiting.message, LONGEST_MESSAGE) };
}

/** The same wait goes on, whatever its words are by now. */
function sinceOf(before: LeptonJobStatus, waiting: Waiting, time: string): string {
  return before.waiting?.on === waiting.on ? before.waiting.since : time;
}

function roleOf({ job, pods }: Seen, role: Role, replicas: number) {
  const own = pods.filter((pod) => pod.role === role);
  const count = (holds: (pod: PodView) => boolean): number => own.filter(holds).length;
  return {
    replicas,
    ready: count(({ ready, terminatingSinceMs }) => ready && terminatingSinceMs === undefined),
    active: count(({ phase }) => phase === 'Pending' || phase === 'Running'),
    succeeded: count(({ phase }) => phase === 'Succeeded'),
    failed: count(({ phase }) => phase === 'Failed'),
    selector: selectorText(selectorOf(job.metadata.name, role)),
  };
}

function progressOf(
  { report, pods, nowMs }: Seen,
  decided: LeptonJobStatus,
): Pick<LeptonJobStatus, 'progress'> {
  const words = pods.find(({ words: said }) => said?.phase === 'Succeeded')?.words;
  // While servers load, the coordinator has yet to find out where the job stands.
  if (report && report.steps > 0 && report.phase !== 'Starting') return { progress: reported(report) };
  if (words?.step !== undefined && decided.progress && decided.progress.step < words.step)
    return { progress: { ...decided.progress, step: words.step, time: new Date(nowMs).toISOString() } };
  return decided.progress ? { progress: decided.progress } : {};
}

function reported(report: Report): NonNullable<LeptonJobStatus['progress']> {
  const { step, steps, epoch, samplesPerSecond, remainingSeconds, loss, metrics, evaluation } = report;
  const { checkpointSeconds = 0 } = report;
  return {
    step,
    steps,
    epoch,
    samplesPerSecond: rounded(samplesPerSecond),
    ...(remainingSeconds === undefined ? {} : { remainingSeconds: Math.round(bounded(remainingSeconds)) }),
    ...(loss === undefined ? {} : { loss: rounded(loss) }),
    metrics: roundedAll(metrics),
    evaluation: roundedAll(evaluation),
    checkpointSeconds: Math.round(10 * bounded(checkpointSeconds)) / 10,
    time: new Date(report.heardMs).toISOString(),
  };
}

function checkpointOf(
  { report }: Seen,
  { checkpoint: known }: LeptonJobStatus,
): Pick<LeptonJobStatus, 'checkpoint'> {
  if (!report?.checkpoint) return known ? { checkpoint: known } : {};
  const { step, uri } = report.checkpoint;
  return { checkpoint: { step, uri } };
}

function outputOf(
  { job, report, pods }: Seen,
  decided: LeptonJobStatus,
  phase: Phase,
): LeptonJobStatus['output'] {
  if (phase !== 'Succeeded') return decided.output;
  const words = pods.find(({ words: said }) => said?.phase === 'Succeeded')?.words;
  const metrics = words?.metrics ?? report?.evaluation ?? decided.output?.metrics ?? {};
  return { uri: job.spec.output.uri ?? DEFAULT_OUTPUT, metrics: roundedAll(metrics) };
}

type Wanted = readonly [type: ConditionType, holds: boolean, reason: string, message: string];

function conditionsOf(
  { job, report }: Seen,
  decided: LeptonJobStatus,
  phase: Phase,
  waiting: Waiting | undefined,
  time: string,
): JobCondition[] {
  const refused = waiting !== undefined && REFUSALS.has(waiting.on);
  const known = new Map((decided.conditions ?? []).map((condition) => [condition.type, condition]));
  const wanted: readonly Wanted[] = [
    ['Accepted', !refused, refused ? waiting.on : 'Accepted', refused ? waiting.message : ''],
    ['Suspended', phase === 'Suspended', phase === 'Suspended' ? 'Suspended' : 'Active', ''],
    ['Running', phase === 'Running', phase, waiting?.message ?? ''],
    checkpointCondition(report, known.get('CheckpointFailing')),
    ['Succeeded', phase === 'Succeeded', phase === 'Succeeded' ? 'Succeeded' : 'NotFinished', ''],
    [
      'Failed',
      phase === 'Failed',
      phase === 'Failed' ? 'Failed' : 'NotFailed',
      phase === 'Failed' ? (decided.message ?? '') : '',
    ],
  ];
  return wanted.map(([type, holds, reason, message]) => {
    const status = holds ? 'True' : 'False';
    const old = known.get(type);
    const same = old?.status === status;
    return {
      type,
      status,
      ...(job.metadata.generation === undefined ? {} : { observedGeneration: job.metadata.generation }),
      // What was recorded at the decision stays: `DeadlineExceeded` says more than `Failed`.
      reason: same && holds && type !== 'Running' ? old.reason : reason,
      message: text(message, LONGEST_MESSAGE),
      lastTransitionTime: same ? old.lastTransitionTime : time,
    };
  });
}

const REFUSALS: ReadonlySet<WaitingOn> = new Set(['Refused', 'NameConflict', 'GangNotServed']);

/** What is not heard stays as it was; the words are those of the first failure, so that no further one is news. */
function checkpointCondition(report: Report | undefined, known: JobCondition | undefined): Wanted {
  const before = known?.status === 'True' ? known.message : '';
  const failing = report?.checkpoint ? (report.checkpoint.failing ?? '') : before;
  if (failing === '') return ['CheckpointFailing', false, 'NotFailing', ''];
  return ['CheckpointFailing', true, 'CHECKPOINT_WRITE_FAILED', before || failing];
}

/** What writing `next` over `before` would tell: the clock alone is no news. */
export type News = 'none' | 'progress' | 'counts' | 'standing';

export function newsOf(before: LeptonJobStatus | undefined, next: LeptonJobStatus): News {
  if (before === undefined) return 'standing';
  if (essence(before) === essence(next)) return 'none';
  const { progress: _, checkpoint: _2, ...old } = before;
  const { progress: _3, checkpoint: _4, ...now } = next;
  if (essence(old) === essence(now)) return 'progress';
  return standing(before) === standing(next) ? 'counts' : 'standing';
}

/**
 * Where the job stands and what was decided, without words, numbers of pods (that all are there is one), and what it waits for, which
 * may be over in a moment: a wait that lasts is told with the numbers.
 */
function standing({
  progress: _,
  checkpoint: _2,
  assembled: _3,
  waiting: _4,
  startTime: _5,
  worker,
  parameterServer,
  ...status
}: LeptonJobStatus): string {
  const size = (role: LeptonJobStatus['worker']) =>
    role && { replicas: role.replicas, selector: role.selector };
  const { conditions } = status;
  return essence({
    ...status,
    worker: size(worker),
    parameterServer: size(parameterServer),
    conditions: conditions?.map(({ type, status: holds, reason }) => ({ type, holds, reason })),
  });
}

/** All of it but the clock, as text. */
export function essence({ goodput: _, ...status }: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(sorted(status));
}

/** The server gives fields in an order of its own. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, sorted(field)]),
  );
}

function bounded(value: number): number {
  return Number.isNaN(value) ? 0 : Math.max(-LARGEST, Math.min(LARGEST, value));
}

/** Six digits: more is noise in a status. */
function rounded(value: number): number {
  return Number(bounded(value).toPrecision(6));
}

function roundedAll(values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values)
      .slice(0, 64)
      .map(([name, value]) => [name, rounded(value)]),
  );
}
