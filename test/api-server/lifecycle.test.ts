// The life of a LeptonJob on a real API server, one row per transition. Pods and coordinator do what the test says.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  CONFIG_MAPS,
  type KubeObject,
  NODES,
  PODS,
  SECRETS,
  SERVICES,
  type Stored,
} from '../../operator/kube/objects.ts';
import { LABELS, LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { Fleet, RUNNING, ranks } from './fleet.ts';

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager', 'kube-scheduler'] });
});
after(() => fleet?.[Symbol.asyncDispose]());

test('a job becomes pods, a service, a config and certificates, all owned by it', async () => {
  const { metadata } = await fleet.submit('first');
  const pods = await fleet.expectPods('first', 3);
  assert.deepEqual(ranks(pods), ['first-server-0', 'first-worker-0', 'first-worker-1']);
  for (const [resource, prefix] of [
    [SERVICES, 'first'],
    [CONFIG_MAPS, 'first-config-'],
    [SECRETS, 'first-tls'],
    [PODS, 'first-'],
  ] as const) {
    const { items } = await fleet.plane.api.list<Stored>(resource, { namespace: fleet.namespace });
    const own = items.filter(({ metadata: { name } }) => name.startsWith(prefix));
    assert.ok(own.length > 0, `${resource.kind}: none`);
    for (const item of own) assert.equal(item.metadata.ownerReferences?.[0]?.uid, metadata.uid);
  }
});

test('a server’s pod is made with what starts a killed process again in it', async () => {
  await fleet.submit('kept');
  const pods = await fleet.expectPods('kept', 3);
  // An API server drops what it does not know.
  type Container = { restartPolicy?: string; restartPolicyRules?: { action: string }[] };
  const facts = pods.map(({ metadata: { name }, spec }) => {
    const [container] = (spec as { containers: Container[] }).containers;
    return [name, container?.restartPolicy, container?.restartPolicyRules?.map(({ action }) => action)];
  });
  assert.deepEqual(facts, [
    ['kept-server-0', 'Never', ['Restart']],
    ['kept-worker-0', undefined, undefined],
    ['kept-worker-1', undefined, undefined],
  ]);
  await fleet.plane.api.delete(LEPTON_JOBS, { namespace: fleet.namespace, name: 'kept' });
});

test('Pending, Starting, Running with progress, Succeeded; running pods go, ended ones stay', async () => {
  await fleet.submit('walk');
  await fleet.phase('walk', 'Pending');
  await fleet.run('walk');
  const starting = await fleet.phase('walk', 'Starting');
  assert.equal(starting.status?.waiting?.on, 'Rendezvous');
  fleet.coordinators.get('walk')!.say({ phase: 'Running', step: 10, samplesPerSecond: 123.456, loss: 0.5 });
  await fleet.phase('walk', 'Running');
  const running = await fleet.expect('walk', 'progress', ({ status }) => status?.progress?.step === 10);
  assert.deepEqual(
    [
      running.status?.progress?.steps,
      running.status?.progress?.samplesPerSecond,
      running.status?.progress?.loss,
    ],
    [100, 123.456, 0.5],
  );
  assert.deepEqual([running.status?.worker?.ready, running.status?.worker?.replicas], [2, 2]);
  const [server] = await fleet.pods('walk');
  fleet.coordinators.get('walk')!.say({ phase: 'Succeeded', step: 100, evaluation: { accuracy: 0.9 } });
  const done = await fleet.phase('walk', 'Succeeded');
  assert.deepEqual(done.status?.output, { uri: '/output', metrics: { accuracy: 0.9 } });
  assert.ok(done.status?.completionTime);
  assert.equal(done.status?.conditions?.find(({ type }) => type === 'Succeeded')?.status, 'True');
  await until(
    'running pods are deleted',
    10_000,
    async () => (await fleet.pods('walk')).length === 0 || undefined,
  );
  assert.ok(server);
});

