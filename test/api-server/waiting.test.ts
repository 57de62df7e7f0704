// What a job waits for, in the words of a real scheduler and a real API server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Resource } from '../../operator/kube/objects.ts';
import { FakeNode } from './fake-node.ts';
import { Fleet } from './fleet.ts';

const TIMEOUT = { timeout: 180_000 };
const WAIT_MS = 60_000;
const CLAIMS: Resource = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  namespaced: true,
};
const QUOTAS: Resource = {
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  plural: 'resourcequotas',
  namespaced: true,
};

let fleet: Fleet;
let node: FakeNode;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager', 'kube-scheduler'] });
  node = await FakeNode.join(fleet.plane, { name: 'only' });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
  await fleet?.[Symbol.asyncDispose]();
});

const withClaim = (claimName: string) => ({
  worker: {
    replicas: 1,
    template: { spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }] } },
  },
});

async function waits(name: string, on: string, words: RegExp): Promise<void> {
  const { status } = await fleet.expect(
    name,
    `waits on ${on}: ${words}`,
    ({ status: now }) => now?.waiting?.on === on && words.test(now.waiting.message),
    WAIT_MS,
  );
  assert.ok(Date.parse(status!.waiting!.since) <= Date.now());
}

test('a claim that is not there', TIMEOUT, async () => {
  await fleet.submit('no-claim', withClaim('missing'));
  await waits('no-claim', 'Volume', /no-claim-\w+-0: .*persistentvolumeclaim "missing" not found/);
});

test('a claim that nobody binds', TIMEOUT, async () => {
  await fleet.plane.api.create(CLAIMS, {
    metadata: { name: 'unbound', namespace: fleet.namespace },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  } as never);
  await fleet.submit('unbound', withClaim('unbound'));
  await waits('unbound', 'Volume', /unbound-\w+-0: .*unbound immediate PersistentVolumeClaims/);
});

test('more than any node has', TIMEOUT, async () => {
  const containers = [{ name: 'lepton', resources: { requests: { cpu: '1000' } } }];
  await fleet.submit('greedy', { worker: { replicas: 1, template: { spec: { containers } } } });
  await waits('greedy', 'Unschedulable', /greedy-\w+-0: 0\/1 nodes are available: 1 Insufficient cpu/);
});

test('a gate that nobody opens', TIMEOUT, async () => {
  const schedulingGates = [{ name: 'example.com/not-yet' }];
  await fleet.submit('gated', { worker: { replicas: 1, template: { spec: { schedulingGates } } } });
  await waits('gated', 'Queue', /gated-\w+-0: Scheduling is blocked due to non-empty scheduling gates/);
});

test('workers that have not joined, and a coordinator that is not heard', TIMEOUT, async () => {
  await fleet.submit('meets');
  const waitsFor = { silent: [], awaited: [], standingSeconds: 0 };
  await fleet.run('meets', { phase: 'Starting', waits: { ...waitsFor, absent: [0, 1] } });
  await waits('meets', 'Rendezvous', /^no worker has joined yet$/);
  fleet.coordinators.get('meets')!.say({ phase: 'Running', waits: { ...waitsFor, absent: [1] } });
  await waits('meets', 'Rendezvous', /^worker 1 of 2 has not joined yet$/);
  fleet.coordinators.get('meets')!.say({ waits: { ...waitsFor, absent: [] } });
  const { status } = await fleet.phase('meets', 'Running');
  assert.equal(status?.waiting, undefined);
});

test('a quota that is full', TIMEOUT, async () => {
  const quota = { metadata: { name: 'full', namespace: fleet.namespace }, spec: { hard: { pods: '0' } } };
  await fleet.plane.api.create(QUOTAS, quota as never);
  await fleet.submit('over');
  await waits('over', 'Quota', /exceeded quota: full/);
});
