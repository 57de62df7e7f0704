// The failure ladder: which rule fits which end, and which running pods are no good.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from '../../../operator/leptonjob/failure.ts';
import type { PodEnd, Report, Waits } from '../../../operator/leptonjob/job.ts';
import { type Pod, viewPod } from '../../../operator/leptonjob/pod-view.ts';
import { troubledPods, workersText } from '../../../operator/leptonjob/trouble.ts';
import { SmallCluster } from './small-cluster.ts';

const WORKER = { role: 'worker' } as const;
const end = (reason: PodEnd['reason'], more: Partial<PodEnd> = {}): PodEnd => ({
  reason,
  message: '',
  ...more,
});

test('without rules: disruptions do not count, hopeless ends fail the job, the rest restarts and counts', () => {
  const rows: readonly (readonly [PodEnd, string, boolean])[] = [
    [end('Disruption'), 'RestartPod', false],
    [end('NodeLost'), 'RestartPod', false],
    [end('Evicted'), 'RestartPod', false],
    [end('Vanished'), 'RestartPod', false],
    [end('Error', { exitCode: 3 }), 'FailJob', true],
    [end('Error', { exitCode: 1 }), 'RestartPod', true],
    [end('Signal', { exitCode: 134, signal: 6 }), 'RestartPod', true],
    [end('OutOfMemory', { exitCode: 137, signal: 9 }), 'RestartPod', true],
    [end('LostHeartbeat'), 'RestartPod', true],
    [end('Stalled'), 'RestartPod', true],
  ];
  for (const [how, action, counts] of rows)
    assert.deepEqual(judge(WORKER, how, []), { action, counts }, how.reason);
});

test('the first rule that fits decides', () => {
  const rules = new SmallCluster({
    failurePolicy: {
      rules: [
        { signals: [6, 11], action: 'FailJob' },
        {
          nodeConditions: ['GpuUnhealthy'],
          reasons: ['Error'],
          action: 'ExcludeNode',
          countsTowardsMax: false,
        },
        { roles: ['parameterServer'], reasons: ['LostHeartbeat'], action: 'RestartJob' },
        { reasons: ['Stalled'], action: 'RestartRole', countsTowardsMax: false },
      ],
    },
  }).spec.failurePolicy.rules;
  const of = (how: PodEnd, role: 'worker' | 'server' = 'worker', conditions: string[] = []) =>
    judge({ role }, how, rules, conditions).action;
  assert.equal(of(end('Signal', { signal: 6 })), 'FailJob');
  assert.equal(of(end('Signal', { signal: 9 })), 'RestartPod');
  assert.equal(of(end('Error', { exitCode: 1 })), 'RestartPod');
  assert.equal(of(end('Error', { exitCode: 1 }), 'worker', ['DiskPressure']), 'RestartPod');
  assert.equal(of(end('Error', { exitCode: 1 }), 'worker', ['DiskPressure', 'GpuUnhealthy']), 'ExcludeNode');
  assert.equal(of(end('LostHeartbeat')), 'RestartPod');
  assert.equal(of(end('LostHeartbeat'), 'server'), 'RestartJob');
  assert.equal(of(end('Stalled')), 'RestartRole');
});

test('signals are read from the field where a runtime fills it, else from the exit code', () => {
  const ended = (terminated: Record<string, unknown>) =>
    viewPod({
      metadata: {
        name: 'p',
        namespace: 'n',
        uid: 'u',
        resourceVersion: '1',
        labels: { 'lepton.ai/role': 'worker', 'lepton.ai/rank': '0' },
      },
      status: { phase: 'Failed', containerStatuses: [{ name: 'lepton', state: { terminated } }] },
    } as unknown as Pod)?.end;
  const rows: readonly (readonly [Record<string, unknown>, string, number | undefined])[] = [
    [{ exitCode: 134, reason: 'Error' }, 'Signal', 6],
    [{ exitCode: 139, reason: 'Error' }, 'Signal', 11],
    [{ exitCode: 0, signal: 15, reason: 'Error' }, 'Signal', 15],
    [{ exitCode: 137, reason: 'OOMKilled' }, 'OutOfMemory', 9],
    [{ exitCode: 128, reason: 'StartError' }, 'Error', undefined],
    [{ exitCode: 255, reason: 'Error' }, 'Error', undefined],
    [{ exitCode: 1, reason: 'Error' }, 'Error', undefined],
  ];
  for (const [terminated, reason, signal] of rows)
    assert.deepEqual([ended(terminated)?.reason, ended(terminated)?.signal], [reason, signal]);
});

