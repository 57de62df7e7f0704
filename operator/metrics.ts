// The operator's metrics: counted on transitions that were written, never per pass. Names that dashboards of other operators know
// stay as they are known.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { LeptonJobStatus } from '../crds/status.ts';
import type { QueueObserver } from './controller/work-queue.ts';
import { type JobMetricsSources, registerJobMetrics } from './job-metrics.ts';
import type { LeptonJobObject, Plan } from './leptonjob/job.ts';

export interface MetricsSources extends JobMetricsSources {
  readonly version: string;
  readonly perJob: boolean;
  readonly queueDepth: () => number;
  /** Of each pass under way. */
  readonly unfinishedSeconds: () => readonly number[];
  readonly passes: () => { readonly active: number; readonly most: number };
  readonly leads: () => boolean;
  readonly reflectors: () => readonly {
    readonly kind: string;
    readonly lists: number;
    readonly watches: number;
  }[];
}

const WAITS = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
const RUNS = [10, 30, 60, 300, 900, 1800, 3600, 4 * 3600, 12 * 3600, 86_400, 7 * 86_400];
const PASSES = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
const PLANS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5];

const CONTROLLER = { controller: 'leptonjob' } as const;
const QUEUE = { name: 'leptonjob' } as const;

export class OperatorMetrics {
  readonly registry = new Registry();
  readonly queue: QueueObserver;
  readonly #created: Counter;
  readonly #completed: Counter;
  readonly #failed: Counter;
  readonly #restarts: Counter;
  readonly #timeToAdmission: Histogram;
  readonly #timeToRunning: Histogram;
  readonly #lostSeconds: Counter;
  readonly #recovery: Histogram;
  readonly #runSeconds: Histogram;
  readonly #passes: Counter;
  readonly #passErrors: Counter;
  readonly #passSeconds: Histogram;
  readonly #planSeconds: Histogram;
  readonly #requests: Counter;
  readonly #requestSeconds: Histogram;
  /** UID -> when the job was set back. */
  readonly #setBack = new Map<string, { readonly atMs: number; readonly reason: string }>();

