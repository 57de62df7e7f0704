// All pods of a job or none, on a real API server and scheduler: Kubernetes' own gang scheduling in the version that this minor has,
// the PodGroups of Volcano and scheduler-plugins under their real CRDs (their schedulers do not run: the test writes what they would),
// and Kueue's part played by the test.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type KubeObject, NODES, type Resource, type Stored } from '../../operator/kube/objects.ts';
import type { GangObject } from '../../operator/leptonjob/gang/backend.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import { CRDS, installCrd, installGangCrd } from '../cluster/install-crd.ts';
import { type Minor, minorOf } from '../cluster/minors.ts';
import { Fleet, RUNNING } from './fleet.ts';

let plane: ControlPlane;
let fleet: Fleet;
before(async () => {
  plane = await startControlPlane({
    with: ['kube-controller-manager', 'kube-scheduler', 'volcano-crds', 'scheduler-plugins-crds'],
    gangScheduling: true,
    // Nodes here are objects without a kubelet: nobody may find them dead.
    controllers: '*,-node-lifecycle-controller',
  });
  await installCrd(plane.api);
  const requests = { requests: { cpu: '1', memory: '64Mi' } };
  fleet = await Fleet.start(plane, {
    resources: { worker: requests, parameterServer: requests },
    times: { ...TIMES, discoverySeconds: 0.2 },
  });
});
after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await plane?.[Symbol.asyncDispose]();
});

const TIMES = { progressSeconds: 0.05, stopSeconds: 5, nodeLostSeconds: 60, forceDeleteSeconds: 1 };
/** Generous: slow machines run several control planes at once. */
const LONG_MS = 60_000;

const resource = (apiVersion: string, kind: string, plural: string): Resource => ({
  apiVersion,
  kind,
  plural,
  namespaced: true,
});

interface Native {
  /** The last one has the minimum. */
  readonly resources: readonly Resource[];
  readonly minimumAt: (spec: Record<string, unknown>) => number;
  readonly member: (name: string) => Record<string, unknown>;
  /** The minimum of a group may be changed. */
  readonly adjustable: boolean;
  /** A PodGroup has a status in which it says what it waits for. */
  readonly speaks: boolean;
  /** The scheduler wants all pods of a group alike. */
  readonly strict: boolean;
}

type Policy = { gang: { minCount: number } };

const groups = (version: string): readonly Resource[] => [
  resource(`scheduling.k8s.io/${version}`, 'Workload', 'workloads'),
  resource(`scheduling.k8s.io/${version}`, 'PodGroup', 'podgroups'),
];
const minimumOfGroup = (spec: Record<string, unknown>) => (spec['schedulingPolicy'] as Policy).gang.minCount;
const memberOfGroup = (name: string) => ({ schedulingGroup: { podGroupName: name } });

const NATIVE: Readonly<Record<Minor, Native>> = {
  '1.35': {
    resources: [resource('scheduling.k8s.io/v1alpha1', 'Workload', 'workloads')],
    minimumAt: (spec) => (spec['podGroups'] as { policy: Policy }[])[0]!.policy.gang.minCount,
    member: (name) => ({ workloadRef: { name, podGroup: 'pods' } }),
    adjustable: false,
    speaks: false,
    strict: false,
  },
  '1.36': {
    resources: groups('v1alpha2'),
    minimumAt: minimumOfGroup,
    member: memberOfGroup,
    adjustable: false,
    speaks: true,
    strict: false,
  },
  '1.37': {
    resources: groups('v1beta1'),
    minimumAt: minimumOfGroup,
    member: memberOfGroup,
    adjustable: true,
    speaks: true,
    strict: true,
  },
};
const native = NATIVE[minorOf()];
const NOT_STRICT = `Kubernetes ${minorOf()} lets every pod of a group have a priority of its own`;

const PRIORITY_CLASSES: Resource = {
  ...resource('scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses'),
  namespaced: false,
};

const VOLCANO = resource('scheduling.volcano.sh/v1beta1', 'PodGroup', 'podgroups');
const SCHEDULER_PLUGINS = resource('scheduling.x-k8s.io/v1alpha1', 'PodGroup', 'podgroups');

interface FullPod extends Pod {
  readonly spec?: Pod['spec'] & Record<string, unknown>;
}

const get = (of: Resource, name: string): Promise<GangObject | undefined> =>
  plane.api.get<GangObject>(of, { namespace: fleet.namespace, name }).catch(() => undefined);

