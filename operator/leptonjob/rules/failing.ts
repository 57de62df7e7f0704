// What a pod that is no good costs its job: the end, or pods that are replaced. Which pods those are is told in failed-pods.ts.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import { backOffMs, type Failure, judge, type Verdict } from '../failure.ts';
import type { Plan, PodView, Seen } from '../job.ts';
import { act, record } from './decision.ts';
import { deletions } from './deleting.ts';
import { failedPods } from './failed-pods.ts';
import { finished } from './lifetime.ts';
import { placedPods } from './places.ts';

type Judged = Failure & { readonly verdict: Verdict };

/** Pods that ended without leave: those that are seen together are one setback, counted once, whatever is done about them. */
export function fail(seen: Seen, status: LeptonJobStatus): Plan | undefined {
  const { maxRestarts } = seen.job.spec;
  const failures = judged(seen, status);
  const gravest = gravestOf(failures);
  if (!gravest) return undefined;
  const { pod, end, verdict } = gravest;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : '';
  const what = `${pod.name}: ${end.code ? `${end.code}: ` : ''}${end.message}${more}`;
  if (verdict.action === 'FailJob') return failJob(status, seen.nowMs, end.code ?? 'PodFailed', what);
  const restarts = (status.restarts ?? 0) + (verdict.counts ? 1 : 0);
  if (restarts > maxRestarts)
    return failJob(status, seen.nowMs, 'RestartLimit', `maxRestarts (${maxRestarts}) is used up; ${what}`);
  const next = restarting(seen, status, failures, { counts: verdict.counts, restarts });
  const type = verdict.counts ? 'Warning' : 'Normal';
  const plan = record({ ...next, message: what.slice(0, 4000) }, [
    { type, reason: 'Restarting', message: `${verdict.action}: ${what}` },
  ]);
  const absent = failures.find((failure) => failure.end.reason === 'Vanished')?.pod;
  return { ...plan, restarted: { role: pod.role, reason: end.reason }, ...(absent ? { absent } : {}) };
}

function judged(seen: Seen, status: LeptonJobStatus): Judged[] {
  const { rules } = seen.job.spec.failurePolicy;
  return failedPods(seen, status).map(({ pod, end }) => ({
    pod,
    end,
    verdict: judge(pod, end, rules, seen.nodes.get(pod.node ?? '')),
  }));
}

/** What is told is the gravest: the end of the job, else what counts. */
function gravestOf(failures: readonly Judged[]): Judged | undefined {
  return (
    failures.find(({ verdict }) => verdict.action === 'FailJob') ??
    failures.find(({ verdict }) => verdict.counts) ??
    failures[0]
  );
}

/** The next attempt: who is replaced, how long that waits, which nodes are left. */
function restarting(
  seen: Seen,
  status: LeptonJobStatus,
  failures: readonly Judged[],
  { counts, restarts }: { readonly counts: boolean; readonly restarts: number },
): LeptonJobStatus {
  const pods = placedPods(seen, status);
  const doomed = failures.flatMap(({ verdict, pod }) => doomedBy(verdict, pod, pods));
  const backOffUntil = new Date(seen.nowMs + backOffMs(restarts)).toISOString();
  return {
    ...status,
    restarts,
    attempt: (status.attempt ?? 0) + 1,
    replacing: [...new Set([...(status.replacing ?? []), ...doomed])],
    ...(counts ? { backOffUntil } : {}),
    ...excluding(status, failures),
  };
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

function doomedBy({ action }: Verdict, pod: PodView, pods: readonly PodView[]): string[] {
  const hit = (other: PodView): boolean =>
    action === 'RestartJob' || (action === 'RestartRole' && other.role === pod.role);
  // Those that ended well believe the job done: they are needed again when somebody else goes back.
  const others = pods.filter(
    (other) => other.name !== pod.name && (hit(other) || other.phase === 'Succeeded'),
  );
  return [pod, ...others].map(({ name, uid }) => `${name}/${uid}`);
}

/** Nodes that a rule wants to be left from now on. */
function excluding(
  { excludedNodes = [] }: LeptonJobStatus,
  failures: readonly Judged[],
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
export function replace(seen: Seen, status: LeptonJobStatus): Plan | undefined {
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
