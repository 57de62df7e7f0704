// The operator at scale, on a real API server with kwok's nodes: pods per second, requests per pod and job, processor time, memory,
// recovery, restart; beside the Job controller of Kubernetes, with the same driver and the same pods, and beside clients that do
// nothing but create them: what the API server allows. In a network of its own.
//   test/cluster/cluster.sh node bench/operator.ts [--jobs 1000] [--other FILE.yaml]
import { parseArgs } from 'node:util';
import { type KubeObject, PODS } from '../operator/kube/objects.ts';
import { BenchCluster, forEach, usageOf } from './operator-cluster.ts';
import { BatchSubject, foreignSubject, LeptonSubject, type Subject } from './operator-subjects.ts';
import { compared, limited, type Row, report, type Sample, summarize } from './report.ts';

const { values } = parseArgs({
  options: { jobs: { type: 'string', default: '1000' }, other: { type: 'string' } },
});
const MANY_JOBS = Number(values.jobs);
const one = (value: number): Sample => summarize([value]);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Measured {
  readonly existSeconds: number;
  readonly runningSeconds: number;
  readonly requests: number;
  readonly cpuSeconds: number;
}

/** So many jobs of so many pods each, from the first submission to the last pod; then what is done to them while they stand. */
async function fleetOf(
  cluster: BenchCluster,
  subject: Subject,
  jobs: number,
  pods: number,
  standing: (namespace: string) => Promise<void> = async () => {},
): Promise<Measured> {
  const namespace = `bench-${subject.name.replace(/[^a-z]+/gi, '').toLowerCase()}-${jobs}-${pods}`;
  await cluster.namespace(namespace);
  const log = (await cluster.plane.auditLog()).length;
  const before = usageOf(subject.pid);
  cluster.count();
  const startedMs = performance.now();
  await submit(cluster, subject, namespace, jobs, pods);
  const reached = await cluster.reached(jobs * pods, startedMs);
  await pause(3000); // the last statuses
  const requests = (await cluster.plane.auditLog()).slice(log).filter(subject.sent).length;
  const made = { ...reached, requests, cpuSeconds: usageOf(subject.pid).cpuSeconds - before.cpuSeconds };
  console.error(`${subject.name}, ${jobs} x ${pods}:`, JSON.stringify(made));
  await standing(namespace);
  await cluster.clear(subject.resource, namespace);
  return made;
}

/** Seconds from the deletion of all pods until as many new ones run. */
async function recoveryOf(cluster: BenchCluster, namespace: string, pods: number): Promise<number> {
  cluster.count();
  const lostMs = performance.now();
  await cluster.deletePods(namespace);
  return (await cluster.reached(pods, lostMs)).runningSeconds;
}

async function submit(
  cluster: BenchCluster,
  subject: Subject,
  namespace: string,
  jobs: number,
  pods: number,
): Promise<void> {
  const names = Array.from({ length: jobs }, (_, index) => `job-${index}`);
  await forEach(names, 16, async (name) => {
    await cluster.api.create(subject.resource, subject.manifest(name, namespace, pods));
  });
}

/** The upper edge of the bucket that holds the share; seconds. */
function quantileOf(text: string, name: string, share: number): number {
  const buckets = [...text.matchAll(new RegExp(`^${name}_bucket\\{.*?le="([^"]+)".*?\\} (\\d+)`, 'gm'))];
  const all = Number(buckets.at(-1)?.[2] ?? 0);
  const hit = buckets.find(([, , count]) => Number(count) >= share * all);
  return Number(hit?.[1] ?? Number.NaN);
}

/** Creation at 300 pods a second, or as fast as the API server takes the same pods from clients that do nothing else. */
function paceOf(what: string, pods: number, seconds: number, allowedSeconds: number): Row {
  const note = 'limit: 1 s, or what the API server takes for clients that do nothing else';
  const name = `seconds per 300 pods, ${what}`;
  return limited(
    { name, unit: 's', note },
    one((300 * seconds) / pods),
    Math.max(1, (300 * allowedSeconds) / pods),
  );
}

/** Many jobs at rest: the operator begins anew among them, and then idles. */
async function crowd(cluster: BenchCluster): Promise<Row[]> {
  const pods = 10 * MANY_JOBS;
  const what = `${MANY_JOBS} jobs, ${pods} pods`;
  await cluster.namespace('crowd');
  const { rows, existSeconds } = await arrival(cluster, what, pods);
  rows.push(...(await returnAmong(cluster)));
  const { items } = await cluster.api.list<KubeObject>(PODS, { namespace: 'crowd' });
  const plain = items.slice(0, 1000);
  const allowed = await cluster.plainly(plain, 'crowd-plain');
  rows.push(paceOf(what, pods, existSeconds, (allowed.existSeconds * pods) / plain.length));
  return rows;
}