test('the last words of the coordinator are enough: nobody listened', async () => {
  await fleet.submit('words', { cleanPodPolicy: 'None' });
  const pods = await fleet.expectPods('words', 3);
  for (const pod of pods) await fleet.setStatus(pod, RUNNING);
  await fleet.phase('words', 'Starting');
  await fleet.end(pods[0]!, 0, { phase: 'Succeeded', step: 100, steps: 100, metrics: { accuracy: 0.8 } });
  const { status } = await fleet.phase('words', 'Succeeded');
  assert.deepEqual(status?.output?.metrics, { accuracy: 0.8 });
  assert.equal((await fleet.pods('words')).length, 3);
});

test('a failed worker is replaced under the next attempt and counted; the others stay', async () => {
  await fleet.submit('crash');
  await fleet.run('crash', { phase: 'Running', step: 5 });
  await fleet.phase('crash', 'Running');
  const before = await fleet.pods('crash');
  await fleet.end(before[1]!, 137);
  await fleet.expect('crash', 'restarts 1', ({ status }) => status?.restarts === 1);
  const pods = await until('a new worker 0', 10_000, async () => {
    const now = await fleet.pods('crash');
    return now.length === 3 && now[1]!.metadata.uid !== before[1]!.metadata.uid ? now : undefined;
  });
  assert.equal(pods[1]!.metadata.labels?.[LABELS.attempt], '1');
  assert.equal(pods[0]!.metadata.uid, before[0]!.metadata.uid);
  assert.equal(pods[2]!.metadata.uid, before[2]!.metadata.uid);
  await fleet.run('crash');
  const { status } = await fleet.phase('crash', 'Running');
  assert.deepEqual([status?.restarts, status?.attempt, status?.replacing], [1, 1, []]);
});

test('a disruption and a deleted pod are replaced and do not count', async () => {
  await fleet.submit('evicted', { maxRestarts: 0 });
  await fleet.run('evicted', { phase: 'Running' });
  await fleet.phase('evicted', 'Running');
  const [, worker] = await fleet.pods('evicted');
  const conditions = [
    { type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'drained' },
  ];
  await fleet.end(worker!, 143, undefined, { conditions });
  await fleet.expect(
    'evicted',
    'attempt 1',
    ({ status }) => status?.attempt === 1 && status.replacing?.length === 0,
  );
  await fleet.run('evicted');
  const again = (await fleet.pods('evicted'))[2]!;
  await fleet.plane.api.delete(PODS, again.metadata, { gracePeriodSeconds: 0 });
  await fleet.expect(
    'evicted',
    'attempt 2',
    ({ status }) => status?.attempt === 2 && status.replacing?.length === 0,
  );
  await fleet.run('evicted');
  const { status } = await fleet.phase('evicted', 'Running');
  assert.equal(status?.restarts, 0);
});

test('maxRestarts used up: Failed, with the words of the process', async () => {
  await fleet.submit('tired', { maxRestarts: 0 });
  await fleet.run('tired');
  const [, worker] = await fleet.pods('tired');
  await fleet.end(worker!, 1, { phase: 'Failed', code: 'PEER_LOST', message: 'server 0 is gone' });
  const { status } = await fleet.phase('tired', 'Failed');
  assert.match(
    status?.message ?? '',
    /maxRestarts \(0\) is used up; tired-worker-0: PEER_LOST: server 0 is gone/,
  );
  assert.equal(status?.conditions?.find(({ type }) => type === 'Failed')?.reason, 'RestartLimit');
});

test('an end that would repeat fails the job at once', async () => {
  await fleet.submit('hopeless');
  await fleet.run('hopeless');
  const [, worker] = await fleet.pods('hopeless');
  await fleet.end(worker!, 3, {
    phase: 'Failed',
    code: 'MISSING_FILE',
    message: '/data/train: expected a file',
  });
  const { status } = await fleet.phase('hopeless', 'Failed');
  assert.equal(status?.conditions?.find(({ type }) => type === 'Failed')?.reason, 'MISSING_FILE');
  assert.equal(status?.restarts, 0);
});

