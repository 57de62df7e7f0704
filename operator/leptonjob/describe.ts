// What the status says of the world: counts, phase, the one thing waited for, conditions, progress, what became of the time.
// Takes the decisions of the plan as they are. Pure.
import type { JobCondition, LeptonJobStatus } from '../../crds/status.ts';
import { hasNoNode } from './gang/rules.ts';
import type { PodView, Report, Seen } from './job.ts';
import {
  type ConditionType,
  KUEUE_QUEUE,
  type Role,
  selectorOf,
  selectorText,
  type WaitingOn,
} from './names.ts';

type Phase = NonNullable<LeptonJobStatus['phase']>;
type Waiting = { readonly on: WaitingOn; readonly message: string };

/** Numbers in a status are compared by the API server as 64-bit whole ones where they are whole. */
const LARGEST = 1e18;

export function describe(seen: Seen, decided: LeptonJobStatus): LeptonJobStatus {
  const { job, pods, nowMs } = seen;
  const before = job.status ?? {};
  const phase = phaseOf(seen, decided);
  const waiting = waitingOf(seen, decided, phase);
  const { waiting: _, ...rest } = decided;
  const time = new Date(nowMs).toISOString();
  const startTime = decided.startTime ?? (pods.length > 0 ? time : undefined);
  const output = outputOf(seen, decided, phase);
  return {
    ...rest,
    phase,
    ...(job.metadata.generation === undefined ? {} : { observedGeneration: job.metadata.generation }),
    ...(startTime === undefined ? {} : { startTime }),
    ...(waiting ? { waiting: { ...waiting, since: sinceOf(before, waiting, time) } } : {}),
    worker: roleOf(seen, 'worker', decided.worker?.replicas ?? job.spec.worker.replicas),
    parameterServer: roleOf(seen, 'server', job.spec.parameterServer.replicas),
    ...progressOf(seen, decided),
    ...checkpointOf(seen, decided),
    ...(output ? { output } : {}),
    goodput: goodputOf(before, phase, nowMs),
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
  const training =
    report?.phase === 'Running' || report?.phase === 'Evaluating' || report?.phase === 'Succeeded';
  return training ? 'Running' : 'Starting';
}

/** The first of the things that a job can wait for, in the order in which they come up. */
function waitingOf(seen: Seen, decided: LeptonJobStatus, phase: Phase): Waiting | undefined {
  const { refusal, rejected, pods, gang, job, nowMs } = seen;
  if (phase === 'Succeeded' || phase === 'Failed') return undefined;
  // Those who train wait for nothing, except where others are to come.
  if (phase === 'Running' && !decided.resizing) return undefined;
  if (phase === 'Suspended') {
    const queue = queueOf(job);
    if (!job.spec.suspend) return refusal;
    return queue === undefined
      ? undefined
      : { on: 'Queue', message: `queue ${queue} has not admitted the job` };
  }
  if (refusal) return refusal;
  if (rejected) return rejected;
  const ending = pods.find(({ terminatingSinceMs }) => terminatingSinceMs !== undefined);
  if (ending) return { on: 'PodsTerminating', message: `${ending.name} has not ended yet` };
  if (decided.backOffUntil !== undefined && Date.parse(decided.backOffUntil) > nowMs)
    return { on: 'BackOff', message: `the next start is at ${decided.backOffUntil}` };
  if (gang.held !== undefined && pods.length === 0) return { on: 'Queue', message: gang.held };
  const lacking = lackingPod(seen);
  if (lacking) return lacking;
  if (gang.words !== undefined && pods.some(hasNoNode)) return { on: 'Unschedulable', message: gang.words };
  const pending = WORST_FIRST.flatMap((on) => pods.filter(({ waiting }) => waiting?.on === on))[0];
  if (pending?.waiting)
    return { on: pending.waiting.on, message: `${pending.name}: ${pending.waiting.message}` };
  if (phase === 'Starting') return { on: 'Rendezvous', message: 'workers load their data and join' };
  return undefined;
}

/** Kueue's, whose label stands on the job itself, or the gang scheduler's. */
function queueOf({ metadata, spec }: Seen['job']): string | undefined {
  return metadata.labels?.[KUEUE_QUEUE] ?? spec.scheduling.queue;
}

/** A worker that no node could take, in our words and the scheduler's. */
function lackingPod({ pods, lack }: Seen): Waiting | undefined {
  if (lack === undefined) return undefined;
  const pod = pods.find(
    ({ role, phase, node }) => role === 'worker' && phase === 'Pending' && node === undefined,
  );
  if (!pod) return undefined;
  const scheduler =
    pod.waiting?.on === 'Unschedulable' ? `; the scheduler says of ${pod.name}: ${pod.waiting.message}` : '';
  return { on: 'Accelerators', message: `${lack}${scheduler}` };
}

const WORST_FIRST: readonly WaitingOn[] = ['Unschedulable', 'ImagePull', 'Volume', 'ContainerCreating'];

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
  if (report && report.steps > 0) return { progress: reported(report) };
  if (words?.step !== undefined && decided.progress && decided.progress.step < words.step)
    return { progress: { ...decided.progress, step: words.step, time: new Date(nowMs).toISOString() } };
  return decided.progress ? { progress: decided.progress } : {};
}

