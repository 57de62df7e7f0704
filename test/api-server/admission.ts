// Admission has a hand in it: policies that change what is written, quotas, Pod Security and webhooks that refuse it. The operator
// says what the server said, and goes on when it may.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KubeObject, PODS, pathOf, type Resource, type Stored } from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { NAMESPACES } from '../cluster/resources.ts';
import { podsOf } from './arena.ts';
import type { Fleet, OperatorInput } from './fleet.ts';
import { type Place, PROBE, uidsOf, workerOf } from './place.ts';
import { quiet } from './rest.ts';

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

export function admissionIn(begin: (config?: OperatorInput) => Promise<Place>): void {
  for (const label of ['meddler.test/label', 'app.kubernetes.io/managed-by'])
    test(`a policy that sets ${label} on every child as it is written: no war over it, nothing at rest`, {
      timeout,
    }, async (context) => {
      await using place = await begin();
      const { fleet, proxy } = place;
      if (!(await servesPolicies(fleet))) return context.skip('this Kubernetes has no such policies');
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
}

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

async function servesPolicies({ plane }: Fleet): Promise<boolean> {
  const path = '/apis/admissionregistration.k8s.io/v1';
  const { resources } = await plane.api.client.call<{ resources: { name: string }[] }>({
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
