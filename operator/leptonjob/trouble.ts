// Pods that run and are no good all the same: on a sick node, not heard, or holding everybody up. Judged by what is heard now of the
// very processes that run now: never of one that starts, loads, evaluates or writes a checkpoint. Pure.
import { type Failure, fits } from './failure.ts';
import { hostsServer, isCoordinator } from './hosting.ts';
import type { PodEnd, PodView, Seen, Waits } from './job.ts';
import type { Role } from './names.ts';

/** The coordinator speaks four times a second: what it said before a longer silence may be true no more. */
const FRESH_MS = 5000;
/** Ranges of ranks that a message names. */
const NAMED = 8;

export function troubledPods(seen: Seen): Failure[] {
  const running = seen.pods.filter(
    ({ phase, terminatingSinceMs }) => phase === 'Running' && terminatingSinceMs === undefined,
  );
  return [
    ...onSickNodes(seen, running),
    ...silentCoordinator(seen, running),
    ...silentWorkers(seen, running),
    ...stalled(seen, running),
  ];
}

/** Only where a rule asks for it: conditions mean what their makers want. */
function onSickNodes({ job, nodes }: Seen, running: readonly PodView[]): Failure[] {
  const rules = job.spec.failurePolicy.rules.filter(({ nodeConditions }) => nodeConditions);
  if (rules.length === 0) return [];
  return running.flatMap((pod): Failure[] => {
    const conditions = nodes.get(pod.node ?? '') ?? [];
    const end: PodEnd = {
      reason: 'NodeUnhealthy',
      message: `node ${pod.node} has ${conditions.join(', ')}`,
    };
    return rules.some((rule) => fits(rule, pod, end, conditions)) ? [{ pod, end }] : [];
  });
}

function silentCoordinator({ job, silenceMs, limits, nodes }: Seen, running: readonly PodView[]): Failure[] {
  if (silenceMs === undefined || silenceMs < limits.heartbeatMs) return [];
  return running
    .filter((pod) => isCoordinator(job, pod) && pod.ready)
    .map((pod) => ({ pod, end: silence(pod, silenceMs, 'the operator', nodes) }));
}

function silentWorkers(seen: Seen, running: readonly PodView[]): Failure[] {
  const { limits, nodes } = seen;
  return (freshWaits(seen)?.silent ?? []).flatMap(({ rank, attempt, seconds }): Failure[] => {
    const pod = podOf(running, 'worker', rank, attempt);
    if (!pod || seconds * 1000 < limits.heartbeatMs) return [];
    return [{ pod, end: silence(pod, seconds * 1000, 'the coordinator', nodes) }];
  });
}

/** A process that is not heard, on a node that is not ready either: it is the node that is lost. */
function silence({ node }: PodView, ms: number, by: string, nodes: Seen['nodes']): PodEnd {
  const message = `not heard by ${by} for ${Math.round(ms / 1000)} s`;
  const lost = node !== undefined && nodes.get(node)?.includes('NotReady');
  return lost
    ? { reason: 'NodeLost', message: `${message}, and node ${node} is not ready` }
    : { reason: 'LostHeartbeat', message };
}

/** The culprits are those that have not done their share and wait for nobody; where all of them wait, it is for the servers. */
function stalled(seen: Seen, running: readonly PodView[]): Failure[] {
  const waits = freshWaits(seen);
  if (!waits || seen.report?.phase !== 'Running') return [];
  if (waits.awaited.length === 0 || waits.standingSeconds * 1000 < seen.limits.stallMs) return [];
  const awaited = waits.awaited.map(({ rank, attempt }) => podOf(running, 'worker', rank, attempt));
  // Somebody who is replaced already, or has yet to join.
  if (awaited.includes(undefined)) return [];
  const end: PodEnd = {
    reason: 'Stalled',
    message: `step ${seen.report.step} has stood for ${Math.round(waits.standingSeconds)} s: ${whoWaits(seen, waits)}`,
  };
  const slow = slowOf(waits);
  return running
    .filter((pod) =>
      slow.length > 0 ? pod.role === 'worker' && slow.includes(pod.rank) : hostsServer(seen.job, pod),
    )
    .map((pod) => ({ pod, end }));
}

function slowOf({ awaited }: Waits): number[] {
  return awaited.filter(({ waiting }) => !waiting).map(({ rank }) => rank);
}

/** Who waits for whom in the step in progress, in words. */
export function whoWaits({ pods }: Pick<Seen, 'pods'>, waits: Waits): string {
  const slow = slowOf(waits);
  if (slow.length === 0) return 'all workers wait for the parameter servers';
  const ranks = pods.flatMap(({ role, rank }) => (role === 'worker' ? [rank] : []));
  const others = ranks.filter((rank) => !slow.includes(rank));
  return others.length === 0
    ? `everybody waits for ${workersText(slow)}`
    : `${workersText(others)} ${others.length === 1 ? 'waits' : 'wait'} for ${workersText(slow)}`;
}

/** `workers 0-3, 7`. */
export function workersText(ranks: readonly number[]): string {
  const ranges: [from: number, to: number][] = [];
  for (const rank of ranks.toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && rank === last[1] + 1) last[1] = rank;
    else ranges.push([rank, rank]);
  }
  const named = ranges.slice(0, NAMED).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  const more = ranges.length > NAMED ? ' and others' : '';
  return `${ranks.length === 1 ? 'worker' : 'workers'} ${named.join(', ')}${more}`;
}

function freshWaits({ report, silenceMs }: Seen): Waits | undefined {
  return silenceMs !== undefined && silenceMs < FRESH_MS ? (report?.waits ?? undefined) : undefined;
}

/** The process that was told of, not its replacement. */
function podOf(running: readonly PodView[], role: Role, rank: number, attempt: number): PodView | undefined {
  return running.find((pod) => pod.role === role && pod.rank === rank && pod.attempt === attempt);
}
