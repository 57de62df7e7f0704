// What one pass over a LeptonJob should do. Decisions only: no clock, no client, no logger. The rules are tried in order and the
// order is the policy. A decision that must count once is first recorded in the status; a later pass acts on it.

import { MANAGED_BY } from '../../crds/running.ts';
import type { LeptonJobStatus } from '../../crds/status.ts';
import { describe } from './describe.ts';
import { backOffMs, type Failure, judge, type Verdict } from './failure.ts';
import { choose, gather, hold, regroup, ungroup } from './gang/rules.ts';
import type { JobEvent, Plan, PodView, Seen, Step } from './job.ts';
import { type ConditionType, podName, type Role } from './names.ts';
import { placedPods, placedWorkers, resize, resized, steer } from './resize.ts';
import { troubledPods } from './trouble.ts';

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

/** When the first of the pods that are to go will be overdue: on a node that has died nothing else would say so. */
function overdueInMs({ pods, nowMs, limits }: Seen): number | undefined {
  const leftMs = pods.flatMap(({ terminatingSinceMs: sinceMs }) =>
    sinceMs === undefined ? [] : [sinceMs + limits.forceDeleteMs - nowMs + 1],
  );
  const ahead = leftMs.filter((ms) => ms > 0);
  return ahead.length === 0 ? undefined : Math.min(...ahead);
}

// --- rules, in order ---

/** Deleted or going with its namespace (owner references clean up), or run by another controller. */
function leaveAlone({ job, namespaceEnds }: Seen, status: LeptonJobStatus): Plan | undefined {
  const stays = isOurs(job) && job.metadata.deletionTimestamp === undefined && !namespaceEnds;
  return stays ? undefined : act(status, []);
}

/** Of another controller's job the status is the other's as well. */
export function isOurs({ spec }: Seen['job']): boolean {
  return spec.managedBy === MANAGED_BY;
}

/** A finished job never gets pods again; those left go by policy, the job by its time to live. */
function tidyUp(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  if (!isFinished(status)) return undefined;
  const { job, pods, nowMs } = seen;
  const { cleanPodPolicy, ttlSecondsAfterFinished } = job.spec;
  const doomed = pods.filter(
    ({ phase }) =>
      cleanPodPolicy !== 'None' && (cleanPodPolicy === 'All' || phase === 'Running' || phase === 'Pending'),
  );
  const steps = deletions(doomed, seen);
  if (steps.length > 0) return act(status, steps);
  if (ttlSecondsAfterFinished === undefined) return wakeForForce(seen, act(status, []));
  const dueMs = timeOf(status.completionTime, nowMs) + ttlSecondsAfterFinished * 1000;
  if (dueMs <= nowMs) return act(status, [{ kind: 'deleteJob' }]);
  return wakeForForce(seen, act(status, [], dueMs - nowMs));
}