const expectGroup = (of: Resource, name: string, holds: (group: GangObject) => boolean = () => true) =>
  until(`${of.kind} ${name} of ${of.apiVersion}`, LONG_MS, async () => {
    const group = await get(of, name);
    return group && holds(group) ? group : undefined;
  });

const expectGone = (of: Resource, name: string) =>
  until(`${of.kind} ${name} is gone`, LONG_MS, async () => (await get(of, name)) === undefined);

const pods = async (name: string) => (await fleet.pods(name)) as FullPod[];

/** Everything that the scheduler has given a node. */
const placed = async (name: string) => (await pods(name)).filter(({ spec }) => spec?.nodeName !== undefined);

const expectPlaced = (name: string, count: number) =>
  until(`${name}: ${count} pods have nodes`, LONG_MS, async () => {
    const now = await placed(name);
    return now.length === count ? now : undefined;
  });

async function addNode(name: string, cpu: string): Promise<void> {
  const node = await plane.api.create<Stored>(NODES, { metadata: { name } });
  const amounts = { cpu, memory: '8Gi', pods: '110' };
  const conditions = [{ type: 'Ready', status: 'True', reason: 'Test', message: '' }];
  await plane.api.mergePatch(
    NODES,
    node.metadata,
    { status: { capacity: amounts, allocatable: amounts, conditions } },
    'status',
  );
  // Admission marks every new node; the controller that would take the mark away does not run here.
  await plane.api.mergePatch(NODES, node.metadata, { spec: { taints: null } });
}

async function removeJob(name: string): Promise<void> {
  await plane.api.delete(LEPTON_JOBS, { namespace: fleet.namespace, name });
  await until(`${name}: no pods`, LONG_MS, async () => (await fleet.pods(name)).length === 0);
}

/** Two workers and one server of one CPU each, which end at once when they are deleted. */
const small = (more: Record<string, unknown> = {}) => ({
  worker: { replicas: 2, template: { spec: { terminationGracePeriodSeconds: 0 } } },
  ...more,
});

const minimum = ({ spec = {} }: GangObject) => native.minimumAt(spec as Record<string, unknown>);
const [last, first] = [native.resources.at(-1)!, native.resources[0]!];

test('a gang that does not fit starts no pod, and says so; when there is room all start at once', async () => {
  await addNode('narrow', '2');
  await fleet.submit('gang', small());
  const made = await fleet.expectPods('gang', 3);
  const group = await get(last, 'gang');
  assert.ok(group, 'the group is there before the pods');
  assert.equal(minimum(group), 3);
  const { uid } = (await fleet.job('gang')).metadata;
  for (const of of native.resources)
    assert.equal((await get(of, 'gang'))?.metadata.ownerReferences?.[0]?.uid, uid);
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
  assert.deepEqual(await placed('gang'), []);
  await addNode('wide', '2');
  await expectPlaced('gang', 3);
});

test('a pod that is replaced joins the group that was there', async () => {
  const { uid } = (await get(last, 'gang'))!.metadata;
  await fleet.run('gang', { phase: 'Running', step: 5 });
  await fleet.phase('gang', 'Running');
  const [, worker] = await fleet.pods('gang');
  await fleet.end(worker!, 137);
  await fleet.expect('gang', 'one restart', ({ status }) => status?.restarts === 1, LONG_MS);
  await until('the replacement has a node', LONG_MS, async () => {
    const [, now] = await pods('gang');
    return now !== undefined && now.metadata.uid !== worker!.metadata.uid && now.spec?.nodeName !== undefined;
  });
  assert.equal((await get(last, 'gang'))?.metadata.uid, uid);
});