test('a container that is started again in its pod: the fourth time the pod is no good, for what ended it', () => {
  const running = (restartCount: number) =>
    viewPod({
      metadata: {
        name: 'p',
        namespace: 'n',
        uid: 'u',
        resourceVersion: '1',
        labels: { 'lepton.ai/role': 'server', 'lepton.ai/rank': '0' },
      },
      status: {
        phase: 'Running',
        containerStatuses: [
          {
            name: 'lepton',
            restartCount,
            state: { waiting: { reason: 'CrashLoopBackOff' } },
            lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } },
          },
        ],
      },
    } as unknown as Pod);
  assert.deepEqual(
    [1, 3].map((count) => running(count)?.end),
    [undefined, undefined],
  );
  assert.deepEqual(running(4)?.end, {
    reason: 'OutOfMemory',
    message: 'exit code 137 (OOMKilled)',
    exitCode: 137,
    signal: 9,
  });
  const cluster = training(CALM);
  cluster.pods = cluster.pods.map((pod) => (pod.role === 'server' ? { ...pod, end: running(4)!.end! } : pod));
  cluster.settle();
  assert.equal(cluster.status?.restarts, 1);
  assert.equal(cluster.status?.attempt, 1);
});

const CALM: Waits = { silent: [], absent: [], awaited: [], standingSeconds: 0 };
const SILENT: Waits = { ...CALM, silent: [{ rank: 1, attempt: 0, seconds: 61 }] };
const STANDING: Waits = {
  ...CALM,
  awaited: [{ rank: 1, attempt: 0, waiting: false }],
  standingSeconds: 1801,
};

/** Three workers and one server that train, on nodes that are well. */
function training(waits: Waits, phase: Report['phase'] = 'Running', spec = {}): SmallCluster {
  const cluster = new SmallCluster({ worker: { replicas: 3 }, ...spec });
  cluster.settle();
  cluster.run();
  cluster.say('Running', 5);
  cluster.settle();
  cluster.pods = cluster.pods.map((pod) => ({ ...pod, node: `node-${pod.name}` }));
  for (const { node } of cluster.pods) cluster.nodes.set(node!, []);
  cluster.silenceMs = 100;
  cluster.say(phase, 5);
  cluster.report = { ...cluster.report!, waits };
  return cluster;
}

const told = (cluster: SmallCluster) =>
  troubledPods(cluster.seen()).map(
    ({ pod, end: { reason, message } }) => `${pod.name} ${reason}: ${message}`,
  );

test('nobody is troubled where all goes well', () => {
  assert.deepEqual(told(training(CALM)), []);
  const old = training(CALM);
  old.report = { ...old.report!, waits: null };
  assert.deepEqual(told(old), []);
});

test('a worker that the coordinator has not heard for too long', () => {
  assert.deepEqual(told(training(SILENT)), [
    'job-worker-1 LostHeartbeat: not heard by the coordinator for 61 s',
  ]);
  assert.deepEqual(told(training({ ...SILENT, silent: [{ rank: 1, attempt: 0, seconds: 59 }] })), []);
});

test('a silent process on a node that is not ready is a lost node, which counts as a disruption', () => {
  const cluster = training(SILENT);
  cluster.nodes.set('node-job-worker-1', ['NotReady']);
  assert.deepEqual(told(cluster), [
    'job-worker-1 NodeLost: not heard by the coordinator for 61 s, and node node-job-worker-1 is not ready',
  ]);
  cluster.settle();
  assert.deepEqual([cluster.status?.restarts, cluster.status?.attempt], [0, 1]);
});

test('those that everybody waits for, and who waits', () => {
  assert.deepEqual(told(training(STANDING)), [
    'job-worker-1 Stalled: step 5 has stood for 1801 s: workers 0, 2 wait for worker 1',
  ]);
  const two = [0, 1].map((rank) => ({ rank, attempt: 0, waiting: false }));
  assert.deepEqual(told(training({ ...STANDING, awaited: two })), [
    'job-worker-0 Stalled: step 5 has stood for 1801 s: worker 2 waits for workers 0-1',
    'job-worker-1 Stalled: step 5 has stood for 1801 s: worker 2 waits for workers 0-1',
  ]);
});

test('where every worker that is awaited waits itself, it is for the servers', () => {
  const awaited = [0, 1, 2].map((rank) => ({ rank, attempt: 0, waiting: true }));
  assert.deepEqual(told(training({ ...STANDING, awaited })), [
    'job-server-0 Stalled: step 5 has stood for 1801 s: all workers wait for the parameter servers',
  ]);
});

for (const [what, change] of Object.entries<(cluster: SmallCluster) => void>({
  'the coordinator was not heard by this operator': (c) => {
    c.silenceMs = undefined;
  },
  'what it said is old': (c) => {
    c.silenceMs = 6000;
  },
  'the pod is a later process than the one told of': (c) => {
    c.pods = c.pods.map((pod) => (pod.rank === 1 ? { ...pod, attempt: 2 } : pod));
  },
  'the pod has not started': (c) => {
    c.pods = c.pods.map((pod) => (pod.rank === 1 ? { ...pod, phase: 'Pending', ready: false } : pod));
  },
}))
  test(`nobody is silent or stalled while ${what}`, () => {
    for (const waits of [SILENT, STANDING]) {
      const cluster = training(waits);
      change(cluster);
      assert.deepEqual(told(cluster), []);
    }
  });

