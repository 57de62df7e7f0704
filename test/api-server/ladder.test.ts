// The failure ladder on a real API server: pods that run and are no good, signals, sick nodes, force. The coordinator says, over
// its real line, what a real one would (test/process/waits.test.ts); the kubelet is the test.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PODS } from '../../operator/kube/objects.ts';
import type { LeptonJobObject, Waits } from '../../operator/leptonjob/job.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { FakeNode } from './fake-node.ts';
import { Fleet } from './fleet.ts';

const TIMEOUT = { timeout: 120_000 };
const CALM: Waits = { silent: [], absent: [], awaited: [], standingSeconds: 0 };

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager'] });
});
after(() => fleet?.[Symbol.asyncDispose]());

const attemptOf = (pod: Pod): string | undefined => pod.metadata.labels?.[LABELS.attempt];
const restarted = ({ status }: LeptonJobObject): boolean =>
  status?.attempt === 1 && (status.replacing ?? []).length === 0;

/** Trains, with all that can be heard being well. */
async function train(name: string, spec: Record<string, unknown>): Promise<Pod[]> {
  await fleet.submit(name, spec);
  await fleet.run(name, { phase: 'Running', step: 5, waits: CALM });
  await fleet.expect(
    name,
    'trains',
    ({ status }) => status?.phase === 'Running' && status.progress?.step === 5,
  );
  return await fleet.pods(name);
}