test('a run that begins anew with another number of workers has another minimum', async () => {
  await fleet.run('gang', { phase: 'Running', step: 6, workerCount: 2 });
  const { uid } = (await get(last, 'gang'))!.metadata;
  const old = new Set((await fleet.pods('gang')).map((pod) => pod.metadata.uid));
  // With a coordinator that answers the run would go on, in the same group.
  fleet.coordinators.get('gang')!.hush();
  await fleet.change('gang', { worker: { replicas: 3 } });
  const group = await expectGroup(last, 'gang', (now) => minimum(now) === 4);
  assert.equal(group.metadata.uid === uid, native.adjustable, 'made anew only where it cannot be changed');
  assert.equal(native.resources.length > 1 ? templateMinimum(await get(first, 'gang')) : 4, 4);
  await until('four new pods have nodes', LONG_MS, async () => {
    const now = await placed('gang');
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
  for (const of of native.resources) await expectGone(of, 'gang');
  await fleet.change('gang', { suspend: false });
  await expectPlaced('gang', 4);
  assert.equal(minimum((await get(last, 'gang'))!), 4);
});

test('the group goes with the job', async () => {
  await removeJob('gang');
  for (const of of native.resources) await expectGone(of, 'gang');
});

test('the group of a finished job is gone, its last pods are not', async () => {
  await fleet.submit('done', small({ cleanPodPolicy: 'None' }));
  await expectPlaced('done', 3);
  await fleet.run('done', { phase: 'Succeeded', step: 100 });
  await fleet.phase('done', 'Succeeded');
  for (const pod of await fleet.pods('done')) await fleet.end(pod, 0);
  for (const of of native.resources) await expectGone(of, 'done');
  assert.equal((await fleet.pods('done')).length, 3);
  await removeJob('done');
});

test('a foreign object under the name of the group is left alone and reported', async () => {
  const spec = { ...(await specOfAnother()), controllerRef: undefined };
  const foreign = await plane.api.create<GangObject>(last, {
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
  assert.equal((await get(last, 'taken'))?.metadata.uid, foreign.metadata.uid);
  assert.equal((await fleet.pods('taken')).length, 0);
  await removeJob('taken');
  assert.equal((await get(last, 'taken'))?.metadata.uid, foreign.metadata.uid);
});

/** A spec that the server accepts: what the operator itself makes. */
async function specOfAnother(): Promise<Record<string, unknown>> {
  await fleet.submit('another', small());
  const { spec } = await expectGroup(last, 'another');
  await removeJob('another');
  return { ...spec, podGroupTemplateRef: undefined, workloadRef: undefined };
}

test('workers that join a run or leave it keep its group; its minimum follows where it can', async () => {
  await fleet.submit('elastic', small());
  await expectPlaced('elastic', 3);
  await fleet.run('elastic', { phase: 'Running', step: 5, workerCount: 2 });
  await fleet.phase('elastic', 'Running');
  const coordinator = fleet.coordinators.get('elastic')!;
  const { uid } = (await get(last, 'elastic'))!.metadata;
  let [step, trains] = [5, 2];
  const training = setInterval(() => coordinator.say({ step: ++step, workerCount: trains }), 200);
  try {
    await resize('elastic', 3);
    const [newcomer] = (await expectPlaced('elastic', 4)).filter(({ status }) => status?.phase === 'Pending');
    await fleet.setStatus(newcomer!, RUNNING);
    trains = 3;
    await settled(3);
    await expectGroup(last, 'elastic', (group) => minimum(group) === (native.adjustable ? 4 : 3));
    await resize('elastic', 1);
    trains = 1;
    for (const pod of (await fleet.pods('elastic')).slice(2)) await fleet.end(pod, 0, { phase: 'Left' });
    await settled(1);
    await fleet.expectPods('elastic', 2);
  } finally {
    clearInterval(training);
  }
  const group = await expectGroup(last, 'elastic', (now) => minimum(now) === (native.adjustable ? 2 : 3));
  assert.equal(group.metadata.uid, uid);
});

const resize = async (name: string, workers: number): Promise<void> => {
  await fleet.change(name, { worker: { replicas: workers } });
  const { resizes } = fleet.coordinators.get(name)!;
  await until('the coordinator is asked', LONG_MS, () => resizes.at(-1)?.workers === workers);
};

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
    const now = await placed('elastic');
    return now.length === 2 && now.every(({ metadata }) => metadata.uid !== worker!.metadata.uid);
  });
  assert.equal(minimum((await get(last, 'elastic'))!), 2);
  await removeJob('elastic');
});

test('a group has the priority of its pods, wherever that is said', async () => {
  await plane.api.create(PRIORITY_CLASSES, { metadata: { name: 'high' }, value: 1000 } as KubeObject);
  const template = { spec: { terminationGracePeriodSeconds: 0, priorityClassName: 'high' } };
  await fleet.submit('templated', { worker: { replicas: 1, template } });
  await expectPlaced('templated', 2);
  await removeJob('templated');
  await fleet.submit('named', small({ scheduling: { priorityClassName: 'high' } }));
  await expectPlaced('named', 3);
  await removeJob('named');
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
  await removeJob('mixed');
});

