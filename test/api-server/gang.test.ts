// All pods of a job or none, on a real API server and scheduler: Kubernetes' own gang scheduling in the version that this minor has;
// those of others (foreign-gangs.ts) come after it, on the same control plane.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KubeObject, Resource } from '../../operator/kube/objects.ts';
import type { GangObject } from '../../operator/leptonjob/gang/backend.ts';
import { until } from '../cluster/daemon.ts';
import { minorOf } from '../cluster/minors.ts';
import { type Fleet, RUNNING } from './fleet.ts';
import { foreignGangsIn } from './foreign-gangs.ts';
import { type FullPod, Ground, LONG_MS, small } from './gang-ground.ts';
import { NATIVE, type Policy, resource } from './native-gangs.ts';

let ground: Ground;
let fleet: Fleet;
before(async () => {
  ground = await Ground.start();
  fleet = ground.fleet;
});
after(() => ground?.[Symbol.asyncDispose]());

const native = NATIVE[minorOf()];
const NOT_STRICT = `Kubernetes ${minorOf()} lets every pod of a group have a priority of its own`;

const PRIORITY_CLASSES: Resource = {
  ...resource('scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses'),
  namespaced: false,
};

const minimum = ({ spec = {} }: GangObject) => native.minimumAt(spec as Record<string, unknown>);
const [last, first] = [native.resources.at(-1)!, native.resources[0]!];

test('a gang that does not fit starts no pod, and says so; when there is room all start at once', async () => {
  await ground.addNode('narrow', '2');
  await fleet.submit('gang', small());
  const made = await fleet.expectPods('gang', 3);
  const group = await ground.get(last, 'gang');
  assert.ok(group, 'the group is there before the pods');
  assert.equal(minimum(group), 3);
  const { uid } = (await fleet.job('gang')).metadata;
  for (const of of native.resources)
    assert.equal((await ground.get(of, 'gang'))?.metadata.ownerReferences?.[0]?.uid, uid);
  for (const { spec } of made as FullPod[])
    for (const [field, value] of Object.entries(native.member('gang')))
      assert.deepEqual(spec?.[field], value);
  const { status } = await fleet.expect(
    'gang',
    'waits for places',
    ({ status: is }) =>
      is?.waiting?.on === 'Unschedulable' &&
      (!native.speaks || is.waiting.message.startsWith('PodGroup gang: ')),
    LONG_MS,
  );
  assert.equal(status?.gang, 'kubernetes');
  assert.deepEqual(await ground.placed('gang'), []);
  await ground.addNode('wide', '2');
  await ground.expectPlaced('gang', 3);
});

test('a pod that is replaced joins the group that was there', async () => {
  const { uid } = (await ground.get(last, 'gang'))!.metadata;
  await fleet.run('gang', { phase: 'Running', step: 5 });
  await fleet.phase('gang', 'Running');
  const [, worker] = await fleet.pods('gang');
  await fleet.end(worker!, 137);
  await fleet.expect('gang', 'one restart', ({ status }) => status?.restarts === 1, LONG_MS);
  await until('the replacement has a node', LONG_MS, async () => {
    const [, now] = await ground.pods('gang');
    return now !== undefined && now.metadata.uid !== worker!.metadata.uid && now.spec?.nodeName !== undefined;
  });
  assert.equal((await ground.get(last, 'gang'))?.metadata.uid, uid);
});

test('a run that begins anew with another number of workers has another minimum', async () => {
  await fleet.run('gang', { phase: 'Running', step: 6, workerCount: 2 });
  const { uid } = (await ground.get(last, 'gang'))!.metadata;
  const old = new Set((await fleet.pods('gang')).map((pod) => pod.metadata.uid));
  // With a coordinator that answers the run would go on, in the same group.
  fleet.coordinators.get('gang')!.hush();
  await fleet.change('gang', { worker: { replicas: 3 } });
  const group = await ground.expectGroup(last, 'gang', (now) => minimum(now) === 4);
  assert.equal(group.metadata.uid === uid, native.adjustable, 'made anew only where it cannot be changed');
  assert.equal(native.resources.length > 1 ? templateMinimum(await ground.get(first, 'gang')) : 4, 4);
  await until('four new pods have nodes', LONG_MS, async () => {
    const now = await ground.placed('gang');
    return now.length === 4 && now.every((pod) => !old.has(pod.metadata.uid));
  });
});

function templateMinimum(workload: GangObject | undefined): number | undefined {
  const [template] = (workload?.spec?.['podGroupTemplates'] ?? []) as { schedulingPolicy: Policy }[];
  return template?.schedulingPolicy.gang.minCount;
}

test('a suspended job holds no places; the group comes back with it', async () => {
  await fleet.change('gang', { suspend: true });
  await fleet.expect('gang', 'suspended', ({ status }) => status?.phase === 'Suspended', LONG_MS);
  for (const of of native.resources) await ground.expectGone(of, 'gang');
  await fleet.change('gang', { suspend: false });
  await ground.expectPlaced('gang', 4);
  assert.equal(minimum((await ground.get(last, 'gang'))!), 4);
});

test('the group goes with the job', async () => {
  await ground.removeJob('gang');
  for (const of of native.resources) await ground.expectGone(of, 'gang');
});

test('the group of a finished job is gone, its last pods are not', async () => {
  await fleet.submit('done', small({ cleanPodPolicy: 'None' }));
  await ground.expectPlaced('done', 3);
  await fleet.run('done', { phase: 'Succeeded', step: 100 });
  await fleet.phase('done', 'Succeeded');
  for (const pod of await fleet.pods('done')) await fleet.end(pod, 0);
  for (const of of native.resources) await ground.expectGone(of, 'done');
  assert.equal((await fleet.pods('done')).length, 3);
  await ground.removeJob('done');
});

