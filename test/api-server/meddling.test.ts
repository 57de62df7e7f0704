// Somebody else has a hand in it: takes labels and owners, writes the status, refuses creations, deletes the namespace, changes the
// manifest back and forth. The operator repairs what is its own, leaves alone what is not, says so, and does not go round in circles.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  controllerOf,
  type KubeObject,
  PODS,
  pathOf,
  type Resource,
  SERVICES,
  type Stored,
} from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LABELS, LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { NAMESPACES } from '../cluster/resources.ts';
import { type Arena, podsOf, startArena, twinsIn } from './arena.ts';
import { FaultProxy, type SeenRequest } from './fault-proxy.ts';
import { Fleet, type OperatorInput } from './fleet.ts';
import { differences, QUICK_TIMES, quiet, rest } from './rest.ts';

const timeout = 240_000;
const QUOTAS = core('ResourceQuota', 'resourcequotas');
const WEBHOOKS: Resource = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
  namespaced: false,
};

function core(kind: string, plural: string): Resource {
  return { apiVersion: 'v1', kind, plural, namespaced: true };
}

let arena: Arena;
before(async () => {
  arena = await startArena();
});
after(() => arena?.[Symbol.asyncDispose]());

/** A namespace with an operator behind a proxy. */
async function begin(config: OperatorInput = {}) {
  const fleet = await Fleet.withoutOperator(arena.plane);
  const proxy = await FaultProxy.start(arena.plane);
  await fleet.startOperator({ times: QUICK_TIMES, ...config }, proxy.kubeConfig);
  return {
    fleet,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await fleet[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

const uidsOf = (objects: readonly Stored[]) => objects.map(({ metadata }) => metadata.uid);
const workerOf = (pods: readonly Pod[], rank: number) =>
  pods.find(({ metadata }) => metadata.name === `job-worker-${rank}`)!;

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

  for (const label of ['meddler.test/label', 'app.kubernetes.io/managed-by'])
    test(`a policy that sets ${label} on every child as it is written: no war over it, nothing at rest`, {
      timeout,
    }, async (context) => {
      if (!(await servesPolicies())) return context.skip('this Kubernetes has no such policies');
      await using place = await begin();
      const { fleet, proxy } = place;
      const { api } = fleet.plane;
      await using _ = await mutating(fleet, label);
      await fleet.submit('job');
      const pods = await podsOf(fleet, 3, 0);
      for (const { metadata } of pods) assert.equal(metadata.labels?.[label], 'meddler');
      await quiet([proxy], 5000);
      const made = proxy.writes;
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      const atRest = proxy.writes - made;
      // It comes back to objects that are repaired, too.
      const worker = workerOf(pods, 1);
      const labels = { [LABELS.jobName]: null };
      await api.mergePatch(PODS, worker.metadata, { metadata: { labels } });
      await until('the label is back', 30_000, async () => {
        const { metadata } = await api.get<Pod>(PODS, worker.metadata);
        return metadata.labels?.[LABELS.jobName];
      });
      await quiet([proxy], 5000);
      const repair = proxy.writes - made - atRest;
      context.diagnostic(`${made} writes to make it, ${atRest} in 10 s at rest, ${repair} for a repair`);
      assert.equal(atRest, 0);
      assert.ok(made <= 15 && repair <= 5, `${made} writes to make it, ${repair} for a repair`);
      const { status } = await fleet.job('job');
      assert.deepEqual([status?.restarts, status?.waiting?.on], [0, 'Rendezvous']);
      assert.deepEqual(uidsOf(await fleet.pods('job')), uidsOf(pods));
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

  test('a quota for two of three pods: the server’s words in the status, and on when there is room', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    const { api } = fleet.plane;
    const at = { namespace: fleet.namespace, name: 'small' };
    await api.create(QUOTAS, { metadata: at, spec: { hard: { pods: '2' } } } as KubeObject);
    await until('the quota counts', 60_000, async () => {
      const quota = await api.get<Stored & { status?: { hard?: unknown } }>(QUOTAS, at);
      return quota.status?.hard !== undefined || undefined;
    });
    await fleet.submit('job');
    const waits = (job: LeptonJobObject) => job.status?.waiting?.on === 'Quota';
    const { status } = await fleet.expect('job', 'waits for quota', waits, 30_000);
    assert.match(
      status?.waiting?.message ?? '',
      /exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2/,
    );
    assert.equal((await fleet.pods('job')).length, 2);
    const before = proxy.writes;
    await new Promise((resolve) => setTimeout(resolve, 5000));
    assert.ok(proxy.writes - before <= 6, `${proxy.writes - before} writes in 5 s of waiting`);
    await api.mergePatch(QUOTAS, at, { spec: { hard: { pods: '9' } } });
    await podsOf(fleet, 3, 0);
  });

  test('Pod Security refuses the pods: its words, no churn, and on when it allows them', {
    timeout,
  }, async () => {
    await using place = await begin({ podSecurity: 'off' });
    const { fleet, proxy } = place;
    const enforce = (level: string) =>
      fleet.plane.api.mergePatch(
        NAMESPACES,
        { name: fleet.namespace },
        {
          metadata: { labels: { 'pod-security.kubernetes.io/enforce': level } },
        },
      );
    await enforce('restricted');
    const template = { spec: { hostNetwork: true, containers: [{ name: 'lepton' }] } };
    await fleet.submit('job', { worker: { replicas: 2, template } });
    const waits = (job: LeptonJobObject) => job.status?.waiting?.on === 'Admission';
    const { status } = await fleet.expect('job', 'waits for admission', waits, 30_000);
    assert.match(status?.waiting?.message ?? '', /violates PodSecurity "restricted:latest": host namespaces/);
    const before = proxy.writes;
    await new Promise((resolve) => setTimeout(resolve, 5000));
    assert.ok(proxy.writes - before <= 8, `${proxy.writes - before} writes in 5 s of waiting`);
    await enforce('privileged');
    await podsOf(fleet, 3, 0);
  });

  test('an admission webhook that does not answer: its name in the status, and on without it', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    const { api } = fleet.plane;
    const name = `nobody-home-${fleet.namespace}`;
    await api.create(WEBHOOKS, webhook(name, fleet.namespace));
    await until('the webhook is asked', 30_000, async () => {
      const probe = { metadata: { name: 'probe', namespace: fleet.namespace }, spec: { containers: PROBE } };
      const asked = api.client.call({
        method: 'POST',
        path: pathOf(PODS, probe.metadata).replace('/probe', ''),
        query: { dryRun: 'All' },
        body: { apiVersion: 'v1', kind: 'Pod', ...probe },
      });
      return await asked.then(
        () => undefined,
        (error: Error) => /calling webhook/.test(error.message) || undefined,
      );
    });
    await fleet.submit('job');
    const waits = (job: LeptonJobObject) => job.status?.waiting?.on === 'Admission';
    const { status } = await fleet.expect('job', 'waits for admission', waits, 60_000);
    assert.match(status?.waiting?.message ?? '', /failed calling webhook "home\.nobody\.test"/);
    assert.ok(proxy.writes < 100);
    await api.delete(WEBHOOKS, { name });
    await podsOf(fleet, 3, 0);
  });

  test('fields changed to whatever the schema takes, and back: as if nothing had been (O6)', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    const before = await rest(fleet, [proxy], 2000);
    for (const [changed, back] of MISOPERATIONS) {
      await fleet
        .change('job', changed)
        .catch((error: Error) => assert.match(error.message, /expected|Invalid/));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await fleet.change('job', back);
    }
    const { final } = await rest(fleet, [proxy], 3000);
    assert.deepEqual(differences(final.status, before.final.status), []);
    assert.deepEqual(uidsOf(await fleet.pods('job')), uidsOf(pods));
    const { metadata, status } = await fleet.job('job');
    assert.equal(status?.observedGeneration, metadata.generation);
  });

  test('a manifest that changes all the time: observedGeneration is never ahead, no condition is lost', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet } = place;
    await fleet.submit('job');
    await podsOf(fleet, 3, 0);
    const conditions = (await fleet.job('job')).status?.conditions?.length;
    for (let count = 1; count <= 40; count++) {
      await fleet.change('job', { maxRestarts: count });
      const { metadata, status } = await fleet.job('job');
      assert.ok((status?.observedGeneration ?? 0) <= metadata.generation!);
      assert.equal(status?.conditions?.length, conditions);
    }
    await fleet.expect(
      'job',
      'caught up',
      ({ metadata, status }) => status?.observedGeneration === metadata.generation,
      30_000,
    );
  });

  test('a pass that throws, or never gets its answer, is its own job’s affair alone', {
    timeout,
  }, async () => {
    await using place = await begin();
    const { fleet, proxy } = place;
    proxy.rule = ({ path, isWatch }) => {
      if (isWatch && /\/leptonjobs\?/.test(path)) return { kind: 'lines', edit: withoutSpec };
      return path.includes('slow-tls') ? { kind: 'silence' } : { kind: 'pass' };
    };
    proxy.breakConnections();
    for (const name of ['broken', 'slow', 'job']) await fleet.submit(name);
    await podsOf(fleet, 3, 0);
    assert.ok(
      fleet.log.some((line) => /pass failed.*broken/.test(line)),
      fleet.log.join('\n'),
    );
    assert.equal((await fleet.pods('broken')).length, 0);
  });
});