/** Fails when the job is set back within the time. */
async function staysPut(name: string, ms: number): Promise<void> {
  const { status } = await fleet.job(name);
  const until = performance.now() + ms;
  while (performance.now() < until) {
    const now = (await fleet.job(name)).status;
    assert.deepEqual([now?.attempt, now?.restarts], [status?.attempt, status?.restarts], now?.message);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function restartsOf(reason: string): Promise<number> {
  const { metrics } = fleet.operator!.addresses;
  const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
  const line = new RegExp(`^leptonjob_restarts_total\\{.*reason="${reason}"\\} (\\d+)`, 'm').exec(text);
  return Number(line?.[1] ?? 0);
}

test(
  'a worker that its coordinator does not hear is replaced, and its replacement is left alone',
  TIMEOUT,
  async () => {
    const [server, first, silent] = await train('silent', { failurePolicy: { heartbeatSeconds: 8 } });
    const say = (seconds: number) =>
      fleet.coordinators
        .get('silent')!
        .say({ waits: { ...CALM, silent: [{ rank: 1, attempt: 0, seconds }] } });
    say(7);
    await staysPut('silent', 1500);
    say(9);
    const { status } = await fleet.expect('silent', 'restarted', restarted);
    assert.match(status?.message ?? '', /^silent-worker-1: not heard by the coordinator for 9 s$/);
    assert.equal(status?.restarts, 1);
    const pods = await fleet.expectPods('silent', 3);
    assert.deepEqual(pods.map(attemptOf), ['0', '0', '1']);
    assert.deepEqual(
      [pods[0]!.metadata.uid, pods[1]!.metadata.uid],
      [server!.metadata.uid, first!.metadata.uid],
    );
    assert.notEqual(pods[2]!.metadata.uid, silent!.metadata.uid);
    // It starts and loads; the coordinator still tells of the process before.
    await fleet.run('silent');
    say(60);
    await staysPut('silent', 2000);
    assert.equal(await restartsOf('LostHeartbeat'), 1);
  },
);

test(
  'a step that stands: the one that everybody waits for is replaced, by the rule of the job',
  TIMEOUT,
  async () => {
    const rules = [{ reasons: ['Stalled'], action: 'RestartPod', countsTowardsMax: false }];
    await train('stands', { failurePolicy: { stallSeconds: 20, rules } });
    const awaited = [{ rank: 0, attempt: 0, waiting: false }];
    const coordinator = fleet.coordinators.get('stands')!;
    coordinator.say({ waits: { ...CALM, awaited, standingSeconds: 19 } });
    await staysPut('stands', 1500);
    coordinator.say({ waits: { ...CALM, awaited, standingSeconds: 21 } });
    const { status } = await fleet.expect('stands', 'restarted', restarted);
    assert.equal(status?.message, 'stands-worker-0: step 5 has stood for 21 s: worker 1 waits for worker 0');
    assert.equal(status?.restarts, 0);
    assert.deepEqual((await fleet.expectPods('stands', 3)).map(attemptOf), ['0', '1', '0']);
    assert.equal(await restartsOf('Stalled'), 1);
  },
);

test('not while it evaluates, writes a checkpoint, loads or starts', TIMEOUT, async () => {
  const patience = { heartbeatSeconds: 5, stallSeconds: 10 };
  await train('busy', { failurePolicy: patience });
  const coordinator = fleet.coordinators.get('busy')!;
  // So a coordinator speaks of each: nobody is awaited, or the phase says it.
  coordinator.say({ waits: { ...CALM, standingSeconds: 0 }, step: 5 });
  await staysPut('busy', 1500);
  const awaited = [{ rank: 0, attempt: 0, waiting: false }];
  coordinator.say({ phase: 'Evaluating', waits: { ...CALM, awaited, standingSeconds: 99 } });
  await staysPut('busy', 1500);
  coordinator.say({ phase: 'Starting', waits: { ...CALM, absent: [0, 1] } });
  await staysPut('busy', 1500);
});

test('a coordinator that falls silent while its pod is ready counts as server 0', TIMEOUT, async () => {
  const before = await train('deaf', { failurePolicy: { heartbeatSeconds: 5 } });
  fleet.coordinators.get('deaf')!.hush();
  const { status } = await fleet.expect('deaf', 'restarted', restarted, 20_000);
  assert.match(status?.message ?? '', /^deaf-server-0: not heard by the operator for \d+ s$/);
  const pods = await fleet.expectPods('deaf', 3);
  assert.deepEqual(pods.map(attemptOf), ['1', '0', '0']);
  assert.notEqual(pods[0]!.metadata.uid, before[0]!.metadata.uid);
});

test('an operator that never heard the coordinator holds nothing against it', TIMEOUT, async () => {
  await train('before', { failurePolicy: { heartbeatSeconds: 5 } });
  await fleet.operator!.stop();
  await fleet.coordinators.get('before')!.close();
  await fleet.startOperator();
  await staysPut('before', 8000);
});

test('the number of a signal decides', TIMEOUT, async () => {
  const rules = [{ signals: [6, 11], action: 'FailJob' }];
  const [, first, second] = await train('signals', { failurePolicy: { rules } });
  await fleet.end(first!, 137);
  await fleet.expect('signals', 'restarted', restarted);
  await fleet.end(second!, 134);
  const { status } = await fleet.phase('signals', 'Failed');
  assert.match(status?.message ?? '', /^signals-worker-1: exit code 134/);
});

test(
  'pods leave a node with a condition that a rule names, and do not come back to it',
  TIMEOUT,
  async () => {
    await using node = await FakeNode.join(fleet.plane, { name: 'sick' });
    const rules = [{ nodeConditions: ['GpuUnhealthy'], action: 'ExcludeNode', countsTowardsMax: false }];
    await fleet.submit('moves', { failurePolicy: { rules } });
    const pods = await fleet.expectPods('moves', 3);
    await fleet.bind(pods[1]!, node.name);
    await fleet.run('moves', { phase: 'Running', step: 1, waits: CALM });
    await fleet.phase('moves', 'Running');
    await node.suffer('MemoryPressure');
    await staysPut('moves', 1500);
    await node.suffer('MemoryPressure', 'GpuUnhealthy');
    const { status } = await fleet.expect(
      'moves',
      'leaves the node',
      ({ status: now }) => now?.attempt === 1,
    );
    assert.match(status?.message ?? '', /^moves-worker-0: node sick has GpuUnhealthy, MemoryPressure$/);
    assert.deepEqual([status?.excludedNodes, status?.restarts], [['sick'], 0]);
    const [, moved] = await until('a new worker 0', 60_000, async () => {
      const now = await fleet.pods('moves');
      return now.length === 3 && attemptOf(now[1]!) === '1' ? now : undefined;
    });
    assert.match(JSON.stringify(moved!.spec), /"key":"metadata.name","operator":"NotIn","values":\["sick"\]/);
  },
);

test(
  'a pod that does not end: forced at once on a node that is gone, later on one that lives',
  TIMEOUT,
  async () => {
    await using node = await FakeNode.join(fleet.plane, { name: 'alive' });
    // Nobody confirms the end of a bound pod; its grace is over at once.
    const template = { spec: { terminationGracePeriodSeconds: 1 } };
    await fleet.submit('sticky', { worker: { replicas: 2, template } });
    const pods = await fleet.expectPods('sticky', 3);
    await fleet.bind(pods[1]!, 'was-never-there');
    await fleet.bind(pods[2]!, node.name);
    await fleet.run('sticky', { phase: 'Running', step: 1, waits: CALM });
    await fleet.phase('sticky', 'Running');
    const startedMs = performance.now();
    for (const pod of pods.slice(1)) await fleet.plane.api.delete(PODS, pod.metadata);
    const goneAfter = async (name: string, uid: string): Promise<number> => {
      await until(`${name} is gone`, 60_000, async () => {
        const found = await fleet.plane.api
          .get<Pod>(PODS, { namespace: fleet.namespace, name })
          .catch(() => undefined);
        return found?.metadata.uid !== uid || undefined;
      });
      return performance.now() - startedMs;
    };
    const [lostMs, liveMs] = await Promise.all(
      pods.slice(1).map(({ metadata }) => goneAfter(metadata.name, metadata.uid)),
    );
    // forceDeleteSeconds is 1 here: after grace and one second, or after grace and five.
    assert.ok(lostMs! < liveMs! && liveMs! > 5000, `${lostMs} ms, ${liveMs} ms`);
  },
);
