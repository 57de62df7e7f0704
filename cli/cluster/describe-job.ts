// What there is to say of a job on a cluster, as lines of text. Pure.
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { renderTable } from '../render/table.ts';

export interface EventObject {
  readonly metadata: { readonly name: string };
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string;
  readonly series?: { readonly count: number };
}

const EVENTS_SHOWN = 12;

export function describeJob(
  job: LeptonJobObject,
  pods: readonly Pod[],
  events: readonly EventObject[],
  nowMs: number,
): string[] {
  const { metadata, status = {}, spec } = job;
  const { progress, goodput, waiting, output } = status;
  const facts: [string, string | undefined][] = [
    ['Job', `${metadata.namespace}/${metadata.name}`],
    [
      'Phase',
      `${status.phase ?? 'Pending'}${status.restarts ? `, ${status.restarts} of ${spec.maxRestarts} restarts used` : ''}`,
    ],
    ['Waiting', waiting && `on ${waiting.on} for ${age(waiting.since, nowMs)}: ${waiting.message}`],
    ['Message', status.message],
    ['Workers', status.worker && `${status.worker.ready} of ${status.worker.replicas} ready`],
    [
      'Servers',
      status.parameterServer && `${status.parameterServer.ready} of ${status.parameterServer.replicas} ready`,
    ],
    ['Progress', progress && progressText(progress)],
    ['Measured', progress && numbers(progress.evaluation ?? {})],
    ['Goodput', goodput && `${(goodput.ratio * 100).toFixed(1)} %${lost(goodput.lostSeconds)}`],
    ['Results', output && `${output.uri}  ${numbers(output.metrics)}`],
    ['Started', status.startTime],
    ['Ended', status.completionTime],
  ];
  const lines = facts.flatMap(([name, text]) => (text ? [`${`${name}:`.padEnd(10)} ${text}`] : []));
  return [...lines, ...podLines(pods, nowMs), ...eventLines(events, nowMs)];
}

export function listJobs(jobs: readonly LeptonJobObject[], nowMs: number, withNamespace: boolean): string[] {
  const columns = [
    ...(withNamespace ? [{ title: 'NAMESPACE' }] : []),
    { title: 'NAME' },
    { title: 'PHASE' },
    { title: 'READY', align: 'right' as const },
    { title: 'STEP', align: 'right' as const },
    { title: 'LOSS', align: 'right' as const },
    { title: 'SAMPLES/S', align: 'right' as const },
    { title: 'AGE', align: 'right' as const },
    { title: 'WAITING' },
  ];
  const rows = jobs.map(({ metadata, spec, status = {} }) => [
    ...(withNamespace ? [metadata.namespace ?? ''] : []),
    metadata.name,
    status.phase ?? 'Pending',
    `${status.worker?.ready ?? 0}/${spec.worker.replicas}`,
    status.progress ? `${status.progress.step}/${status.progress.steps}` : '-',
    status.progress?.loss === undefined ? '-' : String(status.progress.loss),
    status.progress?.samplesPerSecond === undefined
      ? '-'
      : String(Math.round(status.progress.samplesPerSecond)),
    age(metadata.creationTimestamp, nowMs),
    status.waiting?.on ?? '',
  ]);
  return renderTable(columns, rows);
}

function progressText({
  step,
  steps,
  epoch,
  samplesPerSecond,
  remainingSeconds,
  loss,
  metrics,
}: NonNullable<NonNullable<LeptonJobObject['status']>['progress']>): string {
  const share = steps > 0 ? ` (${((100 * step) / steps).toFixed(1)} %)` : '';
  const rest = remainingSeconds === undefined ? '' : `, ${duration(remainingSeconds * 1000)} left`;
  const means = { ...(loss === undefined ? {} : { loss }), ...metrics };
  return `step ${step} of ${steps}${share}, epoch ${epoch}, ${Math.round(samplesPerSecond ?? 0)} samples/s${rest}; ${numbers(means)}`;
}

function podLines(pods: readonly Pod[], nowMs: number): string[] {
  if (pods.length === 0) return [];
  const columns = [
    { title: 'POD' },
    { title: 'STATUS' },
    { title: 'ATTEMPT', align: 'right' as const },
    { title: 'NODE' },
    { title: 'AGE', align: 'right' as const },
  ];
  const rows = pods.map(({ metadata, spec, status }) => [
    metadata.name,
    metadata.deletionTimestamp === undefined ? (status?.phase ?? '') : 'Terminating',
    metadata.labels?.[LABELS.attempt] ?? '',
    spec?.nodeName ?? '-',
    age(metadata.creationTimestamp, nowMs),
  ]);
  return ['', ...renderTable(columns, rows)];
}

function eventLines(events: readonly EventObject[], nowMs: number): string[] {
  if (events.length === 0) return [];
  const newest = [...events]
    .sort((a, b) => ((a.eventTime ?? '') < (b.eventTime ?? '') ? -1 : 1))
    .slice(-EVENTS_SHOWN);
  const rows = newest.map(({ eventTime, type, reason, note, series }) => [
    age(eventTime, nowMs),
    type ?? '',
    reason ?? '',
    `${note ?? ''}${series ? ` (${series.count} times)` : ''}`,
  ]);
  return [
    '',
    ...renderTable(
      [{ title: 'AGE', align: 'right' }, { title: 'TYPE' }, { title: 'REASON' }, { title: 'MESSAGE' }],
      rows,
    ),
  ];
}

function numbers(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${Number(value.toPrecision(5))}`)
    .join(', ');
}

function lost(lostSeconds: Readonly<Record<string, number>>): string {
  const parts = Object.entries(lostSeconds).filter(([, seconds]) => seconds > 0);
  return parts.length === 0
    ? ''
    : `, lost: ${parts.map(([cause, seconds]) => `${cause} ${duration(seconds * 1000)}`).join(', ')}`;
}

function age(time: string | undefined, nowMs: number): string {
  return time === undefined ? '-' : duration(Math.max(0, nowMs - Date.parse(time)));
}

/** As kubectl writes them: 45s, 12m, 3h20m, 5d. */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h${minutes % 60 === 0 ? '' : `${minutes % 60}m`}`;
  return `${Math.floor(hours / 24)}d`;
}
