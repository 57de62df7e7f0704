// The planner on a cluster of a few lines: every story told through, also with the controller dying after any step, and random ones.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { planLeptonJob } from '../../../operator/leptonjob/plan.ts';
import { SmallCluster } from './small-cluster.ts';

const ERROR = { reason: 'Error', exitCode: 1, message: 'died' } as const;

/** What happens to a job; after each act the controller comes to rest. */
const STORIES: Readonly<Record<string, readonly ((cluster: SmallCluster) => void)[]>> = {
  create: [(c) => c.run(), (c) => c.say('Running')],
  succeed: [(c) => c.run(), (c) => c.say('Running'), (c) => c.say('Succeeded', 10)],
  'fail and restart': [
    (c) => c.run(),
    (c) => c.end('job-worker-1', ERROR),
    (c) => c.run(),
    (c) => c.say('Running'),
  ],
  'scale up': [(c) => c.run(), (c) => c.change({ worker: { replicas: 4 } }), (c) => c.run()],
  'scale down': [(c) => c.run(), (c) => c.change({ worker: { replicas: 1 } }), (c) => c.run()],
  suspend: [(c) => c.run(), (c) => c.change({ suspend: true })],
  'suspend and resume': [
    (c) => c.run(),
    (c) => c.change({ suspend: true }),
    (c) => c.change({ suspend: false }),
    (c) => c.run(),
  ],
  'lose the server': [
    (c) => c.run(),
    (c) => c.end('job-server-0', { ...ERROR, reason: 'NodeLost' }),
    (c) => c.run(),
  ],
  'a pod vanishes': [(c) => c.run(), (c) => c.vanish('job-worker-0'), (c) => c.run()],
  'restarts used up': [1, 2, 3, 4].flatMap(() => [
    (c: SmallCluster) => c.run(),
    (c: SmallCluster) => c.end('job-worker-0', ERROR),
  ]),
};

function tell(story: readonly ((cluster: SmallCluster) => void)[], spec = {}): SmallCluster {
  const cluster = new SmallCluster(spec);
  cluster.settle();
  for (const act of story) {
    act(cluster);
    cluster.settle();
  }
  return cluster;
}

/** What counts of a final state: names and attempts of pods, decisions in the status. */
function essence({ status, pods }: SmallCluster): unknown {
  const { phase, attempt, restarts, worker, replacing, stopping } = status ?? {};
  const places = pods.map(({ name, attempt: of, phase: at }) => `${name}@${of} ${at}`).sort();
  return {
    phase,
    attempt,
    restarts,
    replicas: worker?.replicas,
    replacing: replacing ?? [],
    stopping,
    places,
  };
}

for (const [name, story] of Object.entries(STORIES)) {
  test(`${name}: comes to rest, and stays there`, () => {
    const cluster = tell(story);
    const writes = cluster.writes;
    for (let again = 0; again < 5; again++) cluster.pass();
    assert.equal(cluster.writes, writes, 'a status was written without need');
  });

  test(`${name}: dying after any step ends in the same state`, () => {
    const undisturbed = essence(tell(story));
    for (let crashAt = 0; crashAt < 30; crashAt++) {
      const cluster = new SmallCluster();
      const acts = [() => {}, ...story];
      let passes = 0;
      for (const act of acts) {
        act(cluster);
        // One pass of this story dies after each of its first steps in turn.
        for (let steps = 0; steps < 3; steps++) if (passes++ === crashAt) cluster.pass(steps);
        cluster.settle();
      }
      assert.deepEqual(essence(cluster), undisturbed, `crash at ${crashAt}`);
    }
  });
}

test('what a story ends in', () => {
  const ends = Object.fromEntries(
    Object.entries(STORIES).map(([name, story]) => [name, tell(story).status?.phase]),
  );
  assert.deepEqual(ends, {
    create: 'Running',
    succeed: 'Succeeded',
    'fail and restart': 'Running',
    'scale up': 'Starting',
    'scale down': 'Starting',
    suspend: 'Suspended',
    'suspend and resume': 'Starting',
    'lose the server': 'Starting',
    'a pod vanishes': 'Starting',
    'restarts used up': 'Failed',
  });
});

test('counted once: one failure is one restart, however many passes see it', () => {
  const cluster = tell([(c) => c.run(), (c) => c.end('job-worker-1', ERROR)]);
  assert.deepEqual([cluster.status?.restarts, cluster.status?.attempt], [1, 1]);
  assert.deepEqual(cluster.created.slice(3), ['job-worker-1@1']);
});

