// What the chart grants and what the operator uses, in both scopes: the operator runs on a real API server as the chart's service account
// through the life of a job, and the audit log is held against the rendered roles. Then who may do what, asked of the server.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  CONFIG_MAPS,
  NETWORK_POLICIES,
  PODS,
  type Resource,
  SERVICES,
  type Stored,
} from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import { installCrd, installGangCrd } from '../cluster/install-crd.ts';
import { EVERYWHERE, expectRights, LISTED, NEVER, OTHER, operatorRows, type Row, tokenOf } from './can-i.ts';
import { apply, type Manifest, type PolicyRule, renderChart } from './chart.ts';
import { Fleet, makeNamespace, RESTRICTED } from './fleet.ts';

let plane: ControlPlane;
before(async () => {
  plane = await startControlPlane({
    with: ['kube-controller-manager', 'kubectl', 'helm', 'volcano-crds', 'scheduler-plugins-crds'],
    gangScheduling: true,
    flags: ['--enable-admission-plugins=OwnerReferencesPermissionEnforcement'],
  });
  await installCrd(plane.api);
  for (const file of ['volcano-crds', 'scheduler-plugins-crds'] as const) await installGangCrd(plane, file);
  for (const name of [OTHER, ...[EVERYWHERE, LISTED].flatMap(({ namespace, jobs }) => [namespace, jobs])])
    await makeNamespace(plane, name, RESTRICTED);
});
after(() => plane?.[Symbol.asyncDispose]());

/** `group resource verb` of each right. */
function rightsOf(rules: readonly PolicyRule[]): Set<string> {
  return new Set(
    rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => `${group || 'core'} ${resource} ${verb}`)),
      ),
    ),
  );
}

/** What nobody sees in an audit log. */
const UNSEEN = new Map([
  [
    'lepton.ai leptonjobs/finalizers update',
    'checked by OwnerReferencesPermissionEnforcement when a child with blockOwnerDeletion is made',
  ],
]);

for (const scope of [EVERYWHERE, LISTED])
  describe(`a release for ${scope === EVERYWHERE ? 'all namespaces' : 'some namespaces'}`, () => {
    let rendered: readonly Manifest[];
    let token: string;
    before(async () => {
      rendered = await renderChart(plane, scope, { ...(scope.values as object), crds: { install: false } });
      const kinds = /^(ServiceAccount|Role|RoleBinding|ClusterRole|ClusterRoleBinding)$/;
      await apply(
        plane,
        rendered.filter(({ kind }) => kinds.test(kind)),
      );
      token = await tokenOf(plane, scope.namespace, scope.name);
    });

    test('the operator lives the life of a job with the rights of the chart, and uses each of them', {
      timeout: 120_000,
    }, async () => {
      const text = rendered.find(({ data }) => data?.['operator.json'])?.data?.['operator.json'] ?? '';
      const { times: _, ...config } = JSON.parse(text);
      const fleet = await Fleet.start(plane, config, plane.kubeConfig(token), scope.jobs);
      try {
        await live(fleet);
        // Another process finds what this one made.
        await fleet.operator!.stop();
        await fleet.startOperator(config, plane.kubeConfig(token));
        for (const [of, gang] of GANGS) await gather(fleet, of, gang);
        await noToken(fleet);
        await fleet.change('life', { ttlSecondsAfterFinished: 1 });
        fleet.coordinators.get('life')!.say({ phase: 'Succeeded', step: 100 });
        await until('the job is gone', 30_000, async () => (await fleet.job('life').catch(() => 0)) === 0);
      } finally {
        await fleet[Symbol.asyncDispose](); // gives the lease back
      }
      const user = `system:serviceaccount:${scope.namespace}:${scope.name}`;
      const calls = (await plane.auditLog()).filter((event) => event.user.username === user);
      const refused = calls.filter(({ responseStatus }) => responseStatus?.code === 403);
      assert.deepEqual(
        refused.map(({ verb, objectRef }) => ({ verb, ...objectRef })),
        [],
      );
      const used = new Set<string>();
      for (const { verb, objectRef } of calls) {
        if (!objectRef) continue;
        const { apiGroup, resource, subresource, namespace } = objectRef;
        used.add(`${apiGroup ?? 'core'} ${resource}${subresource ? `/${subresource}` : ''} ${verb}`);
        if (scope === LISTED && resource !== 'nodes')
          assert.ok(namespace === scope.jobs || namespace === scope.namespace, JSON.stringify(objectRef));
      }
      const bound = rendered.filter(
        ({ kind, metadata }) => /Role$/.test(kind) && !/-(edit|view)$/.test(metadata.name),
      );
      const granted = rightsOf(bound.flatMap(({ rules = [] }) => rules));
      assert.deepEqual(
        [...used].filter((right) => !granted.has(right)),
        [],
        'used without a right',
      );
      assert.deepEqual(
        [...granted].filter((right) => !used.has(right) && !UNSEEN.has(right)),
        [],
        'granted and not used',
      );
    });

    test('no wildcard anywhere', () => {
      for (const { rules = [], metadata } of rendered)
        for (const { apiGroups, resources, verbs } of rules)
          assert.ok(![...apiGroups, ...resources, ...verbs].includes('*'), metadata.name);
    });

    test('what the operator may do', async () => {
      await expectRights(plane, token, [...operatorRows(scope), ...NEVER]);
    });

    test('what a training pod may do, even if somebody gave it the token of its account', async () => {
      const none = [...operatorRows(scope), ...NEVER].map(([, ...row]): Row => [false, ...row]);
      await expectRights(plane, await tokenOf(plane, scope.jobs, 'default'), none);
    });
  });

