// The PodGroups of Volcano and scheduler-plugins under their real CRDs (their schedulers do not run: the test writes what they would),
// and Kueue's part played by the test.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../cluster/daemon.ts';
import { CRDS, installGangCrd } from '../cluster/install-crd.ts';
import { type FullPod, type Ground, LONG_MS, small } from './gang-ground.ts';
import { resource } from './native-gangs.ts';

const VOLCANO = resource('scheduling.volcano.sh/v1beta1', 'PodGroup', 'podgroups');
const SCHEDULER_PLUGINS = resource('scheduling.x-k8s.io/v1alpha1', 'PodGroup', 'podgroups');

export function foreignGangsIn(of: () => Ground): void {
  test('Volcano: what is not served is waited for and found when it comes; pods come when the group is in the queue', async () => {
    const ground = of();
    const { fleet } = ground;
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
    await installGangCrd(fleet.plane, 'volcano-crds');
    const group = await ground.expectGroup(VOLCANO, 'volcano');
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
    await say(ground, { phase: 'Pending', conditions: [words] });
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
    await say(ground, { phase: 'Inqueue' });
    for (const { metadata, spec } of (await fleet.expectPods('volcano', 3)) as FullPod[]) {
      assert.equal(metadata.annotations?.['scheduling.k8s.io/group-name'], 'volcano');
      assert.equal(spec?.['schedulerName'], 'volcano');
    }
  });

  test('Volcano: a pod is replaced though its group counts as pending again', async () => {
    const ground = of();
    const { fleet } = ground;
    await fleet.run('volcano', { phase: 'Running', step: 1 });
    await fleet.phase('volcano', 'Running');
    await say(ground, { phase: 'Pending', conditions: [] });
    const [, worker] = await fleet.pods('volcano');
    await fleet.end(worker!, 137);
    await until('the replacement is there', LONG_MS, async () => {
      const [, now] = await fleet.pods('volcano');
      return now !== undefined && now.metadata.uid !== worker!.metadata.uid;
    });
  });

  test('Volcano: the minimum and what it needs follow the number of workers, in the same group', async () => {
    const ground = of();
    const { fleet } = ground;
    const { uid } = (await ground.get(VOLCANO, 'volcano'))!.metadata;
    await fleet.run('volcano', { phase: 'Running', step: 1, workerCount: 2 });
    await say(ground, { phase: 'Running', conditions: [] });
    await ground.resize('volcano', 1);
    fleet.coordinators.get('volcano')!.say({ workerCount: 1 });
    await fleet.end((await fleet.pods('volcano'))[2]!, 0, { phase: 'Left' });
    const group = await ground.expectGroup(VOLCANO, 'volcano', ({ spec }) => spec?.['minMember'] === 2);
    assert.equal(group.metadata.uid, uid);
    assert.deepEqual(group.spec?.['minResources'], { cpu: '2', memory: '134217728' });
    await fleet.expectPods('volcano', 2);
    await ground.removeJob('volcano');
    await ground.expectGone(VOLCANO, 'volcano');
  });

  test('scheduler-plugins: found when it comes; the scheduler is the one that the template names', async () => {
    const ground = of();
    const { fleet } = ground;
    const template = { spec: { terminationGracePeriodSeconds: 0, schedulerName: 'coscheduler' } };
    await fleet.submit('plugins', {
      worker: { replicas: 2, template },
      scheduling: { gang: 'schedulerPlugins' },
    });
    await fleet.expect('plugins', 'waits', ({ status }) => status?.waiting?.on === 'GangNotServed', LONG_MS);
    await installGangCrd(fleet.plane, 'scheduler-plugins-crds');
    const made = (await until('three pods', LONG_MS, async () => {
      const now = await ground.pods('plugins');
      return now.length === 3 ? now : undefined;
    })) as FullPod[];
    const group = await ground.get(SCHEDULER_PLUGINS, 'plugins');
    assert.deepEqual(group?.spec, { minMember: 3, minResources: { cpu: '3', memory: '201326592' } });
    for (const { metadata, spec } of made) {
      assert.equal(metadata.labels?.['scheduling.x-k8s.io/pod-group'], 'plugins');
      assert.equal(spec?.['schedulerName'], 'coscheduler');
    }
    // The garbage collector needs up to half a minute to learn of a new kind.
    assert.equal(group?.metadata.ownerReferences?.[0]?.uid, (await fleet.job('plugins')).metadata.uid);
    await ground.removeJob('plugins');
  });

  test('a back-end that goes is not used any more: running pods stay, new ones wait and say why', async () => {
    const ground = of();
    const { fleet } = ground;
    await fleet.submit('orphan', small({ scheduling: { gang: 'schedulerPlugins' } }));
    await fleet.expectPods('orphan', 3);
    await fleet.plane.api.delete(CRDS, { name: 'podgroups.scheduling.x-k8s.io' });
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
    await ground.removeJob('orphan');
  });

  test('Kueue: admitted by suspend: false with what it put into the template, evicted by suspend: true', async () => {
    const ground = of();
    const { fleet } = ground;
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
    await ground.removeJob(name);
  });

  test('MultiKueue: a job that another cluster runs is left alone', async () => {
    const ground = of();
    const { fleet } = ground;
    await fleet.submit('elsewhere', small({ managedBy: 'kueue.x-k8s.io/multikueue' }));
    await fleet.submit('here', small({ scheduling: { gang: 'none' } }));
    await fleet.expectPods('here', 3);
    assert.equal((await fleet.pods('elsewhere')).length, 0);
    assert.equal((await fleet.job('elsewhere')).status, undefined);
  });
}

/** As Volcano would. */
async function say({ fleet: { plane, namespace } }: Ground, status: unknown): Promise<void> {
  await plane.api.mergePatch(VOLCANO, { namespace, name: 'volcano' }, { status });
}