test('checkpoints that fail are told once, and once when they are written again', () => {
  const failing = (c: SmallCluster): string[] =>
    (c.status?.conditions ?? [])
      .filter(({ type }) => type === 'CheckpointFailing')
      .map(({ status, message }) => `${status} ${message}`);
  const cluster = tell([(c) => c.run(), (c) => c.say('Running')]);
  assert.deepEqual(failing(cluster), ['False ']);
  const events = (): string[] => cluster.events.filter((reason) => reason.startsWith('Checkpoint'));
  for (const reason of ['first: ENOSPC', 'second: ENOSPC']) {
    cluster.say('Running', 2, reason);
    cluster.settle();
    assert.deepEqual(failing(cluster), ['True first: ENOSPC']);
    assert.deepEqual(events(), ['CheckpointFailing']);
  }
  assert.deepEqual(cluster.status?.checkpoint, { step: 0, uri: '/output/checkpoints/first' });
  cluster.report = undefined; // the line to the coordinator is lost
  cluster.settle();
  assert.deepEqual(failing(cluster), ['True first: ENOSPC']);
  cluster.say('Running', 3);
  cluster.settle();
  assert.deepEqual(failing(cluster), ['False ']);
  assert.deepEqual(events(), ['CheckpointFailing', 'CheckpointWritten']);
});

test('random lives: every place at most once, restarts within the limit, rest in the end', () => {
  const act = fc.oneof(
    fc.constant((c: SmallCluster) => c.run()),
    fc
      .nat(2)
      .map((rank) => (c: SmallCluster) => c.end(rank === 2 ? 'job-server-0' : `job-worker-${rank}`, ERROR)),
    fc
      .nat(2)
      .map(
        (rank) => (c: SmallCluster) =>
          c.end(`job-worker-${rank}`, { reason: 'Disruption', message: 'drained' }),
      ),
    fc.boolean().map((suspend) => (c: SmallCluster) => c.change({ suspend })),
    fc.integer({ min: 1, max: 4 }).map((replicas) => (c: SmallCluster) => c.change({ worker: { replicas } })),
    fc.nat(3).map((at) => (c: SmallCluster) => c.vanish(c.pods[at]?.name)),
    fc
      .constantFrom('Starting' as const, 'Running' as const)
      .map((phase) => (c: SmallCluster) => c.say(phase)),
    fc.nat(4).map((steps) => (c: SmallCluster) => void c.pass(steps)),
    fc.integer({ min: 1, max: 100_000 }).map((ms) => (c: SmallCluster) => c.wait(ms)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(act, fc.boolean()), { maxLength: 25 }), (life) => {
      const cluster = new SmallCluster();
      for (const [change, rest] of life) {
        change(cluster);
        if (rest) cluster.settle();
        else cluster.pass();
      }
      cluster.settle();
      const { status, spec } = cluster;
      assert.ok((status?.restarts ?? 0) <= spec.maxRestarts + 1);
      assert.equal(status?.stopping, undefined);
      if (status?.phase === 'Suspended') assert.equal(cluster.pods.length, 0);
      const open = status?.phase !== 'Failed' && status?.phase !== 'Suspended';
      if (open) assert.equal(cluster.pods.length, spec.worker.replicas + 1);
    }),
    { numRuns: 300 },
  );
});

test('a pod that does not go is looked at when it is overdue, and then removed by force', () => {
  const cluster = tell([(c) => c.run(), (c) => c.say('Running')]);
  const seen = cluster.seen();
  const goneByMs = seen.nowMs + 30_000;
  const stuck = seen.pods.map((pod) =>
    pod.rank === 0 && pod.role === 'worker' ? { ...pod, terminatingSinceMs: goneByMs } : pod,
  );
  const worker = stuck.find(({ name }) => name === 'job-worker-0')!;
  const status = { ...seen.job.status, replacing: [`${worker.name}/${worker.uid}`] };
  const at = (nowMs: number) => planLeptonJob({ ...seen, job: { ...seen.job, status }, pods: stuck, nowMs });
  const before = at(seen.nowMs);
  assert.deepEqual(before.kind === 'act' && before.steps, []);
  const wakeInMs = before.kind === 'act' ? before.wakeInMs : undefined;
  assert.equal(wakeInMs, 30_000 + seen.limits.forceDeleteMs + 1);
  const after = at(seen.nowMs + wakeInMs!);
  const { name, uid } = worker;
  assert.deepEqual(after.kind === 'act' && after.steps, [{ kind: 'deletePod', name, uid, force: true }]);
});

test('a pod that goes before the run was complete is a new attempt: no place of an attempt is taken twice', () => {
  const cluster = new SmallCluster({});
  while (cluster.pods.length < 3) cluster.pass();
  cluster.seen(); // the controller has met them
  assert.equal(cluster.status?.assembled, false);
  for (const { name } of cluster.pods) cluster.vanish(name);
  cluster.settle();
  assert.equal(cluster.status?.attempt, 1);
  assert.equal(new Set(cluster.created).size, cluster.created.length);
  assert.equal(cluster.status?.restarts, 0);
});