test('the failure policy of the manifest comes first: a whole role restarts, a node is left', async () => {
  await fleet.submit('policy', {
    failurePolicy: {
      rules: [
        { exitCodes: [42], action: 'ExcludeNode', countsTowardsMax: false },
        { roles: ['worker'], reasons: ['OutOfMemory'], action: 'RestartRole' },
      ],
    },
  });
  const before = await fleet.expectPods('policy', 3);
  await fleet.bind(before[1]!, 'node-a').catch(() => {});
  await fleet.run('policy');
  const bound = await fleet.pods('policy');
  await fleet.end(bound[2]!, 137, undefined, { terminated: { reason: 'OOMKilled' } });
  const { status } = await fleet.expect('policy', 'restart', ({ status }) => status?.restarts === 1);
  assert.equal(status?.attempt, 1);
  const replaced = await until('both workers are new', 15_000, async () => {
    const now = await fleet.pods('policy');
    for (const pod of now)
      if (pod.metadata.deletionTimestamp)
        await fleet.plane.api.delete(PODS, pod.metadata, { gracePeriodSeconds: 0 });
    const fresh = now.filter(({ metadata }) => metadata.labels?.[LABELS.attempt] === '1');
    return fresh.length === 2 ? now : undefined;
  });
  assert.equal(replaced[0]!.metadata.uid, bound[0]!.metadata.uid);
  await fleet.bind(replaced[1]!, 'node-b');
  const onNode = (await fleet.pods('policy'))[1]!;
  await fleet.end(onNode, 42);
  const excluded = await fleet.expect(
    'policy',
    'a node is left',
    ({ status }) => status?.excludedNodes?.length === 1,
  );
  assert.deepEqual(excluded.status?.excludedNodes, ['node-b']);
});

test('a node is silent, and the job is looked at before it counts as lost: its pods are replaced all the same', async () => {
  const times = { progressSeconds: 0.05, stopSeconds: 5, nodeLostSeconds: 3, forceDeleteSeconds: 1 };
  await using patient = await Fleet.start(fleet.plane, { times });
  const metadata = { name: 'node-silent' };
  await fleet.plane.api.create(NODES, { metadata, spec: { unschedulable: true } } as KubeObject);
  const ready = (status: string): Promise<unknown> => {
    const lastTransitionTime = new Date().toISOString();
    const conditions = [{ type: 'Ready', status, lastTransitionTime }];
    return fleet.plane.api.mergePatch(NODES, metadata, { status: { conditions } }, 'status');
  };
  await ready('True');
  await patient.submit('silent');
  const pods = await patient.expectPods('silent', 3);
  await patient.bind(pods[1]!, metadata.name);
  await patient.run('silent', { phase: 'Running', step: 1 });
  await patient.phase('silent', 'Running');
  await ready('Unknown');
  const look = { metadata: { annotations: { look: 'now' } } };
  await fleet.plane.api.mergePatch(LEPTON_JOBS, { namespace: patient.namespace, name: 'silent' }, look);
  const { status } = await patient.expect('silent', 'replaced', ({ status }) => status?.attempt === 1);
  assert.match(status?.message ?? '', /silent-worker-0: node node-silent is lost/);
  assert.equal(status?.restarts, 0);
});

test('suspend asks for a checkpoint, deletes the pods and goes on later', async () => {
  await fleet.submit('pause');
  await fleet.run('pause', { phase: 'Running', step: 7 });
  await fleet.phase('pause', 'Running');
  await fleet.change('pause', { suspend: true });
  const coordinator = fleet.coordinators.get('pause')!;
  await until('the coordinator is asked', 5000, () => coordinator.stops > 0 || undefined);
  const pods = await fleet.pods('pause');
  assert.equal(pods.length, 3, 'pods live until the checkpoint is written');
  const [server, ...workers] = pods;
  for (const worker of workers) await fleet.end(worker, 0);
  await fleet.end(server!, 0, { phase: 'Stopped', step: 8 });
  const { status } = await fleet.phase('pause', 'Suspended');
  assert.equal((await fleet.pods('pause')).length, 0);
  assert.equal(status?.conditions?.find(({ type }) => type === 'Suspended')?.status, 'True');
  await fleet.change('pause', { suspend: false });
  const again = await fleet.expectPods('pause', 3);
  assert.equal(again[0]!.metadata.labels?.[LABELS.attempt], '1');
  await fleet.run('pause', { phase: 'Running', step: 9 });
  await fleet.phase('pause', 'Running');
});

