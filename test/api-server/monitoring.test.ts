// The alerts by promtool, the metrics by a real Prometheus that scrapes an operator at work, the dashboard's queries by the same.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { BOUNDS, type PhaseTimes } from '../../protos/phases.ts';
import { freePorts } from '../../worker/launch/ports.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { Daemon, until } from '../cluster/daemon.ts';
import { installCrd } from '../cluster/install-crd.ts';
import { Fleet } from './fleet.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const RULES = join(ROOT, 'charts/lepton/files/alerts.yaml');

let plane: ControlPlane;
let fleet: Fleet;
let folder: string;
let prometheus: Daemon;
let url: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-monitoring-'));
  plane = await startControlPlane({ with: ['kube-controller-manager', 'promtool', 'prometheus'] });
  await installCrd(plane.api);
  fleet = await Fleet.start(plane);
  const [port] = (await freePorts(1)) as [number];
  url = `http://127.0.0.1:${port}`;
  const config = {
    global: { scrape_interval: '1s' },
    rule_files: [RULES],
    scrape_configs: [
      {
        job_name: 'lepton',
        honor_labels: true,
        static_configs: [{ targets: [`127.0.0.1:${fleet.operator!.addresses.metrics}`] }],
      },
    ],
  };
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
  prometheus = new Daemon({
    name: 'prometheus',
    command: [
      join(plane.programs, 'prometheus'),
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    logFile: join(folder, 'prometheus.log'),
  });
});
after(async () => {
  await prometheus?.stop();
  await fleet?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data: {
    readonly result: readonly { readonly metric: Record<string, string>; readonly value: [number, string] }[];
  };
}

async function query(expression: string): Promise<Answer> {
  const answer = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(expression)}`);
  return (await answer.json()) as Answer;
}

test('every alert is well formed and has a test', async () => {
  await run(join(plane.programs, 'promtool'), ['check', 'rules', '--lint-fatal', RULES]);
  const tests = await readFile(join(ROOT, 'test/monitoring/alerts.yaml'), 'utf8');
  const { groups } = parse(readFileSync(RULES, 'utf8')) as { groups: { rules: { alert: string }[] }[] };
  for (const { alert } of groups.flatMap(({ rules }) => rules))
    assert.match(tests, new RegExp(`alertname: ${alert}\\b`));
});

test('the alerts fire when they should', async () => {
  const text = await readFile(join(ROOT, 'test/monitoring/alerts.yaml'), 'utf8');
  const file = join(folder, 'alerts.test.yaml');
  await writeFile(file, text.replace('RULES', RULES));
  const { stdout } = await run(join(plane.programs, 'promtool'), ['test', 'rules', file]).catch(
    (error: { stdout: string }) => assert.fail(error.stdout),
  );
  assert.match(stdout, /SUCCESS/);
});

const valueIs = (expression: string, expected: string) =>
  until(
    `${expression} is ${expected}`,
    20_000,
    async () => {
      const { data } = await query(expression);
      return data.result[0]?.value[1] === expected || undefined;
    },
    prometheus,
  );

const scraped = async (): Promise<string> =>
  await (await fetch(`http://127.0.0.1:${fleet.operator!.addresses.metrics}/metrics`)).text();

test('a job’s life as Prometheus sees it', { timeout: 120_000 }, async () => {
  await fleet.submit('seen');
  await fleet.run('seen', { phase: 'Running', step: 40, samplesPerSecond: 1234 });
  await fleet.phase('seen', 'Running');
  const labels = `{namespace="${fleet.namespace}",name="seen"}`;
  await valueIs(`leptonjob_progress_ratio${labels}`, '0.4');
  await valueIs(`leptonjob_samples_per_second${labels}`, '1234');
  await valueIs(`leptonjob_status_phase{namespace="${fleet.namespace}",name="seen",phase="Running"}`, '1');
  await valueIs(`sum(leptonjob_jobs_created_total)`, '1');
  await valueIs('leptonjob_time_to_admission_seconds_count', '1');
  await valueIs('controller_runtime_max_concurrent_reconciles{controller="leptonjob"}', '16');
  await valueIs('workqueue_adds_total{name="leptonjob"} > bool 3', '1');
  await valueIs(
    'workqueue_queue_duration_seconds_count == bool on (name) workqueue_work_duration_seconds_count',
    '1',
  );
  const worker = (await fleet.pods('seen')).find(({ metadata }) => metadata.name === 'seen-worker-1');
  await fleet.end(worker!, 137, undefined, { terminated: { reason: 'OOMKilled' } });
  await valueIs(
    `leptonjob_restarts_total{namespace="${fleet.namespace}",role="worker",reason="OutOfMemory"}`,
    '1',
  );
});

/** Steps of which the phase took between 25 and 50 ms. */
const steps = (phase: string, count: number): PhaseTimes => ({
  phase,
  counts: [...BOUNDS, Infinity].map((bound) => (bound === 0.05 ? count : 0)),
  seconds: count / 32,
});

test('phases of steps: a histogram that outlives its coordinator and goes with the job', {
  timeout: 60_000,
}, async () => {
  await fleet.submit('phased');
  await fleet.run('phased', {
    phase: 'Running',
    step: 8,
    workerPhases: [steps('compute', 16), steps('data', 16)],
    serverPhases: [steps('update', 8), steps('wait', 8)],
  });
  const of = (phase: string, more = '') =>
    `{namespace="${fleet.namespace}",name="phased",phase="${phase}"${more}}`;
  await valueIs(`leptonjob_step_phase_seconds_count${of('compute')}`, '16');
  await valueIs(`leptonjob_step_phase_seconds_sum${of('compute')}`, '0.5');
  await valueIs(`leptonjob_step_phase_seconds_bucket${of('update', ',le="0.025"')}`, '0');
  await valueIs(`leptonjob_step_phase_seconds_bucket${of('update', ',le="+Inf"')}`, '8');
  await valueIs(`count(leptonjob_step_phase_seconds_count{name="phased"})`, '2');
  const checked = spawnSync(join(plane.programs, 'promtool'), ['check', 'metrics'], {
    input: await scraped(),
  });
  assert.doesNotMatch(`${checked.stderr}${checked.stdout}`, /leptonjob_step_phase|error while/);
  const again = { workerPhases: [steps('compute', 4)], serverPhases: [] };
  fleet.coordinators.get('phased')!.say(again); // as one does that was started anew
  await valueIs(`leptonjob_step_phase_seconds_count${of('compute')}`, '20');
  await valueIs(`resets(leptonjob_step_phase_seconds_count${of('compute')}[1m])`, '0');
  const median = `histogram_quantile(0.5, rate(leptonjob_step_phase_seconds_bucket${of('compute')}[1m]))`;
  await valueIs(`abs(${median} - 0.0375) < bool 0.0001`, '1');
  await plane.api.delete(LEPTON_JOBS, { namespace: fleet.namespace, name: 'phased' });
  await valueIs('absent(leptonjob_step_phase_seconds_count{name="phased"})', '1');
});

test('every query of the dashboard is one that Prometheus answers, about series that the operator has', {
  timeout: 60_000,
}, async () => {
  const dashboard = JSON.parse(await readFile(join(ROOT, 'charts/lepton/files/dashboard.json'), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[];
  };
  const metrics = await scraped();
  for (const { title, targets } of dashboard.panels)
    for (const { expr } of targets) {
      const answer = await query(expr.replaceAll(/\$(namespace|job)\b/g, '.*'));
      assert.equal(answer.status, 'success', `${title}: ${answer.error}`);
      for (const [name] of expr.matchAll(
        /\b(leptonjob|controller_runtime|rest_client|workqueue|leader_election|process)_\w+/g,
      ))
        assert.ok(
          metrics.includes(`# TYPE ${name.replace(/_(bucket|sum|count)$/, '')} `),
          `${title}: no series ${name}`,
        );
    }
});
