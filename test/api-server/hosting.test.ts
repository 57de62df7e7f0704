// Who holds a job's parameters on a real API server: servers, workers or both, and when that may change. Pods and coordinator do what the
// test says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SERVICES, type Stored } from '../../operator/kube/objects.ts';
import { Fleet, ranks } from './fleet.ts';

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager', 'kube-scheduler'] });
});
after(() => fleet?.[Symbol.asyncDispose]());

test('the number of parameter servers changes while the job is suspended, and at no other time', async () => {
  await fleet.submit('servers');
  await fleet.run('servers', { phase: 'Running', step: 7 });
  await fleet.phase('servers', 'Running');
  const two = { parameterServer: { replicas: 2 } };
  await assert.rejects(fleet.change('servers', two), /only while the job is suspended/);
  await assert.rejects(fleet.change('servers', { ...two, suspend: true }), /only while the job is suspended/);
  await fleet.change('servers', { suspend: true });
  await assert.rejects(fleet.change('servers', two), /only while the job is suspended/);
  const [server, ...workers] = await fleet.pods('servers');
  for (const worker of workers) await fleet.end(worker, 0);
  await fleet.end(server!, 0, { phase: 'Stopped', step: 8 });
  await fleet.phase('servers', 'Suspended');
  await fleet.change('servers', { ...two, suspend: false });
  const pods = await fleet.expectPods('servers', 4);
  assert.deepEqual(ranks(pods).slice(0, 2), ['servers-server-0', 'servers-server-1']);
  await fleet.run('servers', { phase: 'Running', step: 9 });
  const { status } = await fleet.phase('servers', 'Running');
  assert.deepEqual([status?.restarts, status?.parameterServer?.replicas], [0, 2]);
});

/** Names of the pods that the job's Service leads to. */
async function selected(name: string): Promise<string[]> {
  const at = { namespace: fleet.namespace, name };
  type Service = Stored & { spec: { selector: Record<string, string> } };
  const { spec } = await fleet.plane.api.get<Service>(SERVICES, at);
  const wanted = Object.entries(spec.selector);
  const pods = await fleet.pods(name);
  return ranks(
    pods.filter(({ metadata: { labels } }) => wanted.every(([key, value]) => labels?.[key] === value)),
  );
}

test('workers hold parameters beside a server since the job was suspended: server 0 coordinates, all are found', async () => {
  await fleet.submit('mixed');
  await fleet.run('mixed', { phase: 'Running', step: 7 });
  await fleet.phase('mixed', 'Running');
  assert.deepEqual(await selected('mixed'), ['mixed-server-0']);
  const mixed = { parameterServer: { placement: 'mixed' } };
  await assert.rejects(fleet.change('mixed', mixed), /only while the job is suspended/);
  await fleet.change('mixed', { suspend: true });
  const [server, ...workers] = await fleet.pods('mixed');
  for (const worker of workers) await fleet.end(worker, 0);
  await fleet.end(server!, 0, { phase: 'Stopped', step: 8 });
  await fleet.phase('mixed', 'Suspended');
  const three = { parameterServer: { replicas: 3, placement: 'mixed' } };
  await assert.rejects(fleet.change('mixed', three), /more workers that hold a part than servers/);
  await fleet.change('mixed', { ...mixed, suspend: false });
  const pods = ranks(await fleet.expectPods('mixed', 3));
  assert.deepEqual(pods, ['mixed-server-0', 'mixed-worker-0', 'mixed-worker-1']);
  assert.deepEqual(await selected('mixed'), pods);
  await fleet.run('mixed', { phase: 'Running', step: 9 });
  const { status } = await fleet.phase('mixed', 'Running');
  assert.deepEqual([status?.restarts, status?.parameterServer?.replicas], [0, 1]);
  const more = { worker: { replicas: 3 } };
  await assert.rejects(fleet.change('mixed', more), /only while the job is suspended/);
});

test('a job whose workers hold the parameters: worker 0 coordinates, and who holds them stays', async () => {
  const none = { worker: { replicas: 2, minReplicas: 2 }, parameterServer: { replicas: 0 } };
  await fleet.submit('holders', none);
  assert.deepEqual(ranks(await fleet.expectPods('holders', 2)), ['holders-worker-0', 'holders-worker-1']);
  await fleet.run('holders', { phase: 'Running', step: 7 });
  const { status } = await fleet.phase('holders', 'Running');
  assert.deepEqual([status?.parameterServer?.replicas, status?.progress?.step], [0, 7]);
  assert.deepEqual(await selected('holders'), ['holders-worker-0', 'holders-worker-1']);
  const more = { worker: { replicas: 2, minReplicas: 1 } };
  await assert.rejects(fleet.change('holders', more), /only while the job is suspended/);
  await assert.rejects(fleet.change('holders', { parameterServer: { replicas: 1 } }), /suspended/);
  const [coordinator] = await fleet.pods('holders');
  await fleet.end(coordinator!, 0, { phase: 'Succeeded', step: 100 });
  await fleet.phase('holders', 'Succeeded');
});