test('a coordinator that does not answer is not waited for for ever', async () => {
  await fleet.submit('deaf');
  await fleet.run('deaf', { phase: 'Running' });
  await fleet.phase('deaf', 'Running');
  await fleet.change('deaf', { suspend: true });
  await fleet.phase('deaf', 'Suspended');
});

test('a job that starts suspended has no pods until it is resumed', async () => {
  await fleet.submit('queued', { suspend: true, scheduling: { queue: 'team-a' } });
  const { status } = await fleet.phase('queued', 'Suspended');
  assert.equal(status?.waiting?.on, 'Queue');
  assert.equal((await fleet.pods('queued')).length, 0);
  await fleet.change('queued', { suspend: false });
  await fleet.expectPods('queued', 3);
});

test('activeDeadlineSeconds: stopped with a checkpoint, Failed with DeadlineExceeded', async () => {
  await fleet.submit('late', { activeDeadlineSeconds: 4 });
  await fleet.run('late', { phase: 'Running' });
  const { status } = await fleet.phase('late', 'Failed');
  assert.equal(status?.conditions?.find(({ type }) => type === 'Failed')?.reason, 'DeadlineExceeded');
  assert.ok(fleet.coordinators.get('late')!.stops > 0);
});

test('the clock of the deadline stands still while the job is suspended', async () => {
  await fleet.submit('clock', { activeDeadlineSeconds: 3, suspend: true });
  await fleet.phase('clock', 'Suspended');
  await new Promise((resolve) => setTimeout(resolve, 3500));
  assert.equal((await fleet.job('clock')).status?.phase, 'Suspended');
});

test('ttlSecondsAfterFinished deletes the job by its own timer', async () => {
  await fleet.submit('brief', { ttlSecondsAfterFinished: 1 });
  await fleet.run('brief', { phase: 'Succeeded', step: 100 });
  await until('the job is gone', 10_000, async () => {
    const known = await fleet.job('brief').catch(() => undefined);
    return known === undefined || undefined;
  });
});

for (const [policy, left] of [
  ['All', []],
  ['Running', ['clean-running-server-0']],
  ['None', ['clean-none-server-0', 'clean-none-worker-0', 'clean-none-worker-1']],
] as const)
  test(`cleanPodPolicy ${policy}`, async () => {
    const name = `clean-${policy.toLowerCase()}`;
    await fleet.submit(name, { cleanPodPolicy: policy });
    await fleet.run(name);
    const [server] = await fleet.pods(name);
    await fleet.end(server!, 0, { phase: 'Succeeded', step: 100, steps: 100 });
    await fleet.phase(name, 'Succeeded');
    await until('pods are as the policy says', 5000, async () => {
      const names = ranks(await fleet.pods(name));
      return JSON.stringify(names) === JSON.stringify(left) || undefined;
    });
  });

