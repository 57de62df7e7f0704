// Somebody else has a hand in it: takes labels, owners and names, writes the status, deletes jobs and the namespace; what admission and
// changed manifests do stands in files of their own, for the same control plane. The operator repairs what is its own, leaves alone
// what is not, says so, and does not go round in circles.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { controllerOf, type KubeObject, PODS, SERVICES, type Stored } from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LABELS, LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { NAMESPACES } from '../cluster/resources.ts';
import { admissionIn } from './admission.ts';
import { type Arena, podsOf, startArena, twinsIn } from './arena.ts';
import { changedManifestsIn } from './changed-manifests.ts';
import type { SeenRequest } from './fault-proxy.ts';
import type { OperatorInput } from './fleet.ts';
import { type Place, PROBE, placeOn, uidsOf, workerOf } from './place.ts';
import { rest } from './rest.ts';

const timeout = 240_000;

let arena: Arena;
before(async () => {
  arena = await startArena();
});
after(() => arena?.[Symbol.asyncDispose]());

const begin = (config?: OperatorInput): Promise<Place> => placeOn(arena, config);

describe('somebody else has a hand in it', { concurrency: 8 }, () => {
  test('labels that somebody takes from a pod are given back; the pod lives on', { timeout }, async () => {
    await using place = await begin();
    const { fleet } = place;
    const { api } = fleet.plane;
    await fleet.submit('job');
    const worker = workerOf(await podsOf(fleet, 3, 0), 1);
    const labels = Object.fromEntries(Object.keys(worker.metadata.labels ?? {}).map((name) => [name, null]));
    await api.mergePatch(PODS, worker.metadata, { metadata: { labels } });
    const again = await until('the labels are back', 30_000, async () => {
      const pod = await api.get<Pod>(PODS, worker.metadata);
      return pod.metadata.labels?.[LABELS.jobUid] === undefined ? undefined : pod;
    });
    assert.equal(again.metadata.uid, worker.metadata.uid);
    assert.deepEqual(again.metadata.labels, worker.metadata.labels);
    assert.equal((await fleet.job('job')).status?.restarts, 0);
  });

  test('an owner that somebody takes is given back; the objects live on', { timeout }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    const { api } = fleet.plane;
    const { metadata } = await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    const service = await api.get<Stored>(SERVICES, { namespace: fleet.namespace, name: 'job' });
    for (const [resource, object] of [
      [PODS, workerOf(pods, 1)],
      [SERVICES, service],
    ] as const) {
      await api.mergePatch(resource, object.metadata, { metadata: { ownerReferences: null } });
      const again = await until(`${resource.kind} has its owner back`, 30_000, async () => {
        const now = await api.get<Stored>(resource, object.metadata);
        return controllerOf(now) ? now : undefined;
      });
      assert.equal(controllerOf(again)?.uid, metadata.uid);
      assert.equal(again.metadata.uid, object.metadata.uid);
    }
    await rest(fleet, [proxy], 3000);
    assert.deepEqual(uidsOf(await fleet.pods('job')), uidsOf(pods));
    assert.equal((await fleet.job('job')).status?.waiting?.on, 'Rendezvous');
  });

  test('a status that somebody writes as well is put right ever more slowly', {
    timeout,
  }, async (context) => {
    await using place = await begin();
    const { fleet, proxy } = place;
    const { api } = fleet.plane;
    await fleet.submit('job');
    await podsOf(fleet, 3, 0);
    await rest(fleet, [proxy], 1000);
    const before = proxy.writes;
    const end = performance.now() + 20_000;
    while (performance.now() < end) {
      const { status } = await fleet.job('job');
      if (status?.worker?.ready !== 77)
        await api.mergePatch(LEPTON_JOBS, { namespace: fleet.namespace, name: 'job' }, FOREIGN, 'status');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const written = proxy.writes - before;
    context.diagnostic(`${written} writes in 20 s against a writer that reverts each within 50 ms`);
    assert.ok(written >= 1 && written <= 10, `${written} writes`);
    const seen = await fleet.plane.kubectl('get', 'events', '-n', fleet.namespace, '-o', 'name');
    assert.ok(
      fleet.log.some((line) => line.includes('StatusConflict')),
      seen,
    );
    await fleet.expect('job', 'right', ({ status }) => status?.worker?.ready === 2, 90_000);
  });

  test('a job is deleted without its pods and made again: the pods of the first are left alone', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet } = place;
    const { api } = fleet.plane;
    await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    const at = { namespace: fleet.namespace, name: 'job' };
    await api.delete(LEPTON_JOBS, at, { propagationPolicy: 'Orphan' });
    await until('the job is gone', 60_000, async () =>
      (await fleet.job('job').catch(() => undefined)) === undefined ? true : undefined,
    );
    await fleet.submit('job');
    const { status } = await fleet.expect(
      'job',
      'names the conflict',
      (job) => job.status?.waiting?.on === 'NameConflict',
      30_000,
    );
    assert.match(
      status?.waiting?.message ?? '',
      /exists and does not belong to this job: it is left as it is/,
    );
    assert.deepEqual(uidsOf(await fleet.pods('job')), uidsOf(pods));
    for (const kind of ['pods', 'services', 'secrets', 'configmaps', 'networkpolicies'])
      await fleet.plane.kubectl(
        'delete',
        kind,
        '-n',
        fleet.namespace,
        '-l',
        `${LABELS.jobName}=job`,
        '--wait',
      );
    const fresh = await podsOf(fleet, 3, 0);
    assert.equal(fresh.filter(({ metadata }) => uidsOf(pods).includes(metadata.uid)).length, 0);
  });

  test('a job is made again under its name, unseen, while the pods of the first end', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    const { api } = fleet.plane;
    const first = await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    const ofJobs = ({ path }: SeenRequest) => /\/leptonjobs(\?|$)/.test(path);
    proxy.rule = (request) => (ofJobs(request) ? { kind: 'drop' } : { kind: 'pass' });
    proxy.breakConnections();
    await api.delete(LEPTON_JOBS, { namespace: fleet.namespace, name: 'job' });
    const second = await fleet.submit('job');
    proxy.rule = () => ({ kind: 'pass' });
    const fresh = await until('pods of the second job', 60_000, async () => {
      const now = await fleet.pods('job');
      const own = now.filter(({ metadata }) => metadata.labels?.[LABELS.jobUid] === second.metadata.uid);
      return own.length === 3 && now.length === 3 ? own : undefined;
    });
    assert.notEqual(first.metadata.uid, second.metadata.uid);
    assert.equal(fresh.filter(({ metadata }) => uidsOf(pods).includes(metadata.uid)).length, 0);
    await rest(fleet, [proxy], 5000);
    assert.deepEqual(await twinsIn(arena, fleet), []);
    const { status } = await fleet.job('job');
    assert.deepEqual([status?.attempt, status?.restarts], [0, 0]);
  });

  test('somebody else takes the name of a pod that vanished: left alone, reported, the others go on', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    const { api } = fleet.plane;
    await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    const lost = workerOf(pods, 1);
    const others = pods.filter((pod) => pod !== lost);
    const at = { namespace: fleet.namespace, name: lost.metadata.name };
    proxy.rule = ({ method, path }) =>
      method === 'POST' && /\/pods(\?|$)/.test(path) ? { kind: 'answer', status: 503 } : { kind: 'pass' };
    await api.delete(PODS, at);
    await until('the pod is gone', 60_000, async () =>
      (await api.get(PODS, at).catch(() => undefined)) === undefined ? true : undefined,
    );
    // As its controller would make it again, down to the labels.
    const { labels } = lost.metadata;
    const foreign = await api.create<Pod>(PODS, {
      metadata: { ...at, labels: { [LABELS.jobName]: 'job', app: String(labels?.[LABELS.role]) } },
      spec: { containers: PROBE },
    } as KubeObject);
    proxy.rule = () => ({ kind: 'pass' });
    const conflict = (job: LeptonJobObject) => job.status?.waiting?.on === 'NameConflict';
    const { status } = await fleet.expect('job', 'names the conflict', conflict, 60_000);
    assert.match(status?.waiting?.message ?? '', /Pod job-worker-1 exists and does not belong to this job/);
    const before = proxy.writes;
    await new Promise((resolve) => setTimeout(resolve, 5000));
    assert.ok(proxy.writes - before <= 3, `${proxy.writes - before} writes in 5 s of waiting`);
    const found = await api.get<Pod>(PODS, at);
    assert.deepEqual(
      [found.metadata.uid, found.metadata.deletionTimestamp, found.metadata.ownerReferences],
      [foreign.metadata.uid, undefined, undefined],
    );
    const now = await fleet.pods('job');
    for (const { metadata } of others) assert.ok(uidsOf(now).includes(metadata.uid), metadata.name);
    await api.delete(PODS, at);
    await podsOf(fleet, 3, (await fleet.job('job')).status?.attempt ?? 0);
  });

  test('the namespace is deleted: nothing is made in it any more, and it goes', {
    timeout,
  }, async (context) => {
    await using place = await begin();
    const { fleet, proxy } = place;
    for (const name of ['job', 'job-b', 'job-c']) await fleet.submit(name);
    await podsOf(fleet, 3, 0);
    await rest(fleet, [proxy], 1000);
    const before = proxy.writes;
    let creations = 0;
    proxy.rule = ({ method, isWrite }) => {
      if (isWrite && method === 'POST') creations++;
      return { kind: 'pass' };
    };
    await fleet.plane.api.delete(NAMESPACES, { name: fleet.namespace });
    await until('the namespace is gone', 120_000, async () => {
      const { items } = await fleet.plane.api.list<Stored>(NAMESPACES);
      return items.every(({ metadata }) => metadata.name !== fleet.namespace) || undefined;
    });
    const written = proxy.writes - before;
    context.diagnostic(`${written} writes, ${creations} creations for three jobs of three pods`);
    assert.ok(creations <= 9, `${creations} creations`);
    assert.ok(written <= 40, `${written} writes`);
  });

  test('an operator away: a deleted job goes with all that it had', { timeout }, async () => {
    await using place = await begin();
    const { fleet } = place;
    await fleet.submit('job');
    await podsOf(fleet, 3, 0);
    await fleet.operator!.stop();
    const job = await fleet.job('job');
    assert.equal(job.metadata.finalizers, undefined);
    await fleet.plane.api.delete(LEPTON_JOBS, { namespace: fleet.namespace, name: 'job' });
    const { final } = await rest(fleet, [], 0);
    assert.deepEqual(final, { objects: {}, status: undefined });
  });

  admissionIn(begin);
  changedManifestsIn(begin);
});

const FOREIGN = { status: { worker: { ready: 77 } } };