  constructor(sources: MetricsSources) {
    const registers = [this.registry];
    const counter = (name: string, help: string, labelNames: string[]) =>
      new Counter({ name, help, labelNames, registers });
    const histogram = (name: string, help: string, buckets: number[], labelNames: string[] = []) =>
      new Histogram({ name, help, buckets, labelNames, registers });
    collectDefaultMetrics({ register: this.registry });
    this.#created = counter('leptonjob_jobs_created_total', 'Jobs seen for the first time', ['namespace']);
    this.#completed = counter('leptonjob_jobs_completed_total', 'Jobs that succeeded', ['namespace']);
    this.#failed = counter('leptonjob_jobs_failed_total', 'Jobs that failed', ['namespace', 'reason']);
    this.#restarts = counter('leptonjob_restarts_total', 'Replacements of pods', [
      'namespace',
      'role',
      'reason',
    ]);
    this.#lostSeconds = counter('leptonjob_lost_seconds_total', 'Time that jobs lost, by cause', [
      'namespace',
      'cause',
    ]);
    this.#timeToAdmission = histogram(
      'leptonjob_time_to_admission_seconds',
      'From creation to the first pod: queues, quotas, gangs',
      WAITS,
    );
    this.#timeToRunning = histogram(
      'leptonjob_time_to_running_seconds',
      'From creation to the first step',
      WAITS,
    );
    this.#recovery = histogram('leptonjob_recovery_seconds', 'From a replacement to training again', WAITS, [
      'reason',
    ]);
    this.#runSeconds = histogram('leptonjob_run_seconds', 'Active time of finished jobs', RUNS, ['phase']);
    this.#passes = counter('controller_runtime_reconcile_total', 'Passes', ['controller', 'result']);
    this.#passErrors = counter('controller_runtime_reconcile_errors_total', 'Passes that failed', [
      'controller',
    ]);
    this.#passSeconds = histogram('controller_runtime_reconcile_time_seconds', 'Length of passes', PASSES, [
      'controller',
    ]);
    this.#planSeconds = histogram(
      'leptonjob_plan_seconds',
      'The part of a pass that reads the stores and decides, without waiting',
      PLANS,
    );
    this.#requests = counter('rest_client_requests_total', 'Requests to the API server', ['method', 'code']);
    this.#requestSeconds = histogram('rest_client_request_duration_seconds', 'Length of requests', PASSES, [
      'verb',
    ]);
    this.#gauges(sources);
    this.queue = queueObserver(counter, histogram);
  }

  pass({ seconds, result }: { seconds: number; result: string }): void {
    this.#passes.inc({ ...CONTROLLER, result });
    if (result === 'error') this.#passErrors.inc(CONTROLLER);
    this.#passSeconds.observe(CONTROLLER, seconds);
  }

  planned(seconds: number): void {
    this.#planSeconds.observe(seconds);
  }

  request({ verb, status, seconds }: { verb: string; status: number; seconds: number }): void {
    this.#requests.inc({ method: verb, code: status === 0 ? '<error>' : String(status) });
    this.#requestSeconds.observe({ verb }, seconds);
  }

  /** A status went through. */
  written({ metadata }: LeptonJobObject, before: LeptonJobStatus | undefined, plan: Plan): void {
    const namespace = metadata.namespace ?? '';
    const { status } = plan;
    const nowMs = Date.now();
    if (before?.run === undefined && status.run !== undefined) this.#created.inc({ namespace });
    if (plan.kind === 'record' && plan.restarted) {
      this.#restarts.inc({ namespace, ...plan.restarted });
      this.#setBack.set(metadata.uid, { atMs: nowMs, reason: plan.restarted.reason });
    }
    this.#lost(namespace, before, status);
    const { creationTimestamp } = metadata;
    if (before?.startTime === undefined && status.startTime !== undefined && creationTimestamp !== undefined)
      this.#timeToAdmission.observe(
        Math.max(0, Date.parse(status.startTime) - Date.parse(creationTimestamp)) / 1000,
      );
    if (before?.phase === status.phase) return;
    if (status.phase === 'Running') this.#running(metadata, before, nowMs);
    if (status.phase === 'Succeeded') this.#completed.inc({ namespace });
    if (status.phase === 'Failed') this.#failed.inc({ namespace, reason: failureOf(status) });
    if (status.phase !== 'Succeeded' && status.phase !== 'Failed') return;
    this.#runSeconds.observe({ phase: status.phase }, status.activeSeconds ?? 0);
    this.#setBack.delete(metadata.uid);
  }

  #lost(namespace: string, before: LeptonJobStatus | undefined, { goodput }: LeptonJobStatus): void {
    for (const [cause, seconds] of Object.entries(goodput?.lostSeconds ?? {})) {
      const more = seconds - (before?.goodput?.lostSeconds[cause] ?? 0);
      if (more > 0) this.#lostSeconds.inc({ namespace, cause }, more);
    }
  }

  #running(
    { uid, creationTimestamp }: LeptonJobObject['metadata'],
    before: LeptonJobStatus | undefined,
    nowMs: number,
  ): void {
    const setBack = this.#setBack.get(uid);
    this.#setBack.delete(uid);
    if (setBack) this.#recovery.observe({ reason: setBack.reason }, (nowMs - setBack.atMs) / 1000);
    else if ((before?.attempt ?? 0) === 0 && creationTimestamp !== undefined)
      this.#timeToRunning.observe(Math.max(0, nowMs - Date.parse(creationTimestamp)) / 1000);
  }

  /** Made at scrape time from what is known, so that nothing stays of a job that is gone. */
  #gauges(sources: MetricsSources): void {
    const { version, perJob, jobs, queueDepth, leads, reflectors, passes, unfinishedSeconds } = sources;
    const gauge = (name: string, help: string, labelNames: string[], collect: (self: Gauge) => void) =>
      new Gauge({
        name,
        help,
        labelNames,
        registers: [this.registry],
        collect() {
          this.reset();
          collect(this);
        },
      });
    gauge('leptonjob_build_info', 'Version of the operator', ['version'], (self) => self.set({ version }, 1));
    gauge('leader_election_master_status', '1 where this process leads', ['name'], (self) =>
      self.set({ name: 'lepton-operator' }, leads() ? 1 : 0),
    );
    gauge('workqueue_depth', 'Jobs that wait for a pass', ['name'], (self) => self.set(QUEUE, queueDepth()));
    gauge('workqueue_unfinished_work_seconds', 'Length so far of all passes under way', ['name'], (self) =>
      self.set(
        QUEUE,
        unfinishedSeconds().reduce((sum, seconds) => sum + seconds, 0),
      ),
    );
    gauge(
      'workqueue_longest_running_processor_seconds',
      'Length so far of the longest pass under way',
      ['name'],
      (self) => self.set(QUEUE, Math.max(0, ...unfinishedSeconds())),
    );
    gauge('controller_runtime_active_workers', 'Passes under way', ['controller'], (self) =>
      self.set(CONTROLLER, passes().active),
    );
    gauge('controller_runtime_max_concurrent_reconciles', 'Most passes at once', ['controller'], (self) =>
      self.set(CONTROLLER, passes().most),
    );
    gauge('reflector_lists', 'Lists since the start', ['kind'], (self) => {
      for (const { kind, lists } of reflectors()) self.inc({ kind }, lists);
    });
    gauge('reflector_watches', 'Watches since the start', ['kind'], (self) => {
      for (const { kind, watches } of reflectors()) self.inc({ kind }, watches);
    });
    gauge('leptonjob_jobs', 'Jobs by phase', ['namespace', 'phase'], (self) => {
      for (const { metadata, status } of jobs())
        self.inc({ namespace: metadata.namespace ?? '', phase: status?.phase ?? 'Pending' });
    });
    if (perJob) registerJobMetrics(this.registry, gauge, sources);
  }
}

/** After client-go's util/workqueue/metrics.go. */
function queueObserver(
  counter: (name: string, help: string, labelNames: string[]) => Counter,
  histogram: (name: string, help: string, buckets: number[], labelNames: string[]) => Histogram,
): QueueObserver {
  const adds = counter('workqueue_adds_total', 'Jobs that were put up for a pass', ['name']);
  const retries = counter('workqueue_retries_total', 'Jobs put up again after a failed pass', ['name']);
  const queued = histogram('workqueue_queue_duration_seconds', 'Time until the pass begins', PASSES, [
    'name',
  ]);
  const worked = histogram('workqueue_work_duration_seconds', 'Length of passes', PASSES, ['name']);
  return {
    added: () => adds.inc(QUEUE),
    retried: () => retries.inc(QUEUE),
    waited: (seconds) => queued.observe(QUEUE, seconds),
    worked: (seconds) => worked.observe(QUEUE, seconds),
  };
}

function failureOf({ conditions = [] }: LeptonJobStatus): string {
  return conditions.find(({ type }) => type === 'Failed')?.reason ?? 'Failed';
}
