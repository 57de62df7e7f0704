// A proxy between operator and API server misbehaves in every way that is known of API servers, networks and replicas. One life of a
// job goes on behind it - made, a worker fails, scaled up - and must end in the objects of an undisturbed one, in rest, with few writes.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type KubeObject, PODS, pathOf, type Resource } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import { installCrd } from '../cluster/install-crd.ts';
import { type Fault, FaultProxy, type SeenRequest } from './fault-proxy.ts';
import { Fleet } from './fleet.ts';
import { QUICK_TIMES, rest, runPending } from './rest.ts';

let plane: ControlPlane;
let undisturbed: { final: unknown; writes: number };
before(async () => {
  plane = await startControlPlane({ with: ['kube-controller-manager'] });
  await installCrd(plane.api);
  undisturbed = await live(() => PASS);
});
after(() => plane?.[Symbol.asyncDispose]());

const PASS: Fault = { kind: 'pass' };
const PATIENCE_MS = 60_000;
const REST_MS = 10_000;

/** A kubelet beside the test, for as long as it is in use. */
function kubelet(fleet: Fleet): Disposable {
  const timer = setInterval(() => void runPending(fleet), 40);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function podsOf(fleet: Fleet, count: number, attempt: number): Promise<readonly Pod[]> {
  return await until(`${count} pods, attempt ${attempt}`, PATIENCE_MS, async () => {
    const { status } = await fleet.job('job');
    const pods = await fleet.pods('job');
    const running = pods.filter((pod) => pod.status?.phase === 'Running' && !pod.metadata.deletionTimestamp);
    return running.length === count && pods.length === count && status?.attempt === attempt
      ? pods
      : undefined;
  });
}

/** One life behind the fault, from creation to rest. */
async function live(rule: (request: SeenRequest) => Fault): Promise<{ final: unknown; writes: number }> {
  await using fleet = await Fleet.start(plane, { times: QUICK_TIMES });
  await fleet.operator!.stop();
  await using proxy = await FaultProxy.start(plane);
  proxy.rule = rule;
  using _ = kubelet(fleet);
  await fleet.startOperator({ times: QUICK_TIMES }, proxy.kubeConfig);
  await fleet.submit('job');
  const pods = await podsOf(fleet, 3, 0);
  await fleet.end(pods.find(({ metadata }) => metadata.name === 'job-worker-0')!, 1);
  await podsOf(fleet, 3, 1);
  await fleet.change('job', { worker: { replicas: 3 } });
  await podsOf(fleet, 4, 2);
  return await rest(fleet, [proxy], REST_MS);
}

const every = (
  nth: number,
  fault: Fault,
  applies: (request: SeenRequest) => boolean = ({ isWatch }) => !isWatch,
) => {
  let count = 0;
  return (request: SeenRequest): Fault => (applies(request) && ++count % nth === 0 ? fault : PASS);
};

const firstTimes = (times: number, fault: Fault, applies: (request: SeenRequest) => boolean) => {
  let left = times;
  return (request: SeenRequest): Fault => (left > 0 && applies(request) && left-- > 0 ? fault : PASS);
};

const forSeconds = (seconds: number, fault: Fault, applies: (request: SeenRequest) => boolean) => {
  let sinceMs: number | undefined;
  return (request: SeenRequest): Fault => {
    if (!applies(request)) return PASS;
    sinceMs ??= performance.now();
    return performance.now() - sinceMs < seconds * 1000 ? fault : PASS;
  };
};

const ofPods = ({ path, isWatch }: SeenRequest): boolean => isWatch && /\/pods\?/.test(path);

const ROWS: readonly [name: string, rule: () => (request: SeenRequest) => Fault][] = [
  ['every answer comes 150 ms late', () => () => ({ kind: 'delay', ms: 150 })],
  ['every third request is lost', () => every(3, { kind: 'drop' })],
  ['every third answer is lost: the server has done it', () => every(3, { kind: 'loseAnswer' })],
  [
    '429 with Retry-After for 3 s',
    () =>
      forSeconds(
        3,
        { kind: 'answer', status: 429, retryAfter: 1, reason: 'TooManyRequests' },
        ({ isWrite }) => isWrite,
      ),
  ],
  ['every third request meets 500', () => every(3, { kind: 'answer', status: 500, reason: 'InternalError' })],
  [
    'every fourth request meets 503',
    () => every(4, { kind: 'answer', status: 503, reason: 'ServiceUnavailable' }),
  ],
  [
    '409 for the first six status writes',
    () =>
      firstTimes(
        6,
        { kind: 'answer', status: 409, reason: 'Conflict' },
        ({ method, path }) => method === 'PUT' && /\/status$/.test(path),
      ),
  ],
  [
    'every watch breaks after 5,000 bytes, inside a line, for 10 s',
    () => forSeconds(10, { kind: 'cut', bytes: 5000 }, ({ isWatch }) => isWatch),
  ],
  ['the first watch of pods never answers', () => firstTimes(1, { kind: 'silence' }, ofPods)],
  [
    '410 for every watch for 3 s',
    () => forSeconds(3, { kind: 'answer', status: 410, reason: 'Expired' }, ({ isWatch }) => isWatch),
  ],
  ['news of pods come 3 s late', () => every(1, { kind: 'hold', ms: 3000 }, ofPods)],
];

describe('a life behind a fault ends as without it', { concurrency: 6 }, () => {
  for (const [name, rule] of ROWS)
    test(name, { timeout: 240_000 }, async (context) => {
      const { final, writes } = await live(rule());
      assert.deepEqual(final, undisturbed.final);
      context.diagnostic(`${writes} writes, ${undisturbed.writes} undisturbed`);
      assert.ok(writes <= 3 * undisturbed.writes, `${writes} writes, ${undisturbed.writes} undisturbed`);
    });

  test('an operator that begins with a list of pods from the past replaces none', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.start(plane, { times: QUICK_TIMES });
    using _ = kubelet(fleet);
    const selector = encodeURIComponent('app.kubernetes.io/managed-by=lepton-operator');
    const path = `${pathOf(PODS, { namespace: fleet.namespace })}?labelSelector=${selector}`;
    const past = JSON.stringify(await plane.api.client.call({ method: 'GET', path }));
    await fleet.submit('job');
    const before = await podsOf(fleet, 3, 0);
    await until('assembled', 10_000, async () => (await fleet.job('job')).status?.assembled || undefined);
    await fleet.operator!.stop();
    await using proxy = await FaultProxy.start(plane);
    const late = every(1, { kind: 'hold', ms: 3000 }, ofPods);
    const stale = firstTimes(
      1,
      { kind: 'answer', status: 200, body: past },
      ({ method, path: asked, isWatch }) => method === 'GET' && !isWatch && /\/pods\?/.test(asked),
    );
    proxy.rule = (request) =>
      stale(request) === PASS ? late(request) : { kind: 'answer', status: 200, body: past };
    await fleet.startOperator({ times: QUICK_TIMES }, proxy.kubeConfig);
    await rest(fleet, [proxy], 6000);
    const uids = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.uid);
    assert.deepEqual(uids(await fleet.pods('job')), uids(before));
    const { status } = await fleet.job('job');
    assert.deepEqual([status?.attempt, status?.restarts], [0, 0]);
  });

  test('labels that somebody takes from a pod are given back; the pod lives on', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.start(plane, { times: QUICK_TIMES });
    using _ = kubelet(fleet);
    await fleet.submit('job');
    const before = await podsOf(fleet, 3, 0);
    const worker = before.find(({ metadata }) => metadata.name === 'job-worker-1')!;
    const labels = Object.fromEntries(Object.keys(worker.metadata.labels ?? {}).map((name) => [name, null]));
    await plane.api.mergePatch(PODS, worker.metadata, { metadata: { labels } });
    const again = await until('the labels are back', 15_000, async () => {
      const pod = await plane.api.get<Pod>(PODS, worker.metadata);
      return pod.metadata.labels?.[LABELS.jobUid] === undefined ? undefined : pod;
    });
    assert.equal(again.metadata.uid, worker.metadata.uid);
    assert.deepEqual(again.metadata.labels, worker.metadata.labels);
    assert.equal((await fleet.job('job')).status?.restarts, 0);
  });

  test('a quota for two of three pods: the server’s words in the status, and on when there is room', {
    timeout: 240_000,
  }, async () => {
    const QUOTAS: Resource = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      plural: 'resourcequotas',
      namespaced: true,
    };
    await using fleet = await Fleet.start(plane, { times: QUICK_TIMES });
    using _ = kubelet(fleet);
    const at = { namespace: fleet.namespace, name: 'small' };
    await plane.api.create(QUOTAS, { metadata: at, spec: { hard: { pods: '2' } } } as KubeObject);
    await until('the quota counts', 20_000, async () => {
      const quota = await plane.api.get<KubeObject & { status?: { hard?: unknown } } & Pod>(QUOTAS, at);
      return (quota.status as { hard?: unknown } | undefined)?.hard ? true : undefined;
    });
    await fleet.submit('job');
    const { status } = await fleet.expect(
      'job',
      'waits for quota',
      (job) => job.status?.waiting?.on === 'Quota',
      20_000,
    );
    assert.match(
      status?.waiting?.message ?? '',
      /exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2/,
    );
    assert.equal((await fleet.pods('job')).length, 2);
    await plane.api.mergePatch(QUOTAS, at, { spec: { hard: { pods: '9' } } });
    await podsOf(fleet, 3, 0);
  });

  test('the leader is cut off: it gives up, the other replica goes on, nothing is written twice', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.start(plane, { times: QUICK_TIMES });
    await fleet.operator!.stop();
    using _ = kubelet(fleet);
    await using first = await FaultProxy.start(plane);
    await using second = await FaultProxy.start(plane);
    const config = {
      times: QUICK_TIMES,
      leaderElection: { enabled: true, namespace: fleet.namespace, name: 'lease' },
    };
    const lease = { leaseMs: 3000, renewDeadlineMs: 2000, retryMs: 300 };
    const lost = Promise.withResolvers<string>();
    const leader = fleet.makeOperator(config, first.kubeConfig, {
      identity: 'first',
      lease,
      onLost: lost.resolve,
    });
    await leader.start();
    const standby = fleet.makeOperator(config, second.kubeConfig, { identity: 'second', lease });
    const leads = standby.start();
    await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    assert.equal(second.writes, 0, 'the standby writes nothing');
    first.rule = () => ({ kind: 'drop' });
    assert.match(await lost.promise, /could not renew the lease/);
    await leader.stop(); // its process ends
    first.rule = () => PASS;
    const written = first.writes;
    await leads;
    await fleet.end(pods.find(({ metadata }) => metadata.name === 'job-worker-0')!, 1);
    await podsOf(fleet, 3, 1);
    await rest(fleet, [first, second], 3000);
    assert.equal(first.writes, written);
    await standby.stop();
  });
});

test('the CRD is taken away under a running operator, and comes back', { timeout: 240_000 }, async () => {
  await using fleet = await Fleet.start(plane, { times: QUICK_TIMES });
  using _ = kubelet(fleet);
  await plane.kubectl('delete', 'crd', 'leptonjobs.lepton.ai', '--wait=true', '--timeout=60s');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await installCrd(plane.api);
  await fleet.submit('job');
  await podsOf(fleet, 3, 0);
});