async function arrival(
  cluster: BenchCluster,
  what: string,
  pods: number,
): Promise<{ rows: Row[]; existSeconds: number }> {
  await using subject = await LeptonSubject.start(cluster);
  cluster.count();
  const startedMs = performance.now();
  await submit(cluster, subject, 'crowd', MANY_JOBS, pods / MANY_JOBS);
  const { existSeconds } = await cluster.reached(pods, startedMs);
  await pause(20_000);
  const text = await subject.metrics();
  const rows = [
    limited({ name: `peak resident memory, ${what}`, unit: 'MiB' }, one(usageOf(subject.pid).peakMiB), 250),
    limited(
      { name: `reconcile without I/O wait, p99, ${what}`, unit: 'ms', note: 'upper edge of its bucket' },
      one(1000 * quantileOf(text, 'leptonjob_plan_seconds', 0.99)),
      50,
    ),
  ];
  return { rows, existSeconds };
}

async function returnAmong(cluster: BenchCluster): Promise<Row[]> {
  const restartMs = performance.now();
  await using subject = await LeptonSubject.start(cluster);
  while (!(await subject.ready())) await pause(20);
  while (!/controller_runtime_reconcile_total\{[^}]*\} [1-9]/.test(await subject.metrics())) await pause(20);
  const firstSeconds = (performance.now() - restartMs) / 1000;
  await pause(45_000); // lines to coordinators that never answer are asked ever more seldom
  const [before, sinceMs] = [usageOf(subject.pid), performance.now()];
  await pause(60_000);
  const after = usageOf(subject.pid);
  const share = (after.cpuSeconds - before.cpuSeconds) / ((performance.now() - sinceMs) / 1000);
  return [
    limited(
      { name: `start to first reconcile, ${MANY_JOBS} jobs present`, unit: 's' },
      one(firstSeconds),
      15,
    ),
    limited({ name: 'processor time at rest', unit: '%' }, one(100 * share), 1),
    limited(
      { name: `peak resident memory after the restart, ${MANY_JOBS} jobs`, unit: 'MiB' },
      one(after.peakMiB),
      250,
    ),
  ];
}

const rows: Row[] = [];
await using cluster = await BenchCluster.start();
await LeptonSubject.install(cluster);
for (const [jobs, pods] of [
  [100, 10],
  [1, 1000],
] as const) {
  const what = `${jobs} x ${pods} pods`;
  await using ours = await LeptonSubject.start(cluster);
  const others: Subject[] = [new BatchSubject(cluster)];
  if (values.other !== undefined) others.push(await foreignSubject(values.other));
  const all = jobs * pods;
  let made: readonly KubeObject[] = [];
  const mine = await fleetOf(cluster, ours, jobs, pods, async (namespace) => {
    ({ items: made } = await cluster.api.list<KubeObject>(PODS, { namespace }));
    console.error(`recovery of all pods, ${what}: ${await recoveryOf(cluster, namespace, all)} s`);
  });
  const allowed = await cluster.plainly(made, `plain-${jobs}-${pods}`);
  console.error(`plain clients, ${what}:`, JSON.stringify(allowed));
  rows.push(
    limited(
      { name: `requests, ${what}`, unit: 'requests', note: 'limit: 3 per pod and 10 per job' },
      one(mine.requests),
      3 * all + 10 * jobs,
    ),
  );
  rows.push(paceOf(what, all, mine.existSeconds, allowed.existSeconds));
  for (const other of others) {
    const theirs = await fleetOf(cluster, other, jobs, pods);
    const peerName = other.name;
    const row = (name: string, unit: string, a: number, b: number): Row =>
      compared({ name: `${name}, ${what}`, unit, bar: 1, peerName }, one(a), one(b));
    rows.push(
      row('all pods exist', 's', mine.existSeconds, theirs.existSeconds),
      row('all pods Running', 's', mine.runningSeconds, theirs.runningSeconds),
      row('requests to the API server', 'requests', mine.requests, theirs.requests),
      row('processor time of the controller', 's', mine.cpuSeconds, theirs.cpuSeconds),
    );
  }
}
rows.push(...(await crowd(cluster)));
report('operator', rows, { kubernetes: '1.37.2', kwok: '0.8.0' });
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
