// Another number of workers in the planner: with a coordinator that takes part, with one that does not, and with the controller dying
// after any step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SmallCluster } from './small-cluster.ts';

const ERROR = { reason: 'Error', exitCode: 1, message: 'died' } as const;

/** Two workers that train. */
function training(): SmallCluster {
  const cluster = new SmallCluster();
  cluster.answers = true;
  cluster.settle();
  cluster.run();
  cluster.settle();
  return cluster;
}

function scale(cluster: SmallCluster, replicas: number): void {
  cluster.change({ worker: { replicas } });
}

const names = ({ pods }: SmallCluster): string[] => pods.map(({ name }) => name).sort();
const uids = ({ pods }: SmallCluster): Map<string, string> =>
  new Map(pods.map(({ name, uid }) => [name, uid]));

function assertUntouched(before: ReadonlyMap<string, string>, cluster: SmallCluster): void {
  for (const { name, uid } of cluster.pods)
    if (before.has(name)) assert.equal(uid, before.get(name), `${name} is another pod`);
}

test('more: pods of the new ranks alone; the number changes when the coordinator trains with them', () => {
  const cluster = training();
  const before = uids(cluster);
  scale(cluster, 4);
  for (let passes = 0; passes < 5; passes++) cluster.pass();
  const { status } = cluster;
  assert.deepEqual([status?.worker?.replicas, status?.resizing?.to, status?.phase], [2, 4, 'Running']);
  assert.deepEqual(cluster.created.slice(3), ['job-worker-2@0', 'job-worker-3@0']);
  cluster.run();
  cluster.settle();
  assert.deepEqual([cluster.status?.worker?.replicas, cluster.status?.resizing], [4, undefined]);
  assertUntouched(before, cluster);
  assert.deepEqual([cluster.stops, cluster.status?.attempt, cluster.status?.restarts], [0, 0, 0]);
  assert.deepEqual(cluster.events.slice(-2), ['Scaling', 'Scaled']);
});

test('fewer: the highest ranks leave, are no failures, and are deleted', () => {
  const cluster = training();
  const before = uids(cluster);
  scale(cluster, 1);
  cluster.settle();
  assert.deepEqual([cluster.status?.worker?.replicas, cluster.status?.resizing], [1, undefined]);
  assert.deepEqual(names(cluster), ['job-server-0', 'job-worker-0']);
  assertUntouched(before, cluster);
  assert.deepEqual([cluster.stops, cluster.status?.attempt, cluster.status?.restarts], [0, 0, 0]);
});

test('taken back before the newcomers train: they go, nobody else', () => {
  const cluster = training();
  const before = uids(cluster);
  scale(cluster, 3);
  for (let passes = 0; passes < 5; passes++) cluster.pass();
  scale(cluster, 2);
  cluster.settle();
  assert.deepEqual(names(cluster), [...before.keys()].sort());
  assertUntouched(before, cluster);
  assert.equal(cluster.status?.resizing, undefined);
});

test('another number while one is under way: the last one counts', () => {
  const cluster = training();
  scale(cluster, 3);
  cluster.pass();
  scale(cluster, 1);
  cluster.pass();
  scale(cluster, 4);
  for (let passes = 0; passes < 5; passes++) cluster.pass();
  cluster.run();
  cluster.settle();
  assert.equal(cluster.status?.worker?.replicas, 4);
  assert.equal(cluster.pods.length, 5);
  assert.equal(cluster.stops, 0);
});

test('a newcomer that fails is replaced as everybody is', () => {
  const cluster = training();
  scale(cluster, 3);
  for (let passes = 0; passes < 5; passes++) cluster.pass();
  cluster.end('job-worker-2', ERROR);
  for (let passes = 0; passes < 10; passes++) cluster.pass();
  cluster.wait(60_000);
  for (let passes = 0; passes < 5; passes++) cluster.pass();
  cluster.run();
  cluster.settle();
  assert.deepEqual([cluster.status?.restarts, cluster.status?.worker?.replicas], [1, 3]);
  assert.deepEqual(cluster.created.slice(3), ['job-worker-2@0', 'job-worker-2@1']);
});

