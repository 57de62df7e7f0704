// What a job waits for, from statuses of pods as kubelets and schedulers of Kubernetes 1.37 write them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Waits } from '../../../operator/leptonjob/job.ts';
import { keptOfPod } from '../../../operator/leptonjob/kept.ts';
import { type Pod, viewPod } from '../../../operator/leptonjob/pod-view.ts';
import { SmallCluster } from './small-cluster.ts';

const SCHEDULED = { type: 'PodScheduled', status: 'True' };
const unscheduled = (message: string, reason = 'Unschedulable') => ({
  conditions: [{ type: 'PodScheduled', status: 'False', reason, message }],
});
const waiting = (reason: string, message?: string, more: Record<string, unknown> = {}) => ({
  conditions: [SCHEDULED, { type: 'PodReadyToStartContainers', status: 'True' }],
  containerStatuses: [
    { name: 'lepton', ready: false, state: { waiting: { reason, ...(message ? { message } : {}) } } },
  ],
  ...more,
});

function wait(status: Record<string, unknown>, node: string | undefined = 'node-1') {
  const scheduled = JSON.stringify(status).includes('"PodScheduled","status":"True"');
  const pod = {
    metadata: {
      name: 'job-worker-0',
      namespace: 'n',
      uid: 'u',
      resourceVersion: '1',
      labels: { 'lepton.ai/role': 'worker', 'lepton.ai/rank': '0' },
    },
    ...(scheduled && node ? { spec: { nodeName: node } } : {}),
    status: { phase: 'Pending', ...status },
  };
  return viewPod(keptOfPod(pod as unknown as Pod))?.waiting;
}

const ROWS: readonly (readonly [string, Record<string, unknown>, string, RegExp])[] = [
  [
    'no room',
    unscheduled(
      '0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.',
    ),
    'Unschedulable',
    /^0\/2 nodes are available: 1 Insufficient cpu/,
  ],
  [
    'a claim that is not there',
    unscheduled(
      '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.',
    ),
    'Volume',
    /persistentvolumeclaim "data" not found/,
  ],
  [
    'a claim that is not bound',
    unscheduled('0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found'),
    'Volume',
    /unbound immediate/,
  ],
  [
    'a volume elsewhere, and a node that is full',
    unscheduled(
      '0/2 nodes are available: 1 Insufficient memory, 1 node(s) had volume node affinity conflict.',
    ),
    'Unschedulable',
    /Insufficient memory/,
  ],
  [
    'a gate',
    unscheduled('Scheduling is blocked due to non-empty scheduling gates', 'SchedulingGated'),
    'Queue',
    /non-empty scheduling gates/,
  ],
  [
    'a pull that fails',
    waiting(
      'ErrImagePull',
      'failed to pull and unpack image "docker.io/lepton/worker:nope": failed to resolve reference "docker.io/lepton/worker:nope": docker.io/lepton/worker:nope: not found',
    ),
    'ImagePull',
    /^failed to pull and unpack image/,
  ],
  [
    'a pull that is tried again',
    waiting('ImagePullBackOff', 'Back-off pulling image "lepton/worker:nope": ErrImagePull: not found'),
    'ImagePull',
    /^Back-off pulling image/,
  ],
  [
    'a name that is none',
    waiting(
      'InvalidImageName',
      'Failed to apply default image tag "UPPER": couldn\'t parse image name "UPPER": invalid reference format: repository name must be lowercase',
    ),
    'ImagePull',
    /couldn't parse image name/,
  ],
  [
    'an image that must be there and is not',
    waiting(
      'ErrImageNeverPull',
      'Container image "lepton/worker:local" is not present with pull policy of Never',
    ),
    'ImagePull',
    /pull policy of Never/,
  ],
  [
    'a secret that is not there',
    waiting('CreateContainerConfigError', 'secret "token" not found'),
    'ContainerConfig',
    /^secret "token" not found$/,
  ],
  [
    'a runtime that refuses',
    waiting('CreateContainerError', 'failed to generate container spec: no command specified'),
    'ContainerConfig',
    /no command specified/,
  ],
  [
    'a container that initializes and cannot be pulled',
    waiting('PodInitializing', undefined, {
      initContainerStatuses: [
        { name: 'fetch', state: { waiting: { reason: 'ErrImagePull', message: 'not found' } } },
      ],
    }),
    'ImagePull',
    /^container fetch: not found$/,
  ],
  [
    'a container that initializes',
    waiting('PodInitializing', undefined, {
      initContainerStatuses: [{ name: 'fetch', state: { running: {} } }],
    }),
    'ContainerCreating',
    /^container fetch initializes on node node-1$/,
  ],
  [
    'another container',
    {
      conditions: [SCHEDULED],
      containerStatuses: [
        { name: 'lepton', state: { running: {} } },
        { name: 'side', state: { waiting: { reason: 'ImagePullBackOff', message: 'no' } } },
      ],
    },
    'ImagePull',
    /^container side: no$/,
  ],
  [
    'volumes and network',
    {
      conditions: [SCHEDULED, { type: 'PodReadyToStartContainers', status: 'False' }],
      containerStatuses: [{ name: 'lepton', state: { waiting: { reason: 'ContainerCreating' } } }],
    },
    'ContainerCreating',
    /^volumes and network are being prepared on node node-1; the pod’s events/,
  ],
  [
    'the container alone',
    waiting('ContainerCreating'),
    'ContainerCreating',
    /^containers start on node node-1$/,
  ],
];

