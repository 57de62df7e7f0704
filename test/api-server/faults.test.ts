// A proxy between operator and API server misbehaves in every way that is known of API servers and networks. One life of a job goes on
// behind it - made, a worker fails, scaled up - and must end in the objects of an undisturbed one (O1), in rest (O2), without orphans
// (O3), with one pod per place at every instant (O4) and with few writes (O5).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PODS, pathOf } from '../../operator/kube/objects.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { installCrd } from '../cluster/install-crd.ts';
import { type Arena, podsOf, startArena, twinsIn } from './arena.ts';
import { type Fault, FaultProxy, type SeenRequest } from './fault-proxy.ts';
import { Fleet } from './fleet.ts';
import { differences, QUICK_TIMES, rest } from './rest.ts';

type Rule = (request: SeenRequest, proxy: FaultProxy) => Fault;

let arena: Arena;
let undisturbed: Awaited<ReturnType<typeof live>>;
before(async () => {
  arena = await startArena();
  undisturbed = await live(() => PASS);
});
after(() => arena?.[Symbol.asyncDispose]());

const PASS: Fault = { kind: 'pass' };
const REST_MS = 10_000;

/** Everything is told that the first operator had to tell. */
async function standstill(fleet: Fleet): Promise<void> {
  await fleet.phase('job', 'Starting');
  let version = '';
  let sinceMs = performance.now();
  await until('the job is not written any more', 30_000, async () => {
    const { metadata } = await fleet.job('job');
    if (metadata.resourceVersion !== version) sinceMs = performance.now();
    version = metadata.resourceVersion;
    return performance.now() - sinceMs > 2000 || undefined;
  });
}

/** One life behind the fault, from creation to rest. */
async function live(rule: Rule) {
  await using fleet = await Fleet.withoutOperator(arena.plane);
  await using proxy = await FaultProxy.start(arena.plane);
  proxy.rule = (request) => rule(request, proxy);
  await fleet.startOperator({ times: QUICK_TIMES }, proxy.kubeConfig);
  await fleet.submit('job');
  const pods = await podsOf(fleet, 3, 0);
  await fleet.end(pods.find(({ metadata }) => metadata.name === 'job-worker-0')!, 1);
  await podsOf(fleet, 3, 1);
  await fleet.change('job', { worker: { replicas: 3 } });
  await podsOf(fleet, 4, 2);
  const { final, writes } = await rest(fleet, [proxy], REST_MS);
  return { final, writes, twins: await twinsIn(arena, fleet) };
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

/** From the n-th write on. */
const afterWrites = (count: number, rule: (request: SeenRequest) => Fault): Rule => {
  let seen = 0;
  return (request) => {
    if (request.isWrite) seen++;
    return seen >= count ? rule(request) : PASS;
  };
};

/** From the n-th write on nothing gets through for so long, and what was open stays silent for good. */
const blackHole = (writes: number, seconds: number): Rule => {
  const silent = afterWrites(
    writes,
    forSeconds(seconds, { kind: 'silence' }, () => true),
  );
  let frozen = false;
  return (request, proxy) => {
    const fault = silent(request, proxy);
    if (fault.kind === 'silence' && !frozen) {
      frozen = true;
      proxy.freeze();
    }
    return fault;
  };
};

const withoutDeletions = (line: string): string | undefined =>
  line.startsWith('{"type":"DELETED"') ? undefined : line;

const MUCH = 'x'.repeat(10 * 2 ** 20);
const inflated = (line: string): string => line.replace(/^\{/, `{"padding":"${MUCH}",`);

const ROWS: readonly [name: string, rule: () => Rule][] = [
  // Takes longest: until a watch counts as dead.
  ['after 3 writes nothing gets through for 5 s, and what was open stays silent', () => blackHole(3, 5)],
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
  ['deletions of pods are never told', () => every(1, { kind: 'lines', edit: withoutDeletions }, ofPods)],
  [
    'for 5 s the watch of pods is refused, while pods are made, deleted and made anew',
    () =>
      afterWrites(5, forSeconds(5, { kind: 'answer', status: 503, reason: 'ServiceUnavailable' }, ofPods)),
  ],
  [
    'every line of every watch is garbage, for 8 s',
    () => forSeconds(8, { kind: 'lines', edit: () => 'garbage {' }, ({ isWatch }) => isWatch),
  ],
  [
    'the lines of the first watch of pods have 10 MB each',
    () => firstTimes(1, { kind: 'lines', edit: inflated }, ofPods),
  ],
  ['every write arrives twice', () => every(1, { kind: 'twice' }, ({ isWrite }) => isWrite)],
];

describe('a life behind a fault ends as without it', { concurrency: 8 }, () => {
  for (const [name, rule] of ROWS)
    test(name, { timeout: 280_000 }, async (context) => {
      const { final, writes, twins } = await live(rule());
      context.diagnostic(`${writes} writes, ${undisturbed.writes} undisturbed`);
      assert.deepEqual(differences(final, undisturbed.final), []);
      assert.deepEqual(twins, []);
      assert.ok(writes <= 3 * undisturbed.writes, `${writes} writes, ${undisturbed.writes} undisturbed`);
    });

  test('an operator that begins with a list of pods from the past replaces none', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.start(arena.plane, { times: QUICK_TIMES });
    const selector = encodeURIComponent('app.kubernetes.io/managed-by=lepton-operator');
    const path = `${pathOf(PODS, { namespace: fleet.namespace })}?labelSelector=${selector}`;
    const past = JSON.stringify(await arena.plane.api.client.call({ method: 'GET', path }));
    await fleet.submit('job');
    const before = await podsOf(fleet, 3, 0);
    await until('assembled', 10_000, async () => (await fleet.job('job')).status?.assembled || undefined);
    await fleet.operator!.stop();
    await using proxy = await FaultProxy.start(arena.plane);
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

  test('an operator that begins with lists in pages, whose rest is forgotten, replaces none', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.start(arena.plane, { times: QUICK_TIMES });
    await fleet.submit('job');
    const before = await podsOf(fleet, 3, 0);
    await standstill(fleet);
    await fleet.operator!.stop();
    await using proxy = await FaultProxy.start(arena.plane);
    let forgotten = 0;
    proxy.rule = ({ method, path, isWatch }) => {
      if (method !== 'GET' || isWatch || !/[?&]limit=/.test(path)) return PASS;
      if (/[?&]continue=/.test(path) && /\/pods\?/.test(path) && forgotten++ < 2)
        return { kind: 'answer', status: 410, reason: 'Expired' };
      return { kind: 'ask', path: path.replace(/limit=\d+/, 'limit=1') };
    };
    await fleet.startOperator({ times: QUICK_TIMES }, proxy.kubeConfig);
    await rest(fleet, [proxy], 5000);
    assert.ok(forgotten >= 2, `${forgotten} pages were asked for`);
    const uids = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata.uid);
    assert.deepEqual(uids(await fleet.pods('job')), uids(before));
    assert.equal(proxy.writes, 0);
  });
});

test('the CRD is taken away under a running operator, and comes back', { timeout: 240_000 }, async () => {
  await using fleet = await Fleet.start(arena.plane, { times: QUICK_TIMES });
  await arena.plane.kubectl('delete', 'crd', 'leptonjobs.lepton.ai', '--wait=true', '--timeout=60s');
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await installCrd(arena.plane.api);
  await fleet.submit('job');
  await podsOf(fleet, 3, 0);
});