/** The first pass: names the run, so that every later pod finds the checkpoints of earlier ones. */
function begin({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  if (hasBegun(status)) return undefined;
  const run = job.metadata.uid.replaceAll('-', '').slice(0, 20).toLowerCase();
  const first: LeptonJobStatus = { ...status, run, attempt: 0, restarts: 0 };
  return record(
    job.spec.suspend
      ? { ...first, phase: 'Suspended' }
      : { ...first, ...running(nowMs, job.spec.worker.replicas) },
    [
      {
        type: 'Normal',
        reason: job.spec.suspend ? 'Suspended' : 'Accepted',
        message: 'the job is known to the controller',
      },
    ],
  );
}

/** Nothing is created while something speaks against it; what runs already goes on. */
function refuse({ refusal, pods }: Seen, status: LeptonJobStatus): Plan | undefined {
  return refusal && pods.length === 0 ? act(status, []) : undefined;
}

/** The coordinator, or the last words of its process, say that the job is done. */
function succeed({ pods, report, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  const words = coordinatorOf(pods)?.words;
  if (words?.phase !== 'Succeeded' && report?.phase !== 'Succeeded') return undefined;
  return record({ ...finished(status, nowMs, 'Succeeded'), message: 'the model is trained' }, [
    { type: 'Normal', reason: 'Succeeded', message: 'the model is trained' },
  ]);
}

function passDeadline({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  const { activeDeadlineSeconds } = job.spec;
  if (activeDeadlineSeconds === undefined || status.stopping?.reason === 'Deadline') return undefined;
  if (activeMs(status, nowMs) < activeDeadlineSeconds * 1000) return undefined;
  return record(stoppingFor(status, 'Deadline', nowMs), [
    { type: 'Warning', reason: 'DeadlineExceeded', message: `active for ${activeDeadlineSeconds} s` },
  ]);
}

function suspend({ job, nowMs }: Seen, status: LeptonJobStatus): Plan | undefined {
  if (!job.spec.suspend || status.phase === 'Suspended' || status.stopping) return undefined;
  return record(stoppingFor(status, 'Suspend', nowMs), [
    { type: 'Normal', reason: 'Suspending', message: 'writing a checkpoint, then deleting the pods' },
  ]);
}

/** A run that is being stopped: asked first, ended when it has answered or its time is over. */
function stop(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { job, pods, nowMs, limits } = seen;
  const { stopping } = status;
  if (!stopping) return undefined;
  if (pods.length === 0) return record(...stopped(status, stopping.reason, job.spec.worker.replicas, nowMs));
  const leftMs = timeOf(stopping.since, nowMs) + limits.stopMs - nowMs;
  const coordinator = coordinatorOf(pods);
  const answering = coordinator?.phase === 'Running' && coordinator.terminatingSinceMs === undefined;
  if (answering && leftMs > 0) return act(status, [{ kind: 'stopRun' }], Math.min(leftMs, 1000));
  return act(status, deletions(pods, seen), 1000);
}

function stayDown(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { job, pods, nowMs } = seen;
  if (status.phase !== 'Suspended') return undefined;
  if (job.spec.suspend || pods.length > 0) return wakeForForce(seen, act(status, deletions(pods, seen)));
  const next = { ...status, ...running(nowMs, job.spec.worker.replicas), attempt: (status.attempt ?? 0) + 1 };
  return record({ ...next, phase: 'Pending', assembled: false }, [
    { type: 'Normal', reason: 'Resumed', message: 'going on from the newest checkpoint' },
  ]);
}

/** Pods that ended without leave: those that are seen together are one setback, counted once, whatever is done about them. */
function fail(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { job, nowMs } = seen;
  const failures = failedPods(seen, status).map(({ pod, end }) => ({
    pod,
    end,
    verdict: judge(pod, end, job.spec.failurePolicy.rules, seen.nodes.get(pod.node ?? '')),
  }));
  // What is told is the gravest: the end of the job, else what counts.
  const gravest =
    failures.find(({ verdict }) => verdict.action === 'FailJob') ??
    failures.find(({ verdict }) => verdict.counts) ??
    failures[0];
  if (!gravest) return undefined;
  const { pod, end, verdict } = gravest;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
  const what = `${pod.name}: ${end.code ? `${end.code}: ` : ''}${end.message}${more}`;
  if (verdict.action === 'FailJob') return failJob(status, nowMs, end.code ?? 'PodFailed', what);
  const restarts = (status.restarts ?? 0) + (verdict.counts ? 1 : 0);
  if (restarts > job.spec.maxRestarts)
    return failJob(
      status,
      nowMs,
      'RestartLimit',
      `maxRestarts (${job.spec.maxRestarts}) is used up; ${what}`,
    );
  const next: LeptonJobStatus = {
    ...status,
    restarts,
    attempt: (status.attempt ?? 0) + 1,
    replacing: [
      ...new Set([
        ...(status.replacing ?? []),
        ...failures.flatMap(({ verdict: by, pod: of }) => doomedBy(by, of, placedPods(seen, status))),
      ]),
    ],
    message: what.slice(0, 4000),
    ...(verdict.counts ? { backOffUntil: new Date(nowMs + backOffMs(restarts)).toISOString() } : {}),
    ...excluding(status, failures),
  };
  const plan = record(next, [
    {
      type: verdict.counts ? 'Warning' : 'Normal',
      reason: 'Restarting',
      message: `${verdict.action}: ${what}`,
    },
  ]);
  const absent = failures.find((failure) => failure.end.reason === 'Vanished')?.pod;
  return { ...plan, restarted: { role: pod.role, reason: end.reason }, ...(absent ? { absent } : {}) };
}

/** Nodes that a rule wants to be left from now on. */
function excluding(
  { excludedNodes = [] }: LeptonJobStatus,
  failures: readonly (Failure & { readonly verdict: Verdict })[],
): Pick<LeptonJobStatus, 'excludedNodes'> {
  // On a node that is sick the next pod would be replaced at once.
  const left = failures.flatMap(({ pod, end, verdict }) =>
    pod.node !== undefined && (verdict.action === 'ExcludeNode' || end.reason === 'NodeUnhealthy')
      ? [pod.node]
      : [],
  );
  return left.length === 0 ? {} : { excludedNodes: [...new Set([...excludedNodes, ...left])].slice(-64) };
}

/** Pods that are to be replaced are deleted; their places are forgotten once somebody new has them. */
function replace(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { pods } = seen;
  const replacing = status.replacing ?? [];
  if (replacing.length === 0) return undefined;
  const present = new Map(pods.map((pod) => [pod.name, pod.uid]));
  const open = replacing.filter((entry) => {
    const [name, uid] = entry.split('/') as [string, string];
    const now = present.get(name);
    return now === undefined || now === uid;
  });
  if (open.length < replacing.length) return record({ ...status, replacing: open }, []);
  const doomed = pods.filter((pod) => open.includes(`${pod.name}/${pod.uid}`));
  const steps = deletions(doomed, seen);
  if (steps.length > 0) return act(status, steps, 1000);
  return undefined;
}

/** Once when checkpoints cannot be written any more, once when they can again; the condition says which was told last. */
function tellCheckpoints({ report }: Seen, status: LeptonJobStatus): Plan | undefined {
  if (!report?.checkpoint) return undefined;
  const { step, failing = '' } = report.checkpoint;
  const told = isTrue(status, 'CheckpointFailing');
  if (told === (failing !== '')) return undefined;
  const event: JobEvent = told
    ? { type: 'Normal', reason: 'CheckpointWritten', message: `a checkpoint of step ${step} is written` }
    : {
        type: 'Warning',
        reason: 'CheckpointFailing',
        message: `${failing}; the newest checkpoint is that of step ${step}`,
      };
  return record(status, [event]);
}

/** What is missing: children, the gang, and every pod whose place is not taken. */
function assemble(seen: Seen, status: LeptonJobStatus): Plan {
  const { job, pods, missing, nowMs } = seen;
  const children = missing.map((child): Step => ({ kind: 'createChild', child }));
  const gathering = gather(seen, status);
  if (gathering) return withChildren(gathering, children);
  const waitMs = timeOf(status.backOffUntil, nowMs) - nowMs;
  if (waitMs > 0) return act(status, children, waitMs);
  const taken = new Set(pods.map(({ name }) => name));
  const places = placesOf(job.spec.parameterServer.replicas, placedWorkers(seen, status));
  const newcomers = places
    .filter(({ role, rank }) => !taken.has(podName(job.metadata.name, role, rank)))
    .map(({ role, rank }): Step => ({ kind: 'createPod', role, rank, attempt: status.attempt ?? 0 }));
  const changing = [...children, ...steer(seen, status)];
  const wakeInMs = changing.length > 0 || status.resizing ? 1000 : undefined;
  if (newcomers.length > 0)
    return withChildren(hold(seen, status) ?? act(status, newcomers, wakeInMs), changing);
  if (wakeInMs !== undefined) return act(status, changing, wakeInMs);
  if (!status.assembled) return record({ ...status, assembled: true }, []);
  return act(status, [], deadlineInMs(job.spec.activeDeadlineSeconds, status, nowMs));
}

function withChildren(plan: Plan, children: readonly Step[]): Plan {
  return plan.kind === 'act' ? { ...plan, steps: [...children, ...plan.steps] } : plan;
}

// --- parts of decisions ---

/** A pod failed, sits on a lost node, runs and is no good all the same, or was there and is not any more. */
function failedPods(seen: Seen, status: LeptonJobStatus): Failure[] {
  const { job, lostNodes } = seen;
  const pods = placedPods(seen, status);
  const handled = new Set(status.replacing);
  const names = new Set([...handled].map((entry) => entry.split('/')[0]));
  const found: Failure[] = [];
  for (const pod of pods) {
    if (handled.has(`${pod.name}/${pod.uid}`)) continue;
    if (pod.phase === 'Failed') found.push({ pod, end: pod.end ?? { reason: 'Error', message: 'failed' } });
    else if (pod.words?.phase === 'Left')
      found.push({ pod, end: { reason: 'Disruption', message: 'it has left, and is needed again' } });
    else if (pod.words?.phase === 'Stopped')
      found.push({ pod, end: { reason: 'Disruption', message: 'the run was stopped by somebody else' } });
    else if (pod.terminatingSinceMs !== undefined && pod.phase !== 'Succeeded')
      found.push({ pod, end: { reason: 'Disruption', message: 'the pod is being deleted' } });
    else if (pod.node !== undefined && lostNodes.has(pod.node) && pod.phase === 'Running')
      found.push({ pod, end: { reason: 'NodeLost', message: `node ${pod.node} is lost` } });
  }
  const told = new Set(found.map(({ pod }) => pod.uid));
  for (const failure of troubledPods({ ...seen, pods })) {
    const { name, uid } = failure.pod;
    if (handled.has(`${name}/${uid}`) || told.has(uid)) continue;
    told.add(uid);
    found.push(failure);
  }
  if (!status.assembled) return found;
  const taken = new Set(pods.map(({ name }) => name));
  for (const { role, rank } of placesOf(job.spec.parameterServer.replicas, status.worker?.replicas ?? 0)) {
    const name = podName(job.metadata.name, role, rank);
    if (taken.has(name) || names.has(name)) continue;
    const pod: PodView = { name, uid: '', role, rank, attempt: 0, phase: 'Failed', ready: false };
    found.push({ pod, end: { reason: 'Vanished', message: 'the pod was deleted' } });
  }
  return found;
}

function doomedBy({ action }: Verdict, pod: PodView, pods: readonly PodView[]): string[] {
  const hit = (other: PodView): boolean =>
    action === 'RestartJob' || (action === 'RestartRole' && other.role === pod.role);
  // Those that ended well believe the job done: they are needed again when somebody else goes back.
  const others = pods.filter(
    (other) => other.name !== pod.name && (hit(other) || other.phase === 'Succeeded'),
  );
  return [pod, ...others].map(({ name, uid }) => `${name}/${uid}`);
}

function failJob(
  status: LeptonJobStatus,
  nowMs: number,
  reason: string,
  message: string,
): Extract<Plan, { kind: 'record' }> {
  return record({ ...finished(status, nowMs, 'Failed', reason), message: message.slice(0, 4000) }, [
    { type: 'Warning', reason: 'Failed', message },
  ]);
}

function stoppingFor(
  status: LeptonJobStatus,
  reason: 'Suspend' | 'Deadline',
  nowMs: number,
): LeptonJobStatus {
  return { ...status, stopping: { reason, since: new Date(nowMs).toISOString() } };
}

/** No pod is left of a run that was to stop. */
function stopped(
  status: LeptonJobStatus,
  reason: 'Suspend' | 'Deadline' | 'Scale',
  workers: number,
  nowMs: number,
): [LeptonJobStatus, JobEvent[]] {
  const { stopping: _, replacing: _2, backOffUntil: _3, resizing: _5, ...rest } = status;
  const next: LeptonJobStatus = { ...rest, assembled: false };
  if (reason === 'Deadline') {
    const message = 'activeDeadlineSeconds is over';
    return [
      { ...finished(next, nowMs, 'Failed', 'DeadlineExceeded'), message },
      [{ type: 'Warning', reason: 'Failed', message }],
    ];
  }
  if (reason === 'Suspend') {
    const { activeSince: _4, ...idle } = next;
    return [
      { ...idle, phase: 'Suspended', activeSeconds: activeMs(status, nowMs) / 1000 },
      [{ type: 'Normal', reason: 'Suspended', message: 'no pod is left' }],
    ];
  }
  const attempt = (status.attempt ?? 0) + 1;
  return [
    { ...next, attempt, worker: { ...emptyRole(workers), selector: status.worker?.selector ?? '' } },
    [{ type: 'Normal', reason: 'Scaled', message: `going on with ${workers} workers` }],
  ];
}

/** What a job has from the moment it may have pods. */
function running(nowMs: number, workers: number): LeptonJobStatus {
  return { activeSince: new Date(nowMs).toISOString(), worker: emptyRole(workers), assembled: false };
}

function emptyRole(replicas: number) {
  return { replicas, ready: 0, active: 0, succeeded: 0, failed: 0, selector: '' };
}

function finished(
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

function isTrue({ conditions = [] }: LeptonJobStatus, wanted: ConditionType): boolean {
  return conditions.some(({ type, status }) => type === wanted && status === 'True');
}

export function hasBegun({ run }: LeptonJobStatus): boolean {
  return run !== undefined;
}

export function isFinished({ phase }: LeptonJobStatus): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

function placesOf(servers: number, workers: number): { role: Role; rank: number }[] {
  const places = (role: Role, count: number) => Array.from({ length: count }, (_, rank) => ({ role, rank }));
  return [...places('server', servers), ...places('worker', workers)];
}

function coordinatorOf(pods: readonly PodView[]): PodView | undefined {
  return pods.find(({ role, rank }) => role === 'server' && rank === 0);
}

function deletion({ name, uid }: PodView, force: boolean): Step {
  return { kind: 'deletePod', name, uid, force };
}

/** Each pod once; by force where it should long be gone. */
function deletions(pods: readonly PodView[], seen: Seen): Step[] {
  return pods.flatMap((pod): Step[] => {
    if (pod.terminatingSinceMs === undefined) return [deletion(pod, false)];
    return forceInMs(pod, pod.terminatingSinceMs, seen) < 0 ? [deletion(pod, true)] : [];
  });
}

/** A kubelet that lives may still be ending the process: force would leave it running without an object. */
const LIVE_NODE_FACTOR = 5;

/** Time until a pod may be removed by force; below zero from then on. */
function forceInMs({ node }: PodView, sinceMs: number, { nowMs, limits, nodes, lostNodes }: Seen): number {
  const alive = node !== undefined && nodes.has(node) && !lostNodes.has(node);
  return sinceMs + limits.forceDeleteMs * (alive ? LIVE_NODE_FACTOR : 1) - nowMs;
}

/** Nobody else says when a pod that does not end is overdue. */
function wakeForForce(seen: Seen, plan: Plan): Plan {
  if (plan.kind !== 'act') return plan;
  const due = seen.pods.flatMap((pod) =>
    pod.terminatingSinceMs === undefined ? [] : [forceInMs(pod, pod.terminatingSinceMs, seen)],
  );
  if (due.length === 0) return plan;
  const inMs = Math.max(1000, Math.min(...due) + 1);
  return { ...plan, wakeInMs: Math.min(inMs, plan.wakeInMs ?? inMs) };
}

function activeMs({ activeSeconds = 0, activeSince }: LeptonJobStatus, nowMs: number): number {
  return activeSeconds * 1000 + (activeSince === undefined ? 0 : nowMs - timeOf(activeSince, nowMs));
}

function deadlineInMs(
  seconds: number | undefined,
  status: LeptonJobStatus,
  nowMs: number,
): number | undefined {
  return seconds === undefined ? undefined : Math.max(1, seconds * 1000 - activeMs(status, nowMs));
}

function timeOf(text: string | undefined, nowMs: number): number {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? nowMs : ms;
}

function record(status: LeptonJobStatus, events: readonly JobEvent[]): Extract<Plan, { kind: 'record' }> {
  return { kind: 'record', status, events };
}

function act(status: LeptonJobStatus, steps: readonly Step[], wakeInMs?: number): Plan {
  return { kind: 'act', status, steps, ...(wakeInMs === undefined ? {} : { wakeInMs }) };
}