function reported(report: Report): NonNullable<LeptonJobStatus['progress']> {
  const { step, steps, epoch, samplesPerSecond, remainingSeconds, loss, metrics, evaluation } = report;
  return {
    step,
    steps,
    epoch,
    samplesPerSecond: rounded(samplesPerSecond),
    ...(remainingSeconds === undefined ? {} : { remainingSeconds: Math.round(bounded(remainingSeconds)) }),
    ...(loss === undefined ? {} : { loss: rounded(loss) }),
    metrics: roundedAll(metrics),
    evaluation: roundedAll(evaluation),
    time: new Date(report.heardMs).toISOString(),
  };
}

function checkpointOf(
  { report }: Seen,
  { checkpoint: known }: LeptonJobStatus,
): Pick<LeptonJobStatus, 'checkpoint'> {
  if (!report?.checkpoint) return known ? { checkpoint: known } : {};
  const { step, uri } = report.checkpoint;
  return { checkpoint: { step, uri: uri.slice(0, 1024) } };
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

/** Where results go when the manifest names no folder. */
export const DEFAULT_OUTPUT = '/output';

/** What the time before the change of phase was: training, or lost to a cause. */
const CAUSE: Readonly<Record<Phase, string | undefined>> = {
  Pending: 'schedule',
  Starting: 'init',
  Running: '',
  Restarting: 'restart',
  Suspended: undefined,
  Succeeded: undefined,
  Failed: undefined,
};

function goodputOf(
  before: LeptonJobStatus,
  phase: Phase,
  nowMs: number,
): NonNullable<LeptonJobStatus['goodput']> {
  const since = new Date(nowMs).toISOString();
  const known = before.goodput ?? { ratio: 0, productiveSeconds: 0, lostSeconds: {}, since };
  const cause = before.phase === undefined ? CAUSE[phase] : CAUSE[before.phase];
  const seconds = Math.max(0, nowMs - Date.parse(known.since)) / 1000;
  const productiveSeconds = tenth(known.productiveSeconds + (cause === '' ? seconds : 0));
  const lostSeconds =
    cause === undefined || cause === '' || seconds === 0
      ? known.lostSeconds
      : { ...known.lostSeconds, [cause]: tenth((known.lostSeconds[cause] ?? 0) + seconds) };
  const all = Object.values(lostSeconds).reduce((sum, lost) => sum + lost, productiveSeconds);
  return {
    ratio: all > 0 ? Math.round((productiveSeconds / all) * 1e4) / 1e4 : 0,
    productiveSeconds,
    lostSeconds,
    since,
  };
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
      message: message.slice(0, 4096),
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

/** Where the job stands and what was decided, without numbers of pods and without words. */
function standing({
  progress: _,
  checkpoint: _2,
  worker,
  parameterServer,
  ...status
}: LeptonJobStatus): string {
  const size = (role: LeptonJobStatus['worker']) =>
    role && { replicas: role.replicas, selector: role.selector };
  const { waiting, conditions } = status;
  return essence({
    ...status,
    worker: size(worker),
    parameterServer: size(parameterServer),
    waiting: waiting && { on: waiting.on },
    conditions: conditions?.map(({ type, status: holds, reason }) => ({ type, holds, reason })),
  });
}

function essence({ goodput: _, ...status }: Readonly<Record<string, unknown>>): string {
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

function tenth(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