/** Says again and again how many train, as a coordinator does, until the test is over. */
function alive(name: string, workers: () => number): Disposable {
  const timer = setInterval(() => fleet.coordinators.get(name)?.say({ workerCount: workers() }), 200);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

test('more workers: those that train are left alone; fewer: who leaves is no failure', async () => {
  await fleet.submit('grow');
  await fleet.run('grow', { phase: 'Running', step: 5, workerCount: 2 });
  await fleet.phase('grow', 'Running');
  const coordinator = fleet.coordinators.get('grow')!;
  let trains = 2;
  using _ = alive('grow', () => trains);
  const before = await fleet.pods('grow');
  await fleet.change('grow', { worker: { replicas: 3 } });
  const grown = await fleet.expectPods('grow', 4);
  await until(
    'the coordinator is asked',
    10_000,
    () => coordinator.resizes.at(-1)?.workers === 3 || undefined,
  );
  const { status } = await fleet.job('grow');
  assert.deepEqual([status?.phase, status?.worker?.replicas, status?.resizing?.to], ['Running', 2, 3]);
  const configOf = (pod: Pod): unknown => JSON.stringify((pod.spec as { volumes?: unknown }).volumes);
  assert.notEqual(configOf(grown[3]!), configOf(grown[2]!), 'the newcomer is told the new number');
  await fleet.setStatus(grown[3]!, RUNNING);
  trains = 3;
  await fleet.expect(
    'grow',
    'three workers',
    (job) => job.status?.worker?.replicas === 3 && !job.status.resizing,
  );
  await fleet.change('grow', { worker: { replicas: 1 } });
  await until(
    'the coordinator is asked',
    10_000,
    () => coordinator.resizes.at(-1)?.workers === 1 || undefined,
  );
  assert.equal(coordinator.resizes.at(-1)?.gone, false);
  trains = 1;
  for (const pod of (await fleet.pods('grow')).slice(2)) await fleet.end(pod, 0, { phase: 'Left' });
  await fleet.expect(
    'grow',
    'one worker',
    (job) => job.status?.worker?.replicas === 1 && !job.status.resizing,
  );
  const left = await fleet.expectPods('grow', 2);
  for (const [at, pod] of left.entries()) assert.equal(pod.metadata.uid, before[at]!.metadata.uid);
  const end = (await fleet.job('grow')).status;
  assert.deepEqual([end?.restarts, end?.attempt, end?.phase, coordinator.stops], [0, 0, 'Running', 0]);
});

test('a coordinator that does not answer: the run stops and begins anew with the other number', async () => {
  await fleet.submit('numb');
  await fleet.run('numb', { phase: 'Running', step: 5 });
  await fleet.phase('numb', 'Running');
  fleet.coordinators.get('numb')!.hush();
  await fleet.change('numb', { worker: { replicas: 3 } });
  await fleet.expect('numb', 'three workers', ({ status }) => status?.worker?.replicas === 3, 30_000);
  const pods = await fleet.expectPods('numb', 4);
  assert.deepEqual([...new Set(pods.map(({ metadata }) => metadata.labels?.[LABELS.attempt]))], ['1']);
  assert.equal((await fleet.job('numb')).status?.restarts, 0);
});

test('suspended while workers are to come: nothing of the change is left, and the new number is there on resume', async () => {
  await fleet.submit('turn');
  await fleet.run('turn', { phase: 'Running', step: 5, workerCount: 2 });
  await fleet.phase('turn', 'Running');
  using _ = alive('turn', () => 2);
  await fleet.change('turn', { worker: { replicas: 3 } });
  await fleet.expectPods('turn', 4);
  await fleet.change('turn', { suspend: true });
  await until('it is asked to stop', 10_000, () => fleet.coordinators.get('turn')!.stops > 0 || undefined);
  const [server, ...workers] = await fleet.pods('turn');
  for (const worker of workers) await fleet.end(worker, 0);
  await fleet.end(server!, 0, { phase: 'Stopped', step: 8 });
  const { status } = await fleet.phase('turn', 'Suspended');
  assert.equal(status?.resizing, undefined);
  await fleet.change('turn', { suspend: false });
  await fleet.expectPods('turn', 4);
  assert.equal((await fleet.job('turn')).status?.worker?.replicas, 3);
});

test('a foreign object under a child’s name is left as it is and reported', async () => {
  await fleet.plane.api.create(SERVICES, {
    metadata: { name: 'taken', namespace: fleet.namespace },
    spec: { ports: [{ port: 1 }] },
  } as never);
  await fleet.submit('taken');
  const { status } = await fleet.expect(
    'taken',
    'conflict',
    ({ status }) => status?.waiting?.on === 'NameConflict',
  );
  assert.match(status?.waiting?.message ?? '', /Service taken exists and does not belong to this job/);
  assert.equal((await fleet.pods('taken')).length, 0);
});

test('managedBy another controller: nothing is done', async () => {
  await fleet.submit('foreign', { managedBy: 'kueue.x-k8s.io/multikueue' });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal((await fleet.pods('foreign')).length, 0);
});

test('a finished job is never given pods again', async () => {
  await fleet.submit('over', { cleanPodPolicy: 'All' });
  await fleet.run('over', { phase: 'Succeeded', step: 100 });
  await fleet.phase('over', 'Succeeded');
  await until('no pods', 5000, async () => (await fleet.pods('over')).length === 0 || undefined);
  await fleet.change('over', { maxRestarts: 9 });
  await fleet.change('over', { suspend: true });
  await fleet.change('over', { suspend: false });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal((await fleet.pods('over')).length, 0);
  assert.equal((await fleet.job('over')).status?.phase, 'Succeeded');
});
