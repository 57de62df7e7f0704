// Of a pod as a whole cluster writes it only what decisions read is kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptOfPod } from '../../../operator/leptonjob/kept.ts';
import { type Pod, viewPod } from '../../../operator/leptonjob/pod-view.ts';

const AT = '2026-01-01T00:00:00Z';
const CONTAINER = {
  restartCount: 0,
  started: true,
  image: 'lepton/worker',
  imageID: 'sha256:0',
  lastState: {},
};
const holds = (type: string) => ({ type, status: 'True', lastProbeTime: null, lastTransitionTime: AT });
const TYPES = ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled'];

function pod(status: Record<string, unknown>, metadata: Record<string, unknown> = {}): Pod {
  const labels = { 'lepton.ai/role': 'worker', 'lepton.ai/rank': '3', 'lepton.ai/attempt': '2', team: 'a' };
  const owner = {
    apiVersion: 'lepton.ai/v1alpha1',
    kind: 'LeptonJob',
    name: 'job',
    uid: 'j',
    controller: true,
  };
  return {
    metadata: {
      name: 'job-worker-3',
      namespace: 'n',
      uid: 'u',
      resourceVersion: '7',
      creationTimestamp: AT,
      labels,
      annotations: { 'example.com/notes': 'x'.repeat(4000) },
      ownerReferences: [owner],
      ...metadata,
    },
    spec: { nodeName: 'node-1', containers: [{ name: 'lepton', args: ['--job', 'x'.repeat(4000)] }] },
    status: { hostIP: '10.0.0.1', podIP: '10.1.0.1', startTime: AT, qosClass: 'BestEffort', ...status },
  } as Pod;
}

const ended = (terminated: Record<string, unknown>) => ({
  phase: 'Failed',
  conditions: TYPES.map(holds),
  containerStatuses: [
    { ...CONTAINER, name: 'lepton', ready: false, state: { terminated: { finishedAt: AT, ...terminated } } },
  ],
});

const RUNNING = {
  phase: 'Running',
  conditions: TYPES.map(holds),
  containerStatuses: [{ ...CONTAINER, name: 'lepton', ready: true, state: { running: { startedAt: AT } } }],
};

const PODS: Readonly<Record<string, Pod>> = {
  running: pod(RUNNING),
  terminating: pod(RUNNING, { deletionTimestamp: AT }),
  'killed by a signal': pod(ended({ exitCode: 137, reason: 'OOMKilled' })),
  'ended with words': pod(
    ended({ exitCode: 1, message: JSON.stringify({ phase: 'Failed', message: 'no data', code: 'DATA' }) }),
  ),
  disrupted: pod({
    ...ended({ exitCode: 143 }),
    conditions: [{ ...holds('DisruptionTarget'), reason: 'EvictionByEvictionAPI', message: 'evicted' }],
  }),
  evicted: pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory' }),
  'without an image': pod({
    phase: 'Pending',
    conditions: [holds('PodScheduled')],
    containerStatuses: [{ ...CONTAINER, name: 'lepton', state: { waiting: { reason: 'ErrImagePull' } } }],
  }),
  'whose container was killed again and again': pod({
    ...RUNNING,
    containerStatuses: [
      {
        ...RUNNING.containerStatuses[0]!,
        restartCount: 4,
        lastState: { terminated: { exitCode: 139, finishedAt: AT } },
      },
    ],
  }),
  'that initializes': pod({
    phase: 'Pending',
    conditions: [holds('PodScheduled')],
    initContainerStatuses: [{ ...CONTAINER, name: 'fetch', state: { running: { startedAt: AT } } }],
  }),
};

for (const [name, full] of Object.entries(PODS))
  test(`a pod ${name}: decisions see the same of what is kept, which is little`, () => {
    const kept = keptOfPod(full);
    assert.deepEqual(viewPod(kept), viewPod(full));
    for (const field of ['uid', 'resourceVersion', 'ownerReferences'] as const)
      assert.deepEqual(kept.metadata[field], full.metadata[field]);
    assert.equal(kept.status?.podIP, full.status?.podIP);
    assert.ok(JSON.stringify(kept).length < 1000, `${JSON.stringify(kept).length} bytes`);
  });