/** Everything that calls for a verb of its own. */
async function live(fleet: Fleet): Promise<void> {
  await fleet.submit('life');
  await fleet.run('life', { phase: 'Running', step: 1 });
  await fleet.phase('life', 'Running');
  const { namespace } = fleet;
  const children: [Resource, string][] = [
    [PODS, 'life-worker-0'],
    [SERVICES, 'life'],
    [NETWORK_POLICIES, 'life'],
    ...GROUPS.map((of): [Resource, string] => [of, 'life']),
  ];
  const { items } = await plane.api.list<Stored>(CONFIG_MAPS, { namespace });
  for (const { metadata } of items)
    if (metadata.name.startsWith('life-')) children.push([CONFIG_MAPS, metadata.name]);
  assert.equal(children.length, 4 + GROUPS.length);
  for (const [resource, name] of children) await takeLabels(resource, namespace, name);
  // Twice the same: the second event is a repeat.
  for (const restarts of [1, 2]) {
    const worker = (await fleet.pods('life')).find(({ metadata }) => metadata.name === 'life-worker-1');
    await fleet.end(worker!, 1);
    const replaced = ({ status }: LeptonJobObject): boolean =>
      status?.restarts === restarts && status.replacing?.length === 0;
    await fleet.expect('life', `restart ${restarts}`, replaced, 30_000);
    await fleet.run('life');
    await fleet.phase('life', 'Running');
  }
}

/** The operator gives them back. */
async function takeLabels(resource: Resource, namespace: string, name: string): Promise<void> {
  const labels = { [LABELS.jobName]: null, 'app.kubernetes.io/managed-by': null };
  await plane.api.mergePatch(resource, { namespace, name }, { metadata: { labels } });
  await until(`${resource.kind} ${name} has its labels again`, 30_000, async () => {
    const { metadata } = await plane.api.get<Stored>(resource, { namespace, name });
    return metadata.labels?.[LABELS.jobName] !== undefined;
  });
}

/** Other gang schedulers than Kubernetes' own, which every job here has. */
const GANGS: readonly [Resource, string][] = [
  [podGroups('scheduling.volcano.sh/v1beta1'), 'volcano'],
  [podGroups('scheduling.x-k8s.io/v1alpha1'), 'schedulerPlugins'],
];
const GROUPS: readonly Resource[] = [
  { ...podGroups('scheduling.k8s.io/v1beta1'), kind: 'Workload', plural: 'workloads' },
  podGroups('scheduling.k8s.io/v1beta1'),
];

function podGroups(apiVersion: string): Resource {
  return { apiVersion, kind: 'PodGroup', plural: 'podgroups', namespaced: true };
}

/** A group is made, loses its labels, gets them back, and goes with the suspension of its job. */
async function gather(fleet: Fleet, of: Resource, gang: string): Promise<void> {
  const { namespace } = fleet;
  const name = gang.toLowerCase();
  await fleet.submit(name, { scheduling: { gang } });
  const found = (): Promise<Stored | undefined> =>
    plane.api.get<Stored>(of, { namespace, name }).catch(() => undefined);
  await until(`the group of ${gang}`, 30_000, found);
  await takeLabels(of, namespace, name);
  await fleet.change(name, { suspend: true });
  await until(`no group of ${gang}`, 30_000, async () => (await found()) === undefined);
}

async function noToken(fleet: Fleet): Promise<void> {
  const pods = (await fleet.pods('life')) as unknown as {
    spec: { automountServiceAccountToken: boolean; volumes: { projected?: { sources: object[] } }[] };
  }[];
  assert.equal(pods.length, 3);
  for (const { spec } of pods) {
    assert.equal(spec.automountServiceAccountToken, false);
    const sources = spec.volumes.flatMap(({ projected }) => projected?.sources ?? []);
    assert.deepEqual([...new Set(sources.flatMap(Object.keys))], ['secret']);
  }
}

test('authors write jobs and not their status; readers read', async () => {
  const rows = (mayWrite: boolean): Row[] => [
    [true, 'get', 'leptonjobs.lepton.ai', OTHER],
    [true, 'watch', 'leptonjobs.lepton.ai', OTHER],
    [mayWrite, 'create', 'leptonjobs.lepton.ai', OTHER],
    [mayWrite, 'patch', 'leptonjobs.lepton.ai/scale', OTHER],
    [mayWrite, 'delete', 'leptonjobs.lepton.ai', OTHER],
    [false, 'update', 'leptonjobs.lepton.ai/status', OTHER],
    [false, 'update', 'leptonjobs.lepton.ai/finalizers', OTHER],
    [false, 'create', 'leptonjobs.lepton.ai', LISTED.jobs],
  ];
  for (const role of ['edit', 'view']) {
    const account = { metadata: { name: role, namespace: OTHER }, apiVersion: 'v1', kind: 'ServiceAccount' };
    const binding = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: role, namespace: OTHER },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', name: role, namespace: OTHER }],
    };
    await apply(plane, [account, binding]);
    const token = await tokenOf(plane, OTHER, role);
    await until('the roles are aggregated', 30_000, async () => {
      await expectRights(plane, token, rows(role === 'edit'));
      return true;
    });
  }
});
