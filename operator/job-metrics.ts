// Series with the name of a job: made at scrape time from what is known of it, so that they go with it.
import type { Gauge, Registry } from 'prom-client';
import { BOUNDS, type PhaseTimes } from '../protos/phases.ts';
import type { LeptonJobObject } from './leptonjob/job.ts';
import { ToldHistogram, type ToldSeries } from './told-histogram.ts';

export interface JobMetricsSources {
  readonly jobs: () => Iterable<LeptonJobObject>;
  /** What the coordinators of a job have told of the phases of its steps. */
  readonly phases: (job: LeptonJobObject) => readonly PhaseTimes[];
}

/** A gauge that is emptied, then filled by `collect` at each scrape. */
type GaugeAtScrape = (
  name: string,
  help: string,
  labelNames: string[],
  collect: (self: Gauge) => void,
) => Gauge;

const PHASES = ['Pending', 'Suspended', 'Starting', 'Running', 'Restarting', 'Succeeded', 'Failed'] as const;

export function registerJobMetrics(
  registry: Registry,
  gauge: GaugeAtScrape,
  sources: JobMetricsSources,
): void {
  registerGauges(gauge, sources.jobs);
  registerStepPhases(registry, sources);
}

function registerGauges(gauge: GaugeAtScrape, jobs: JobMetricsSources['jobs']): void {
  const each = (
    name: string,
    help: string,
    more: string[],
    tell: (self: Gauge, labels: Record<string, string>, job: LeptonJobObject) => void,
  ): void => {
    gauge(name, help, ['namespace', 'name', ...more], (self) => {
      for (const job of jobs())
        tell(self, { namespace: job.metadata.namespace ?? '', name: job.metadata.name }, job);
    });
  };
  each('leptonjob_info', 'One per job', ['uid', 'phase'], (self, labels, { metadata, status }) =>
    self.set({ ...labels, uid: metadata.uid, phase: status?.phase ?? 'Pending' }, 1),
  );
  each('leptonjob_status_phase', '1 for the phase of the job', ['phase'], (self, labels, { status }) => {
    for (const phase of PHASES) self.set({ ...labels, phase }, status?.phase === phase ? 1 : 0);
  });
  each(
    'leptonjob_status_replicas',
    'Pods by role and state',
    ['role', 'state'],
    (self, labels, { status }) => {
      for (const role of ['worker', 'parameterServer'] as const)
        for (const state of ['ready', 'active', 'succeeded', 'failed'] as const)
          self.set({ ...labels, role, state }, status?.[role]?.[state] ?? 0);
    },
  );
  each('leptonjob_progress_ratio', 'Steps done of all steps', [], (self, labels, { status }) => {
    const { step = 0, steps = 0 } = status?.progress ?? {};
    if (steps > 0) self.set(labels, step / steps);
  });
  each('leptonjob_samples_per_second', 'Speed of all workers together', [], (self, labels, { status }) => {
    if (status?.progress?.samplesPerSecond !== undefined) self.set(labels, status.progress.samplesPerSecond);
  });
  each('leptonjob_checkpoint_step', 'Step of the newest checkpoint', [], (self, labels, { status }) => {
    if (status?.checkpoint) self.set(labels, status.checkpoint.step);
  });
  each('leptonjob_checkpoint_failing', '1 while checkpoints fail', [], (self, labels, { status }) => {
    const condition = status?.conditions?.find(({ type }) => type === 'CheckpointFailing');
    self.set(labels, condition?.status === 'True' ? 1 : 0);
  });
  each(
    'leptonjob_goodput_ratio',
    'Share of the active time in which training went forward',
    [],
    (self, labels, { status }) => {
      if (status?.goodput) self.set(labels, status.goodput.ratio);
    },
  );
  each('leptonjob_lost_seconds', 'Time lost, by cause', ['cause'], (self, labels, { status }) => {
    for (const [cause, seconds] of Object.entries(status?.goodput?.lostSeconds ?? {}))
      self.set({ ...labels, cause }, seconds);
  });
}

function registerStepPhases(registry: Registry, { jobs, phases }: JobMetricsSources): void {
  const histogram = new ToldHistogram({
    name: 'leptonjob_step_phase_seconds',
    help: 'What a phase takes of a step of one process, by phase',
    bounds: BOUNDS,
    *series(): Iterable<ToldSeries> {
      for (const job of jobs()) {
        const labels = { namespace: job.metadata.namespace ?? '', name: job.metadata.name };
        for (const { phase, counts, seconds } of phases(job))
          yield { labels: { ...labels, phase }, counts, sum: seconds };
      }
    },
  });
  histogram.register(registry);
}