for (const [name, status, on, message] of ROWS)
  test(`a pod waits: ${name}`, () => {
    const got = wait(status);
    assert.equal(got?.on, on);
    assert.match(got.message, message);
  });

test('a pod that no scheduler has spoken of waits for nothing that is known', () => {
  assert.equal(wait({}, undefined), undefined);
});

const CALM: Waits = { silent: [], absent: [], awaited: [], standingSeconds: 0 };

function started(): SmallCluster {
  const cluster = new SmallCluster({ worker: { replicas: 4 } });
  cluster.settle();
  cluster.run();
  cluster.silenceMs = 0;
  return cluster;
}

function told(cluster: SmallCluster, phase: 'Starting' | 'Running', waits: Waits, message?: string): string {
  cluster.say(phase, 5);
  cluster.report = { ...cluster.report!, waits, ...(message ? { message } : {}) };
  cluster.settle();
  const { status } = cluster;
  return `${status?.phase} ${status?.waiting ? `${status.waiting.on}: ${status.waiting.message}` : ''}`;
}

test('the rendezvous names those that have not joined', () => {
  const cluster = started();
  cluster.settle();
  assert.equal(cluster.status?.waiting?.message, 'the coordinator (server 0) has not been heard yet');
  const of = (absent: number[], message?: string) => told(cluster, 'Starting', { ...CALM, absent }, message);
  assert.equal(of([0, 1, 2, 3]), 'Starting Rendezvous: no worker has joined yet');
  assert.equal(of([1, 2, 3]), 'Starting Rendezvous: workers 1-3 of 4 have not joined yet');
  assert.equal(of([]), 'Starting Rendezvous: workers load their data and join');
  assert.equal(
    of([3], 'waiting for the parameter servers'),
    'Starting Rendezvous: waiting for the parameter servers; worker 3 of 4 has not joined yet',
  );
  // The coordinator would train: it is this worker that is missing.
  assert.equal(
    told(cluster, 'Running', { ...CALM, absent: [2] }),
    'Starting Rendezvous: worker 2 of 4 has not joined yet',
  );
  assert.equal(told(cluster, 'Running', CALM), 'Running ');
});

test('a step that stands for long is said to, with whom everybody waits for; the time does not change the words', () => {
  const cluster = started();
  const awaited = [{ rank: 3, attempt: 0, waiting: false }];
  const of = (standingSeconds: number) => told(cluster, 'Running', { ...CALM, awaited, standingSeconds });
  assert.equal(of(100), 'Running ');
  assert.equal(of(200), 'Running Stall: step 5 stands: workers 0-2 wait for worker 3');
  const { writes } = cluster;
  cluster.nowMs += 60_000;
  cluster.report = { ...cluster.report!, waits: { ...CALM, awaited, standingSeconds: 260 } };
  cluster.settle();
  assert.equal(cluster.writes, writes);
});