const FOREIGN = { status: { worker: { ready: 77 } } };
const PROBE = [{ name: 'c', image: 'x' }];

/** What a server of another version might send. */
const withoutSpec = (line: string): string =>
  line.includes('"name":"broken"') ? line.replace('"spec":', '"specification":') : line;

const webhook = (name: string, namespace: string) =>
  ({
    metadata: { name },
    webhooks: [
      {
        name: 'home.nobody.test',
        clientConfig: { url: 'https://127.0.0.1:9/nobody' },
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        failurePolicy: 'Fail',
        timeoutSeconds: 1,
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  }) as KubeObject;

const POLICIES = admission('MutatingAdmissionPolicy', 'mutatingadmissionpolicies');
const BINDINGS = admission('MutatingAdmissionPolicyBinding', 'mutatingadmissionpolicybindings');

function admission(kind: string, plural: string): Resource {
  return { apiVersion: 'admissionregistration.k8s.io/v1', kind, plural, namespaced: false };
}

async function servesPolicies(): Promise<boolean> {
  const path = '/apis/admissionregistration.k8s.io/v1';
  const { resources } = await arena.plane.api.client.call<{ resources: { name: string }[] }>({
    method: 'GET',
    path,
  });
  return resources.some(({ name }) => name === POLICIES.plural);
}

/** In the fleet's namespace, and in force when this resolves. */
async function mutating({ plane: { api }, namespace }: Fleet, label: string): Promise<AsyncDisposable> {
  const name = `meddler-${namespace}`;
  const expression = `Object{metadata: Object.metadata{
    annotations: {"meddler.test/seen": "yes"}, labels: {"${label}": "meddler"}}}`;
  const rule = { apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], scope: '*' };
  await api.create(POLICIES, {
    metadata: { name },
    spec: {
      matchConstraints: {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        resourceRules: [
          { ...rule, apiGroups: [''], resources: ['pods', 'services', 'configmaps', 'secrets'] },
          { ...rule, apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] },
        ],
      },
      mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
      failurePolicy: 'Fail',
      reinvocationPolicy: 'IfNeeded',
    },
  } as KubeObject);
  await api.create(BINDINGS, { metadata: { name }, spec: { policyName: name } } as KubeObject);
  await until('the policy is in force', 60_000, async () => {
    const made = await api.client.call<Stored>({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      query: { dryRun: 'All' },
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'probe' } },
    });
    return made.metadata.annotations?.['meddler.test/seen'];
  });
  return {
    [Symbol.asyncDispose]: async () => {
      await api.delete(BINDINGS, { name });
      await api.delete(POLICIES, { name });
    },
  };
}

