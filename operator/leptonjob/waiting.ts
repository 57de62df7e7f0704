// The one thing that a job waits for, in the words of whoever lets it wait. Pure.
import type { LeptonJobStatus } from '../../crds/status.ts';
import { hasNoNode } from './gang/rules.ts';
import type { Seen } from './job.ts';
import { KUEUE_QUEUE, type WaitingOn } from './names.ts';
import { whoWaits, workersText } from './trouble.ts';

export type Phase = NonNullable<LeptonJobStatus['phase']>;
export type Waiting = { readonly on: WaitingOn; readonly message: string };

/** The first of the things that a job can wait for, in the order in which they come up. */
export function waitingOf(seen: Seen, decided: LeptonJobStatus, phase: Phase): Waiting | undefined {
  if (phase === 'Succeeded' || phase === 'Failed') return undefined;
  if (phase === 'Running') {
    const stall = standing(seen);
    // Those who train wait for nothing else, except where others are to come.
    if (stall || !decided.resizing) return stall;
  }
  if (phase === 'Suspended') return suspended(seen);
  const { refusal, rejected, pods, gang, nowMs } = seen;
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
  return phase === 'Starting' ? rendezvous(seen, decided) : undefined;
}

const WORST_FIRST: readonly WaitingOn[] = [
  'Queue',
  'Unschedulable',
  'Volume',
  'ImagePull',
  'ContainerConfig',
  'ContainerCreating',
];

/** Of the time after which they are replaced, so much is a step that takes long. */
const LONG_STEP = 0.1;

function standing({ pods, report, limits }: Seen): Waiting | undefined {
  const waits = report?.waits;
  if (!waits || waits.awaited.length === 0 || report.phase !== 'Running') return undefined;
  if (waits.standingSeconds * 1000 < limits.stallMs * LONG_STEP) return undefined;
  return { on: 'Stall', message: `step ${report.step} stands: ${whoWaits({ pods }, waits)}` };
}

function suspended({ job, refusal }: Seen): Waiting | undefined {
  const queue = queueOf(job);
  if (!job.spec.suspend) return refusal;
  return queue === undefined
    ? undefined
    : { on: 'Queue', message: `queue ${queue} has not admitted the job` };
}

/** Kueue's, whose label stands on the job itself, or the gang scheduler's. */
function queueOf({ metadata, spec }: Seen['job']): string | undefined {
  return metadata.labels?.[KUEUE_QUEUE] ?? spec.scheduling.queue;
}

/** A worker that no node could take, in our words and the scheduler's. */
function lackingPod({ pods, lack }: Seen): Waiting | undefined {
  if (lack === undefined) return undefined;
  const pod = pods.find((one) => one.role === 'worker' && hasNoNode(one));
  if (!pod) return undefined;
  const scheduler =
    pod.waiting?.on === 'Unschedulable' ? `; the scheduler says of ${pod.name}: ${pod.waiting.message}` : '';
  return { on: 'Accelerators', message: `${lack}${scheduler}` };
}

/** All pods run: whom the coordinator misses, as far as it is heard. */
function rendezvous({ job, report }: Seen, decided: LeptonJobStatus): Waiting {
  const workers = decided.worker?.replicas ?? job.spec.worker.replicas;
  const absent = report?.waits?.absent ?? [];
  const said = report?.message ? `${report.message}; ` : '';
  if (!report) return { on: 'Rendezvous', message: 'the coordinator (server 0) has not been heard yet' };
  if (absent.length === 0) return { on: 'Rendezvous', message: `${said}workers load their data and join` };
  const missing =
    absent.length === workers
      ? 'no worker has joined yet'
      : `${workersText(absent)} of ${workers} ${absent.length === 1 ? 'has' : 'have'} not joined yet`;
  return { on: 'Rendezvous', message: `${said}${missing}` };
}