test('gang: none makes pods and nothing else', async () => {
  await fleet.submit('alone', small({ scheduling: { gang: 'none' } }));
  const made = (await fleet.expectPods('alone', 3)) as FullPod[];
  for (const { spec } of made)
    for (const field of Object.keys(native.member('alone'))) assert.equal(spec?.[field], undefined);
  for (const of of native.resources) assert.equal(await get(of, 'alone'), undefined);
  await removeJob('alone');
});

test('Volcano: what is not served is waited for and found when it comes; pods come when the group is in the queue', async () => {
  await fleet.submit('volcano', small({ scheduling: { gang: 'volcano', queue: 'team-a' } }));
  const { status } = await fleet.expect(
    'volcano',
    'waits for Volcano',
    ({ status: is }) => is?.waiting?.on === 'GangNotServed',
    LONG_MS,
  );
  assert.match(
    status?.waiting?.message ?? '',
    /asks for volcano: .* podgroups of scheduling\.volcano\.sh\/v1beta1/,
  );
  const accepted = status?.conditions?.find(({ type }) => type === 'Accepted');
  assert.deepEqual([accepted?.status, accepted?.reason], ['False', 'GangNotServed']);
  assert.equal((await fleet.pods('volcano')).length, 0);
  await installGangCrd(plane, 'volcano-crds');
  const group = await expectGroup(VOLCANO, 'volcano');
  assert.deepEqual(group.spec, {
    minMember: 3,
    minResources: { cpu: '3', memory: '201326592' },
    queue: 'team-a',
  });
  await fleet.expect(
    'volcano',
    'waits for the queue',
    ({ status: is }) => is?.waiting?.on === 'Queue',
    LONG_MS,
  );
  assert.equal((await fleet.pods('volcano')).length, 0);
  const words = {
    type: 'Unschedulable',
    status: 'True',
    reason: 'NotEnoughResources',
    message: 'queue team-a is full',
  };
  await say('volcano', { phase: 'Pending', conditions: [words] });
  const { status: told } = await fleet.expect(
    'volcano',
    "Volcano's words",
    ({ status: is }) => is?.waiting?.message.includes(words.message) ?? false,
    LONG_MS,
  );
  assert.deepEqual(
    [told?.waiting?.on, told?.waiting?.message],
    ['Queue', `PodGroup volcano: ${words.message}`],
  );
  await say('volcano', { phase: 'Inqueue' });
  for (const { metadata, spec } of (await fleet.expectPods('volcano', 3)) as FullPod[]) {
    assert.equal(metadata.annotations?.['scheduling.k8s.io/group-name'], 'volcano');
    assert.equal(spec?.['schedulerName'], 'volcano');
  }
});

test('Volcano: a pod is replaced though its group counts as pending again', async () => {
  await fleet.run('volcano', { phase: 'Running', step: 1 });
  await fleet.phase('volcano', 'Running');
  await say('volcano', { phase: 'Pending', conditions: [] });
  const [, worker] = await fleet.pods('volcano');
  await fleet.end(worker!, 137);
  await until('the replacement is there', LONG_MS, async () => {
    const [, now] = await fleet.pods('volcano');
    return now !== undefined && now.metadata.uid !== worker!.metadata.uid;
  });
});

const say = (name: string, status: unknown) =>
  plane.api.mergePatch(VOLCANO, { namespace: fleet.namespace, name }, { status });

test('Volcano: the minimum and what it needs follow the number of workers, in the same group', async () => {
  const { uid } = (await get(VOLCANO, 'volcano'))!.metadata;
  await fleet.run('volcano', { phase: 'Running', step: 1, workerCount: 2 });
  await say('volcano', { phase: 'Running', conditions: [] });
  await resize('volcano', 1);
  fleet.coordinators.get('volcano')!.say({ workerCount: 1 });
  await fleet.end((await fleet.pods('volcano'))[2]!, 0, { phase: 'Left' });
  const group = await expectGroup(VOLCANO, 'volcano', ({ spec }) => spec?.['minMember'] === 2);
  assert.equal(group.metadata.uid, uid);
  assert.deepEqual(group.spec?.['minResources'], { cpu: '2', memory: '134217728' });
  await fleet.expectPods('volcano', 2);
  await removeJob('volcano');
  await expectGone(VOLCANO, 'volcano');
});

