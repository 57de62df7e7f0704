// Histograms of the phases of steps: from what coordinators tell, true or not, to what Prometheus reads.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { registerJobMetrics } from '../../../operator/job-metrics.ts';
import type { LeptonJobObject } from '../../../operator/leptonjob/job.ts';
import { PhaseTotals } from '../../../operator/leptonjob/phase-totals.ts';
import { type Heard, reportOf } from '../../../operator/leptonjob/report.ts';
import { BOUNDS, type PhaseTimes } from '../../../protos/phases.ts';

const NAME = 'leptonjob_step_phase_seconds';
const HEARD: Heard = {
  phase: 'Running',
  step: 1,
  steps: 10,
  epoch: 1,
  samplesPerSecond: 1,
  metrics: {},
  evaluation: {},
};

/** Steps by upper bound of their bucket; those of Infinity are above all bounds. */
function times(phase: string, steps: ReadonlyMap<number, number>, seconds: number): PhaseTimes {
  return { phase, counts: [...BOUNDS, Infinity].map((bound) => steps.get(bound) ?? 0), seconds };
}
const quick = (steps: number, phase = 'compute'): PhaseTimes =>
  times(phase, new Map([[0.001, steps]]), steps / 1024);

const phasesOf = (workerPhases: readonly PhaseTimes[], serverPhases: readonly PhaseTimes[] = []) =>
  reportOf({ ...HEARD, workerPhases, serverPhases }, 0).phases ?? [];

/** Value by series, as a scrape has it. */
async function scrape(jobs: Readonly<Record<string, readonly PhaseTimes[]>>): Promise<Map<string, number>> {
  const registry = new Registry();
  const objects = Object.keys(jobs).map(
    (name) => ({ metadata: { namespace: 'team', name, uid: name } }) as LeptonJobObject,
  );
  const none = (() => {}) as never;
  registerJobMetrics(registry, none, {
    jobs: () => objects,
    phases: ({ metadata }) => jobs[metadata.name] ?? [],
  });
  const text = await registry.metrics();
  assert.ok(text.startsWith(`# HELP ${NAME} `) && text.includes(`# TYPE ${NAME} histogram\n`), text);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

test('buckets are cumulative, the last one holds all, and labels are namespace, name and phase', async () => {
  const told = times(
    'compute',
    new Map([
      [0.001, 3],
      [0.25, 2],
      [Infinity, 1],
    ]),
    70.5,
  );
  const series = await scrape({ job: [told] });
  const labels = 'namespace="team",name="job",phase="compute"';
  const bucket = (le: string) => series.get(`${NAME}_bucket{${labels},le="${le}"}`);
  assert.deepEqual(['0.0005', '0.001', '0.1', '0.25', '60', '+Inf'].map(bucket), [0, 3, 3, 5, 5, 6]);
  assert.deepEqual([series.get(`${NAME}_sum{${labels}}`), series.get(`${NAME}_count{${labels}}`)], [70.5, 6]);
  assert.equal(series.size, BOUNDS.length + 3);
});

test('the phases of a step and no others, each once, whatever is told', () => {
  const told = ['compute', 'encode', 'push', 'wait', 'pull', 'update', 'data', 'step', 'invented', 'compute'];
  const all = told.map((phase, at) => quick(at + 1, phase));
  const phases = phasesOf(all, all);
  assert.deepEqual(
    phases.map(({ phase, counts }) => [phase, counts[BOUNDS.indexOf(0.001)]]),
    [
      ['compute', 1],
      ['encode', 2],
      ['push', 3],
      ['wait', 4],
      ['pull', 5],
      ['update', 6],
    ],
  );
});

test('buckets of another version are not taken for ours', () => {
  const { counts, ...rest } = quick(5);
  assert.deepEqual(phasesOf([{ ...rest, counts: counts.slice(1) }]), []);
  assert.deepEqual(phasesOf([{ ...rest, counts: [...counts, 1] }]), []);
  assert.deepEqual(phasesOf([{ ...rest, counts: [] }]), []);
});

for (const lie of [Number.NaN, -5, 0.5, 1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  test(`counts and seconds of ${lie}: what is scraped are numbers of a histogram that never falls`, async () => {
    const totals = new PhaseTotals();
    let before = new Map<string, number>();
    const lying = { phase: 'compute', counts: BOUNDS.map(() => lie).concat(lie), seconds: lie };
    for (const told of [quick(3), lying, quick(2), lying, quick(1)]) {
      totals.heard(phasesOf([told]));
      const series = await scrape({ job: totals.times() });
      let last = 0;
      for (const [line, value] of series) {
        assert.ok(Number.isFinite(value) && value >= (before.get(line) ?? 0), `${line} ${value}`);
        if (line.includes('_bucket')) assert.ok(value >= last, `${line} ${value} after ${last}`);
        if (line.includes('_bucket')) last = value;
        if (line.includes('_count')) assert.equal(value, last);
      }
      before = series;
    }
  });

test('a coordinator that begins anew is added to the one before', () => {
  const totals = new PhaseTotals();
  for (const steps of [3, 5, 5, 1, 4]) totals.heard([quick(steps), quick(steps, 'wait')]);
  assert.deepEqual(totals.times(), [quick(9), quick(9, 'wait')]);
  totals.heard([]); // another one, before its first step
  totals.heard([quick(2)]);
  assert.deepEqual(
    totals.times().map(({ phase, counts }) => [phase, counts[BOUNDS.indexOf(0.001)]]),
    [
      ['wait', 9],
      ['compute', 11],
    ],
  );
});

test('a sum that falls by a rounding is no coordinator that begins anew', () => {
  const totals = new PhaseTotals();
  totals.heard([{ ...quick(5), seconds: 0.30000000000000004 }]);
  totals.heard([{ ...quick(5), seconds: 0.3 }]);
  assert.deepEqual(totals.times(), [{ ...quick(5), seconds: 0.30000000000000004 }]);
});