type Change = Record<string, unknown>;

/** The running policy: smallest, largest, empty, absent, wrong. What is trained cannot be changed at all. */
const MISOPERATIONS: readonly (readonly [Change, Change])[] = [
  [{ maxRestarts: 0 }, { maxRestarts: 3 }],
  [{ maxRestarts: 1_000_000 }, { maxRestarts: 3 }],
  [{ maxRestarts: -1 }, {}],
  [{ activeDeadlineSeconds: 31_536_000 }, { activeDeadlineSeconds: null }],
  [{ activeDeadlineSeconds: 0 }, {}],
  [{ ttlSecondsAfterFinished: 0 }, { ttlSecondsAfterFinished: null }],
  [{ cleanPodPolicy: 'None' }, { cleanPodPolicy: 'Running' }],
  [{ cleanPodPolicy: 'Some' }, {}],
  [{ failurePolicy: { rules: [{ action: 'FailJob' }] } }, { failurePolicy: { rules: [] } }],
  [{ scheduling: { priorityClassName: 'nobody' } }, { scheduling: { priorityClassName: null } }],
  [{ scheduling: { queue: 'nowhere' } }, { scheduling: { queue: null } }],
  [{ worker: { template: { spec: { hostPID: true } } } }, { worker: { template: null } }],
  [{ worker: { template: { spec: { containers: 7 } } } }, { worker: { template: null } }],
  [{ worker: { minReplicas: 3 } }, {}],
  [{ worker: { maxReplicas: 1024 } }, { worker: { maxReplicas: null } }],
  [{ worker: { replicas: 0 } }, {}],
  [{ checkpoint: { keep: 1 } }, { checkpoint: { keep: 3 } }],
  [{ managedBy: 'kueue.x-k8s.io/multikueue' }, {}],
  [{ training: { batchSize: 1 } }, {}],
  [{ suspend: null }, { suspend: false }],
];