test('scheduler-plugins: found when it comes; the scheduler is the one that the template names', async () => {
  const template = { spec: { terminationGracePeriodSeconds: 0, schedulerName: 'coscheduler' } };
  await fleet.submit('plugins', {
    worker: { replicas: 2, template },
    scheduling: { gang: 'schedulerPlugins' },
  });
  await fleet.expect('plugins', 'waits', ({ status }) => status?.waiting?.on === 'GangNotServed', LONG_MS);
  await installGangCrd(plane, 'scheduler-plugins-crds');
  const made = (await until('three pods', LONG_MS, async () => {
    const now = await pods('plugins');
    return now.length === 3 ? now : undefined;
  })) as FullPod[];
  const group = await get(SCHEDULER_PLUGINS, 'plugins');
  assert.deepEqual(group?.spec, { minMember: 3, minResources: { cpu: '3', memory: '201326592' } });
  for (const { metadata, spec } of made) {
    assert.equal(metadata.labels?.['scheduling.x-k8s.io/pod-group'], 'plugins');
    assert.equal(spec?.['schedulerName'], 'coscheduler');
  }
  // The garbage collector needs up to half a minute to learn of a new kind.
  assert.equal(group?.metadata.ownerReferences?.[0]?.uid, (await fleet.job('plugins')).metadata.uid);
  await removeJob('plugins');
});

test('a back-end that goes is not used any more: running pods stay, new ones wait and say why', async () => {
  await fleet.submit('orphan', small({ scheduling: { gang: 'schedulerPlugins' } }));
  await fleet.expectPods('orphan', 3);
  await plane.api.delete(CRDS, { name: 'podgroups.scheduling.x-k8s.io' });
  const [server, worker] = await fleet.pods('orphan');
  await fleet.end(worker!, 137);
  const { status } = await fleet.expect(
    'orphan',
    'waits',
    ({ status: is }) => is?.waiting?.on === 'GangNotServed' && is.restarts === 1,
    LONG_MS,
  );
  assert.match(status?.waiting?.message ?? '', /were started with schedulerPlugins/);
  assert.equal((await fleet.pods('orphan'))[0]?.metadata.uid, server!.metadata.uid);
  await removeJob('orphan');
});

test('Kueue: admitted by suspend: false with what it put into the template, evicted by suspend: true', async () => {
  const name = 'kueue';
  const labels = { 'kueue.x-k8s.io/queue-name': 'team-b' };
  await fleet.submit(name, small({ suspend: true, scheduling: { gang: 'none' } }), labels);
  const { status } = await fleet.expect(
    name,
    'waits for the queue',
    ({ status: is }) => is?.waiting?.on === 'Queue',
    LONG_MS,
  );
  assert.match(status?.waiting?.message ?? '', /team-b/);
  assert.equal((await fleet.pods(name)).length, 0);
  const toleration = { key: 'flavour', operator: 'Equal', value: 'spot', effect: 'NoSchedule' };
  const injected = { nodeSelector: { flavour: 'spot' }, tolerations: [toleration] };
  await fleet.change(name, { suspend: true, worker: { template: { spec: injected } } });
  await fleet.change(name, { suspend: false });
  for (const { spec } of (await fleet.expectPods(name, 3)) as FullPod[]) {
    assert.deepEqual(spec?.['nodeSelector'], injected.nodeSelector);
    const tolerations = spec?.['tolerations'] as { key: string }[];
    assert.ok(tolerations.some(({ key }) => key === 'flavour'));
  }
  await fleet.change(name, { suspend: true });
  await fleet.expect(name, 'evicted', ({ status: is }) => is?.phase === 'Suspended', LONG_MS);
  assert.equal((await fleet.pods(name)).length, 0);
  await fleet.change(name, { worker: { template: { spec: { nodeSelector: null, tolerations: null } } } });
  await fleet.change(name, { suspend: false });
  for (const { spec } of (await fleet.expectPods(name, 3)) as FullPod[])
    assert.equal(spec?.['nodeSelector'], undefined);
  await removeJob(name);
});

test('MultiKueue: a job that another cluster runs is left alone', async () => {
  await fleet.submit('elsewhere', small({ managedBy: 'kueue.x-k8s.io/multikueue' }));
  await fleet.submit('here', small({ scheduling: { gang: 'none' } }));
  await fleet.expectPods('here', 3);
  assert.equal((await fleet.pods('elsewhere')).length, 0);
  assert.equal((await fleet.job('elsewhere')).status, undefined);
});