test('before anything is trained there is nobody to ask: pods come and go at once', () => {
  const cluster = new SmallCluster();
  cluster.answers = true;
  cluster.settle();
  scale(cluster, 1);
  cluster.settle();
  assert.deepEqual(names(cluster), ['job-server-0', 'job-worker-0']);
  assert.equal(cluster.status?.resizing, undefined);
});

test('a coordinator that was started with another number is told the present one', () => {
  const cluster = training();
  scale(cluster, 1);
  cluster.pass(); // recorded
  cluster.pass(); // asked: the coordinator has changed, and dies before anybody heard of it
  cluster.end('job-server-0', ERROR);
  cluster.settle();
  cluster.run();
  cluster.settle();
  assert.deepEqual(names(cluster), ['job-server-0', 'job-worker-0']);
  assert.deepEqual([cluster.status?.worker?.replicas, cluster.report?.workerCount], [1, 1]);
});

test('a coordinator that does not answer: the run stops and begins anew', () => {
  const cluster = training();
  cluster.answers = false;
  scale(cluster, 3);
  cluster.settle();
  assert.ok(cluster.stops > 0);
  assert.deepEqual([cluster.status?.worker?.replicas, cluster.status?.attempt], [3, 1]);
  assert.equal(cluster.pods.length, 4);
  assert.ok(cluster.events.includes('ScalingAnew'));
});

test('suspended, failed or past its deadline meanwhile: nothing of the change is left', () => {
  const ends: ((cluster: SmallCluster) => void)[] = [
    (c) => c.change({ suspend: true }),
    (c) => c.change({ activeDeadlineSeconds: 1 }),
    (c) => c.end('job-worker-0', { ...ERROR, exitCode: 3 }),
  ];
  for (const end of ends) {
    const cluster = training();
    scale(cluster, 3);
    for (let passes = 0; passes < 3; passes++) cluster.pass();
    cluster.wait(2000);
    end(cluster);
    cluster.settle();
    assert.equal(cluster.status?.resizing, undefined);
    assert.ok(['Suspended', 'Failed'].includes(cluster.status?.phase ?? ''), cluster.status?.phase);
  }
});

test('dying after any step, and any sequence of numbers: the last number, no pod too many', () => {
  const act = fc.oneof(
    fc.integer({ min: 1, max: 5 }).map((replicas) => (c: SmallCluster) => scale(c, replicas)),
    fc.constant((c: SmallCluster) => c.run()),
    fc.nat(4).map((steps) => (c: SmallCluster) => void c.pass(steps)),
    fc.nat(5).map((at) => (c: SmallCluster) => c.vanish(c.pods[at]?.name)),
    fc.nat(5).map((at) => (c: SmallCluster) => {
      if (c.pods[at]) c.end(c.pods[at].name, { reason: 'Disruption', message: 'drained' });
    }),
    fc.integer({ min: 1, max: 90_000 }).map((ms) => (c: SmallCluster) => c.wait(ms)),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 25 }), (life) => {
      const cluster = training();
      for (const change of life) {
        change(cluster);
        cluster.pass();
      }
      for (let rounds = 0; rounds < 4; rounds++) {
        for (let passes = 0; passes < 20; passes++) cluster.pass();
        cluster.run();
      }
      cluster.settle();
      const { status, spec, report } = cluster;
      assert.equal(status?.worker?.replicas, spec.worker.replicas);
      assert.equal(report?.workerCount, spec.worker.replicas);
      assert.equal(cluster.pods.length, spec.worker.replicas + 1);
      assert.equal(status?.resizing, undefined);
      assert.equal(status?.restarts, 0);
    }),
    { numRuns: 300 },
  );
});
