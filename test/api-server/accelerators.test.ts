// Workers that ask for accelerators, before a real scheduler and nodes that offer an extended resource, or do not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { FakeNode } from './fake-node.ts';
import { Fleet } from './fleet.ts';

const TIMEOUT = { timeout: 180_000 };
const GPU = 'example.com/gpu';
const WAIT_MS = 60_000;

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager', 'kube-scheduler'] });
});
after(() => fleet?.[Symbol.asyncDispose]());

const nodesOf = (pods: readonly Pod[]) => pods.map(({ spec }) => spec?.nodeName);

/** What the job waits for, once the scheduler has spoken. */
async function waiting(name: string, words: RegExp): Promise<string> {
  const { status } = await fleet.expect(
    name,
    `waits for accelerators: ${words}`,
    ({ status: now }) => now?.waiting?.on === 'Accelerators' && words.test(now.waiting.message),
    WAIT_MS,
  );
  return status!.waiting!.message;
}

async function bound(name: string, count: number): Promise<Pod[]> {
  return await until(`${count} pods of ${name} have nodes`, WAIT_MS, async () => {
    const pods = await fleet.pods(name);
    return pods.filter(({ spec }) => spec?.nodeName !== undefined).length === count ? pods : undefined;
  });
}

test(
  'no node offers it, then too little, then enough: waiting says each, and the pods are bound',
  TIMEOUT,
  async () => {
    await using node = await FakeNode.join(fleet.plane, { name: 'grows' });
    await fleet.submit('asks', { worker: { replicas: 2, accelerators: { [GPU]: 2 } } });
    const pods = await fleet.expectPods('asks', 3);
    const requests = pods.map(
      ({ spec }) =>
        (spec as { containers: { resources?: { requests?: Record<string, string> } }[] }).containers[0]
          ?.resources?.requests?.[GPU],
    );
    assert.deepEqual(requests, [undefined, '2', '2']);
    assert.match(
      await waiting('asks', /Insufficient/),
      /^a worker asks for 2 example.com\/gpu, and no node offers any; the scheduler says of asks-worker-\d: 0\/1 nodes are available: 1 Insufficient example.com\/gpu/,
    );
    assert.deepEqual(nodesOf(await bound('asks', 1)), ['grows', undefined, undefined]);
    await node.offer({ [GPU]: '1' });
    assert.match(
      await waiting('asks', /largest/),
      /^a worker asks for 2 example.com\/gpu, and the largest node offers 1 \(grows\)/,
    );
    await node.offer({ [GPU]: '4' });
    assert.deepEqual(nodesOf(await bound('asks', 3)), ['grows', 'grows', 'grows']);
    await fleet.run('asks', { phase: 'Running', step: 1 });
    const { status } = await fleet.phase('asks', 'Running');
    assert.equal(status?.waiting, undefined);
  },
);

test('taken by others: that is the scheduler’s to say', TIMEOUT, async () => {
  await using node = await FakeNode.join(fleet.plane, { name: 'full', offers: { [GPU]: '1' } });
  await fleet.submit('crowd', { worker: { replicas: 2, accelerators: { [GPU]: 1 } } });
  await bound('crowd', 2);
  const { status } = await fleet.expect(
    'crowd',
    'one worker has no place',
    ({ status: now }) => now?.waiting?.on === 'Unschedulable',
    WAIT_MS,
  );
  assert.match(
    status!.waiting!.message,
    /^crowd-worker-\d: 0\/1 nodes are available: 1 Insufficient example.com\/gpu/,
  );
  assert.ok(node);
});

test(
  'nodes kept for accelerators by a taint take workers that ask for them, and no servers',
  TIMEOUT,
  async () => {
    const taints = [{ key: GPU, value: 'present', effect: 'NoSchedule' }];
    await using kept = await FakeNode.join(fleet.plane, { name: 'kept', offers: { [GPU]: '4' }, taints });
    await fleet.submit('tainted', { worker: { replicas: 2, accelerators: { [GPU]: 1 } } });
    assert.deepEqual(nodesOf(await bound('tainted', 2)), [undefined, 'kept', 'kept']);
    const { status } = await fleet.expect(
      'tainted',
      'the server has no place',
      ({ status: now }) => now?.waiting?.on === 'Unschedulable',
      WAIT_MS,
    );
    assert.match(
      status!.waiting!.message,
      /^tainted-server-0: 0\/1 nodes are available: 1 node\(s\) had untolerated taint/,
    );
    await using plain = await FakeNode.join(fleet.plane, { name: 'plain' });
    assert.deepEqual(nodesOf(await bound('tainted', 3)), [plain.name, kept.name, kept.name]);
  },
);
