// What the status says of pods that do not start, in the words of scheduler and kubelet; pods on a node that has died; what kubectl shows.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { NODES, type Stored } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { Fleet } from './fleet.ts';

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager', 'kube-scheduler', 'kubectl'] });
});
after(() => fleet?.[Symbol.asyncDispose]());

const waitsFor = (name: string, on: string) =>
  fleet.expect(name, `waits for ${on}`, ({ status }) => status?.waiting?.on === on, 30_000);

/** Pods that the test places itself: the scheduler's word on them would come between. */
const PLACED = { worker: { replicas: 2, template: { spec: { schedulerName: 'nobody' } } } };

/** What a kubelet says of a container that has not started. */
const notStarted = (reason: string, message: string) => ({
  phase: 'Pending',
  conditions: [{ type: 'PodScheduled', status: 'True' }],
  containerStatuses: [
    {
      name: 'lepton',
      image: 'x',
      imageID: '',
      restartCount: 0,
      ready: false,
      state: { waiting: { reason, message } },
    },
  ],
});

describe('waiting', { concurrency: 8 }, () => {
  test('for a node: the scheduler’s words', async () => {
    await fleet.submit('homeless');
    await fleet.expectPods('homeless', 3);
    const { status } = await waitsFor('homeless', 'Unschedulable');
    assert.match(
      status?.waiting?.message ?? '',
      /^homeless-\S+: (no nodes available to schedule pods|0\/1 nodes are available: 1 )/,
    );
    assert.equal(status?.phase, 'Pending');
  });

  test('for an image: the kubelet’s words, and no longer when it is there', async () => {
    await fleet.submit('pulling', PLACED);
    const [server] = await fleet.expectPods('pulling', 3);
    for (const pod of await fleet.pods('pulling')) await fleet.bind(pod, 'node-of-nobody').catch(() => {});
    const words = 'Back-off pulling image "lepton/worker:test": not found';
    await fleet.setStatus(server!, notStarted('ImagePullBackOff', words));
    const { status } = await waitsFor('pulling', 'ImagePull');
    assert.equal(status?.waiting?.message, `pulling-server-0: ${words}`);
    await fleet.run('pulling');
    await fleet.phase('pulling', 'Starting');
    await waitsFor('pulling', 'Rendezvous');
  });

  test('for a secret of the template: the kubelet’s words', async () => {
    await fleet.submit('configured', PLACED);
    const [, worker] = await fleet.expectPods('configured', 3);
    for (const pod of await fleet.pods('configured')) await fleet.bind(pod, 'node-of-nobody').catch(() => {});
    const words = 'secret "dataset-key" not found';
    await fleet.setStatus(worker!, notStarted('CreateContainerConfigError', words));
    const { status } = await waitsFor('configured', 'ContainerConfig');
    assert.equal(status?.waiting?.message, `configured-worker-0: ${words}`);
  });

  test('the one thing that keeps it longest is named, since when it has', async () => {
    await fleet.submit('since');
    await fleet.expectPods('since', 3);
    const first = await waitsFor('since', 'Unschedulable');
    const message = '0/7 nodes are available: 7 Insufficient cpu.';
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message };
    for (const pod of await fleet.pods('since')) await fleet.setStatus(pod, { conditions: [condition] });
    const later = await fleet.expect('since', 'other words', ({ status }) =>
      /^since-\S+: 0\/7 nodes are available/.test(status?.waiting?.message ?? ''),
    );
    assert.equal(later.status?.waiting?.since, first.status?.waiting?.since);
  });

  test('observedGeneration follows the manifest', async () => {
    await fleet.submit('watched', { suspend: true });
    await fleet.phase('watched', 'Suspended');
    const { metadata } = await fleet.change('watched', { maxRestarts: 7 });
    assert.equal(metadata.generation, 2);
    const { status } = await fleet.expect(
      'watched',
      'generation 2',
      ({ status }) => status?.observedGeneration === 2,
    );
    for (const { observedGeneration } of status?.conditions ?? []) assert.equal(observedGeneration, 2);
  });

  test('pods on a node that has died are replaced, and removed by force when nobody answers for them', {
    timeout: 120_000,
  }, async () => {
    await fleet.plane.api.create(NODES, { metadata: { name: 'dying' } });
    await readiness('dying', 'True');
    await fleet.submit('stuck', { maxRestarts: 0, ...PLACED });
    for (const pod of await fleet.expectPods('stuck', 3)) await fleet.bind(pod, 'dying').catch(() => {});
    await fleet.run('stuck', { phase: 'Running', step: 3 });
    await fleet.phase('stuck', 'Running');
    const before = await fleet.pods('stuck');
    await readiness('dying', 'Unknown');
    // Pods without a kubelet stay: their deletion waits for the grace time and for somebody who ends them.
    const terminating = await until('the pods are being deleted', 30_000, async () => {
      const now = await fleet.pods('stuck');
      const same = now.every(({ metadata }, i) => metadata.uid === before[i]!.metadata.uid);
      return (same && now.every(({ metadata }) => metadata.deletionTimestamp)) || undefined;
    });
    assert.ok(terminating);
    const waits = await waitsFor('stuck', 'PodsTerminating');
    assert.equal(waits.status?.phase, 'Restarting');
    const fresh = await until('other pods', 90_000, async () => {
      const now = await fleet.pods('stuck');
      const others = now.filter(({ metadata }) => !uidsOf(before).includes(metadata.uid));
      return others.length === 3 && now.length === 3 ? others : undefined;
    });
    assert.deepEqual([...new Set(fresh.map(({ metadata }) => metadata.labels?.[LABELS.attempt]))], ['1']);
    const after = await fleet.job('stuck');
    assert.deepEqual([after.status?.attempt, after.status?.restarts], [1, 0]);
    await fleet.plane.api.delete(NODES, { name: 'dying' });
  });

  test('kubectl get leptonjobs: phase, workers, steps, loss, speed, goodput, age', async () => {
    await fleet.submit('shown');
    await fleet.run('shown', { phase: 'Running', step: 40, loss: 0.25, samplesPerSecond: 1234 });
    await fleet.expect('shown', 'progress', ({ status }) => status?.progress?.step === 40);
    const text = await fleet.plane.kubectl('get', 'leptonjobs', '-n', fleet.namespace, 'shown');
    const [head, row] = text.trim().split('\n') as [string, string];
    const columns = head.split(/\s{2,}|\s+/).map((name) => name.toLowerCase());
    for (const column of [
      'name',
      'phase',
      'ready',
      'workers',
      'step',
      'steps',
      'loss',
      'samples/s',
      'goodput',
      'age',
    ])
      assert.ok(columns.includes(column), `no column ${column} in ${head}`);
    assert.match(row, /^shown\s+Running\s+2\s+2\s+40\s+100\s+0\.25\s+1234\s/);
  });
});

const uidsOf = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.uid);

/** What node lifecycle makes of heartbeats. */
function readiness(name: string, status: 'True' | 'Unknown'): Promise<Stored> {
  const lastTransitionTime = new Date().toISOString().replace(/\.\d+Z/, 'Z');
  const reason = status === 'True' ? 'KubeletReady' : 'NodeStatusUnknown';
  const conditions = [{ type: 'Ready', status, reason, message: '', lastTransitionTime }];
  return fleet.plane.api.mergePatch(NODES, { name }, { status: { conditions } }, 'status');
}