for (const phase of ['Starting', 'Evaluating', 'Succeeded'] as const)
  test(`no step stands while the coordinator says ${phase}`, () => {
    assert.deepEqual(told(training(STANDING, phase)), []);
  });

test('a step that waits for somebody who is being replaced does not stand', () => {
  const awaited = [
    { rank: 0, attempt: 0, waiting: true },
    { rank: 1, attempt: 7, waiting: false },
  ];
  assert.deepEqual(told(training({ ...STANDING, awaited })), []);
});

test('a coordinator that falls silent counts as server 0, when it was heard and its pod is ready', () => {
  const cluster = training(CALM);
  cluster.silenceMs = 61_000;
  assert.deepEqual(told(cluster), ['job-server-0 LostHeartbeat: not heard by the operator for 61 s']);
  cluster.pods = cluster.pods.map((pod) => (pod.role === 'server' ? { ...pod, ready: false } : pod));
  assert.deepEqual(told(cluster), []);
});

test('replaced under the next attempt, counted once, and left alone from then on', () => {
  for (const waits of [SILENT, STANDING]) {
    const cluster = training(waits);
    const before = cluster.created.length;
    cluster.settle();
    assert.deepEqual([cluster.status?.restarts, cluster.status?.attempt], [1, 1]);
    assert.deepEqual(cluster.created.slice(before), ['job-worker-1@1']);
    cluster.run();
    cluster.settle();
    assert.equal(cluster.status?.restarts, 1, 'the report is still about the process before');
    assert.match(cluster.status?.message ?? '', /^job-worker-1: /);
  }
});

test('suspending goes before: a run that is being stopped is not judged', () => {
  const cluster = training(STANDING);
  cluster.change({ suspend: true });
  cluster.pass();
  cluster.pass();
  assert.equal(cluster.status?.restarts, 0);
});

test('pods on a sick node go where a rule asks for it, and their node is left', () => {
  const rules = [{ nodeConditions: ['GpuUnhealthy'], action: 'RestartPod', countsTowardsMax: false }];
  const cluster = training(CALM, 'Running', { failurePolicy: { rules } });
  cluster.nodes.set('node-job-worker-2', ['DiskPressure']);
  assert.deepEqual(told(cluster), []);
  cluster.nodes.set('node-job-worker-2', ['DiskPressure', 'GpuUnhealthy']);
  assert.deepEqual(told(cluster), [
    'job-worker-2 NodeUnhealthy: node node-job-worker-2 has DiskPressure, GpuUnhealthy',
  ]);
  cluster.settle();
  assert.deepEqual(
    [cluster.status?.restarts, cluster.status?.attempt, cluster.status?.excludedNodes],
    [0, 1, ['node-job-worker-2']],
  );
  const without = training(CALM);
  without.nodes.set('node-job-worker-2', ['GpuUnhealthy']);
  assert.deepEqual(told(without), []);
});

test('force: on a lost or unknown node when overdue, on a live one only long after', () => {
  const forced = (lateMs: number, known: boolean, lost: boolean): boolean => {
    const cluster = training(CALM);
    const { nowMs, pods } = cluster;
    const name = 'job-worker-1';
    const pod = pods.find((one) => one.name === name)!;
    cluster.pods = pods.map((one) => (one === pod ? { ...pod, terminatingSinceMs: nowMs } : one));
    cluster.status = { ...cluster.status!, replacing: [`${name}/${pod.uid}`] };
    if (!known) cluster.nodes.delete(pod.node!);
    if (lost) cluster.lostNodes = new Set([pod.node!]);
    cluster.nowMs += lateMs;
    const plan = cluster.pass();
    if (plan.kind === 'act' && plan.steps.length === 0)
      assert.ok(plan.wakeInMs! > 0, 'nobody would come back');
    return plan.kind === 'act' && plan.steps.some((step) => step.kind === 'deletePod' && step.force);
  };
  assert.deepEqual(
    [59_000, 61_000, 299_000, 301_000].map((ms) => [
      forced(ms, true, false),
      forced(ms, true, true),
      forced(ms, false, false),
    ]),
    [
      [false, false, false],
      [false, true, true],
      [false, true, true],
      [true, true, true],
    ],
  );
});

test('ranks in words', () => {
  assert.equal(workersText([3]), 'worker 3');
  assert.equal(workersText([5, 0, 1, 2]), 'workers 0-2, 5');
  assert.match(workersText(Array.from({ length: 20 }, (_, at) => 2 * at)), /^workers 0, 2, .*14 and others$/);
});