test('a foreign object under the name of the group is left alone and reported', async () => {
  const spec = { ...(await specOfAnother()), controllerRef: undefined };
  const foreign = await fleet.plane.api.create<GangObject>(last, {
    metadata: { name: 'taken', namespace: fleet.namespace },
    spec,
  } as KubeObject);
  await fleet.submit('taken', small());
  const { status } = await fleet.expect(
    'taken',
    'the conflict is reported',
    ({ status: is }) => is?.waiting?.on === 'NameConflict',
    LONG_MS,
  );
  assert.match(status?.waiting?.message ?? '', new RegExp(`${last.kind} taken`));
  assert.equal((await ground.get(last, 'taken'))?.metadata.uid, foreign.metadata.uid);
  assert.equal((await fleet.pods('taken')).length, 0);
  await ground.removeJob('taken');
  assert.equal((await ground.get(last, 'taken'))?.metadata.uid, foreign.metadata.uid);
});

/** A spec that the server accepts: what the operator itself makes. */
async function specOfAnother(): Promise<Record<string, unknown>> {
  await fleet.submit('another', small());
  const { spec } = await ground.expectGroup(last, 'another');
  await ground.removeJob('another');
  return { ...spec, podGroupTemplateRef: undefined, workloadRef: undefined };
}

test('workers that join a run or leave it keep its group; its minimum follows where it can', async () => {
  await fleet.submit('elastic', small());
  await ground.expectPlaced('elastic', 3);
  await fleet.run('elastic', { phase: 'Running', step: 5, workerCount: 2 });
  await fleet.phase('elastic', 'Running');
  const coordinator = fleet.coordinators.get('elastic')!;
  const { uid } = (await ground.get(last, 'elastic'))!.metadata;
  let [step, trains] = [5, 2];
  const training = setInterval(() => coordinator.say({ step: ++step, workerCount: trains }), 200);
  try {
    await ground.resize('elastic', 3);
    const [newcomer] = (await ground.expectPlaced('elastic', 4)).filter(
      ({ status }) => status?.phase === 'Pending',
    );
    await fleet.setStatus(newcomer!, RUNNING);
    trains = 3;
    await settled(3);
    await ground.expectGroup(last, 'elastic', (group) => minimum(group) === (native.adjustable ? 4 : 3));
    await ground.resize('elastic', 1);
    trains = 1;
    for (const pod of (await fleet.pods('elastic')).slice(2)) await fleet.end(pod, 0, { phase: 'Left' });
    await settled(1);
    await fleet.expectPods('elastic', 2);
  } finally {
    clearInterval(training);
  }
  const group = await ground.expectGroup(
    last,
    'elastic',
    (now) => minimum(now) === (native.adjustable ? 2 : 3),
  );
  assert.equal(group.metadata.uid, uid);
});

const settled = (workers: number) =>
  fleet.expect(
    'elastic',
    `${workers} workers`,
    ({ status }) => status?.worker?.replicas === workers && !status.resizing,
    LONG_MS,
  );

test('a pod that is replaced in a run that has shrunk does not wait for those that left', async () => {
  const [, worker] = await fleet.pods('elastic');
  await fleet.end(worker!, 137);
  await until('the replacement has a node', LONG_MS, async () => {
    const now = await ground.placed('elastic');
    return now.length === 2 && now.every(({ metadata }) => metadata.uid !== worker!.metadata.uid);
  });
  assert.equal(minimum((await ground.get(last, 'elastic'))!), 2);
  await ground.removeJob('elastic');
});

test('a group has the priority of its pods, wherever that is said', async () => {
  await fleet.plane.api.create(PRIORITY_CLASSES, { metadata: { name: 'high' }, value: 1000 } as KubeObject);
  const template = { spec: { terminationGracePeriodSeconds: 0, priorityClassName: 'high' } };
  await fleet.submit('templated', { worker: { replicas: 1, template } });
  await ground.expectPlaced('templated', 2);
  await ground.removeJob('templated');
  await fleet.submit('named', small({ scheduling: { priorityClassName: 'high' } }));
  await ground.expectPlaced('named', 3);
  await ground.removeJob('named');
});

test('a group that the scheduler does not take is told in its words', {
  skip: native.strict ? false : NOT_STRICT,
}, async () => {
  const template = { spec: { terminationGracePeriodSeconds: 0 } };
  const urgent = { spec: { terminationGracePeriodSeconds: 0, priorityClassName: 'high' } };
  await fleet.submit('mixed', {
    worker: { replicas: 1, template },
    parameterServer: { replicas: 1, template: urgent },
  });
  const { status } = await fleet.expect(
    'mixed',
    'the words of the scheduler',
    ({ status: is }) => is?.waiting?.message.startsWith('PodGroup mixed: ') ?? false,
    LONG_MS,
  );
  assert.match(status?.waiting?.message ?? '', /same priority/);
  await ground.removeJob('mixed');
});

test('gang: none makes pods and nothing else', async () => {
  await fleet.submit('alone', small({ scheduling: { gang: 'none' } }));
  const made = (await fleet.expectPods('alone', 3)) as FullPod[];
  for (const { spec } of made)
    for (const field of Object.keys(native.member('alone'))) assert.equal(spec?.[field], undefined);
  for (const of of native.resources) assert.equal(await ground.get(of, 'alone'), undefined);
  await ground.removeJob('alone');
});

foreignGangsIn(() => ground);
