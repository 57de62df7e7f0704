// The chart on a real API server without nodes: values that are refused, what each setting renders, whether the server and Pod
// Security admission take it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { operatorConfigSchema } from '../../operator/config.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { apply, CHART, find, helm, type Manifest, operatorPod, renderChart, valuesFile } from './chart.ts';
import { makeNamespace, RESTRICTED } from './fleet.ts';

const SYSTEM = 'lepton-system';
const RELEASE = { name: 'lepton', namespace: SYSTEM };
const DIGEST = `sha256:${'0'.repeat(64)}`;

let plane: ControlPlane;
before(async () => {
  plane = await startControlPlane({
    with: ['kube-controller-manager', 'kubectl', 'helm', 'monitoring-crds'],
  });
  const crds = join(plane.programs, 'monitoring-crds');
  await plane.kubectl(
    'apply',
    '--server-side',
    '-f',
    `${crds}/servicemonitors.yaml`,
    '-f',
    `${crds}/prometheusrules.yaml`,
  );
  await plane.kubectl(
    'wait',
    '--for=condition=Established',
    '--timeout=30s',
    '-f',
    `${crds}/servicemonitors.yaml`,
    '-f',
    `${crds}/prometheusrules.yaml`,
  );
  for (const name of [SYSTEM, 'team-a', 'team-b']) await makeNamespace(plane, name, RESTRICTED);
});
after(() => plane?.[Symbol.asyncDispose]());

/** Everything that can be set, set. */
const FULL = {
  images: {
    operator: {
      repository: 'registry.example/operator',
      tag: 'ignored',
      digest: DIGEST,
      pullPolicy: 'Always',
    },
    worker: { repository: 'registry.example/worker', tag: '9', pullPolicy: 'Never' },
  },
  imagePullSecrets: ['pull-a', 'pull-b'],
  replicas: 2,
  resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: 2, memory: '1Gi' } },
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  tolerations: [{ key: 'infra', operator: 'Exists' }],
  affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
  priorityClassName: 'system-cluster-critical',
  podAnnotations: { team: 'a' },
  config: {
    namespaces: ['team-a', 'team-b'],
    concurrency: 4,
    podSecurity: 'baseline',
    serviceAccounts: ['default', 'trainer'],
    runAsUser: 1000,
    networkPolicy: false,
    perJobMetrics: false,
    resources: { worker: { requests: { cpu: '2' }, limits: { memory: '8Gi' } } },
    times: { stopSeconds: 30 },
  },
  crds: { install: true, keep: false },
  serviceAccount: { name: 'lepton-operator', annotations: { a: 'b' } },
  podDisruptionBudget: { enabled: true, maxUnavailable: '50%' },
  networkPolicy: {
    metricsFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
  },
  metrics: {
    serviceMonitor: { enabled: true, interval: '10s', labels: { release: 'prometheus' } },
    prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
    dashboard: { enabled: true, labels: { grafana_dashboard: 'yes' } },
  },
};

/** Path and value -> what Helm must say. */
const WRONG: readonly (readonly [values: unknown, says: RegExp])[] = [
  [{ replica: 2 }, /additional properties 'replica' not allowed/],
  [{ replicas: 'two' }, /at '\/replicas': got string, want integer/],
  [{ replicas: 11 }, /at '\/replicas': maximum: got 11, want 10/],
  [{ config: { concurrency: 0 } }, /at '\/config\/concurrency': minimum: got 0, want 1/],
  [{ config: { podSecurity: 'privileged' } }, /at '\/config\/podSecurity': value must be one of/],
  [{ config: { namespaces: ['Team A'] } }, /at '\/config\/namespaces\/0': 'Team A' does not match pattern/],
  [{ config: { namespaces: 'team-a' } }, /at '\/config\/namespaces': got string, want array/],
  [{ config: { image: 'x' } }, /additional properties 'image' not allowed/],
  [{ config: { times: { stopSecond: 3 } } }, /additional properties 'stopSecond' not allowed/],
  [{ config: { runAsUser: 0 } }, /at '\/config\/runAsUser': minimum: got 0, want 1/],
  [
    { images: { operator: { digest: 'sha256:short' } } },
    /at '\/images\/operator\/digest': .* does not match pattern/,
  ],
  [{ imagePullSecrets: [{ name: 'x' }] }, /at '\/imagePullSecrets\/0': got object, want string/],
  [
    { metrics: { serviceMonitor: { interval: 30 } } },
    /at '\/metrics\/serviceMonitor\/interval': got number, want string/,
  ],
  [{ resources: { limit: {} } }, /additional properties 'limit' not allowed/],
];

test('Helm refuses wrong values and says which', { timeout: 120_000 }, async () => {
  for (const [values, says] of WRONG) await assert.rejects(renderChart(plane, RELEASE, values), says);
});

test('helm lint finds nothing', async () => {
  for (const values of [{}, FULL])
    await helm(plane, 'lint', '--strict', CHART, '--values', await valuesFile(plane, values));
});

/** The server decodes strictly, validates, and runs admission. */
async function mustBeTaken(all: readonly Manifest[]): Promise<void> {
  await apply(plane, all, '--dry-run=server', '--validate=strict');
  const { metadata, spec } = operatorPod(all);
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, name: 'as-a-pod', namespace: SYSTEM },
    spec: { ...spec, serviceAccountName: 'default', priorityClassName: undefined },
  };
  await apply(plane, [pod], '--dry-run=server', '--validate=strict');
}

test('by default: one operator for all namespaces, in the restricted standard', {
  timeout: 60_000,
}, async () => {
  const all = await renderChart(plane, RELEASE, {});
  const kinds = all.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
  assert.deepEqual(kinds, [
    'ClusterRole lepton',
    'ClusterRole lepton-edit',
    'ClusterRole lepton-nodes',
    'ClusterRole lepton-view',
    'ClusterRoleBinding lepton',
    'ClusterRoleBinding lepton-nodes',
    'ConfigMap lepton-config',
    'CustomResourceDefinition leptonjobs.lepton.ai',
    'Deployment lepton',
    'NetworkPolicy lepton',
    'Pod lepton-test',
    'Role lepton-leader',
    'RoleBinding lepton-leader',
    'Service lepton-metrics',
    'ServiceAccount lepton',
  ]);
  const { spec } = operatorPod(all);
  assert.equal(spec.containers[0]?.image, 'lepton/operator:0.1.0');
  assert.equal(spec['imagePullSecrets'], undefined);
  await mustBeTaken(all);
});

test('with everything set: each setting is where it belongs', { timeout: 60_000 }, async () => {
  const all = await renderChart(plane, RELEASE, FULL);
  const { metadata, spec } = operatorPod(all);
  const [operator] = spec.containers;
  assert.equal(operator?.image, `registry.example/operator@${DIGEST}`);
  assert.equal(operator?.imagePullPolicy, 'Always');
  assert.deepEqual(operator?.resources, FULL.resources);
  assert.deepEqual(spec['imagePullSecrets'], [{ name: 'pull-a' }, { name: 'pull-b' }]);
  assert.equal(spec['serviceAccountName'], 'lepton-operator');
  for (const key of ['nodeSelector', 'tolerations', 'affinity', 'priorityClassName'] as const)
    assert.deepEqual(spec[key], FULL[key], key);
  assert.equal((metadata['annotations'] as Record<string, string>)['team'], 'a');
  const config = operatorConfigSchema.parse(
    JSON.parse(find(all, 'ConfigMap', 'lepton-config').data?.['operator.json'] ?? ''),
  );
  const { resources, times, ...given } = FULL.config;
  for (const [key, value] of Object.entries(given))
    assert.deepEqual(config[key as keyof typeof config], value, key);
  assert.deepEqual(config.resources.worker, resources.worker);
  assert.equal(config.times.stopSeconds, times.stopSeconds);
  assert.deepEqual([config.image, config.imagePullPolicy], ['registry.example/worker:9', 'Never']);
  assert.deepEqual(config.imagePullSecrets, FULL.imagePullSecrets);
  assert.equal((find(all, 'Deployment', 'lepton').spec as { replicas: number }).replicas, 2);
  assert.equal(
    (find(all, 'PodDisruptionBudget', 'lepton').spec as { maxUnavailable: string }).maxUnavailable,
    '50%',
  );
  const wide = all.filter(({ kind }) => kind === 'ClusterRoleBinding').map(({ metadata: { name } }) => name);
  assert.deepEqual(wide, ['lepton-nodes']);
  const roles = all.filter(({ kind, metadata: { name } }) => kind === 'Role' && name === 'lepton');
  assert.deepEqual(
    roles.map(({ metadata: { namespace } }) => namespace),
    ['team-a', 'team-b'],
  );
  for (const { rules = [] } of roles)
    assert.ok(rules.every(({ resources: of }) => !of.includes('networkpolicies')));
  await mustBeTaken(all);
});

test('objects of the Prometheus operator and the dashboard select what there is', async () => {
  const all = await renderChart(plane, RELEASE, FULL);
  const service = find(all, 'Service', 'lepton-metrics');
  const { selector, endpoints } = find(all, 'ServiceMonitor', 'lepton').spec as {
    selector: { matchLabels: Record<string, string> };
    endpoints: { port: string; interval: string }[];
  };
  for (const [key, value] of Object.entries(selector.matchLabels))
    assert.equal(service.metadata.labels?.[key], value, key);
  const ports = (service.spec as { ports: { name: string }[] }).ports.map(({ name }) => name);
  assert.ok(ports.includes(endpoints[0]?.port ?? ''));
  const pod = operatorPod(all).metadata['labels'] as Record<string, string>;
  const policy = find(all, 'NetworkPolicy', 'lepton').spec as {
    podSelector: { matchLabels: Record<string, string> };
  };
  const budget = find(all, 'PodDisruptionBudget', 'lepton').spec as {
    selector: { matchLabels: Record<string, string> };
  };
  for (const labels of [
    service.spec?.['selector'] as Record<string, string>,
    policy.podSelector.matchLabels,
    budget.selector.matchLabels,
  ])
    for (const [key, value] of Object.entries(labels)) assert.equal(pod[key], value, key);
  const [health, metrics] = (policy as unknown as { ingress: { from?: unknown[] }[] }).ingress;
  assert.equal(health?.from, undefined);
  assert.deepEqual(metrics?.from?.[0], FULL.networkPolicy.metricsFrom[0]);
  const tester = find(all, 'Pod', 'lepton-test').metadata.labels;
  assert.deepEqual(metrics?.from?.[1], { podSelector: { matchLabels: tester } }, 'helm test gets through');
  const rules = find(all, 'PrometheusRule', 'lepton');
  assert.deepEqual(rules.spec, parse(await readFile(join(CHART, 'files/alerts.yaml'), 'utf8')));
  for (const kind of ['ServiceMonitor', 'PrometheusRule'])
    assert.equal(find(all, kind, 'lepton').metadata.labels?.['release'], 'prometheus');
  const dashboard = find(all, 'ConfigMap', 'lepton-dashboard');
  assert.equal(dashboard.metadata.labels?.['grafana_dashboard'], 'yes');
  assert.ok(JSON.parse(dashboard.data?.['lepton.json'] ?? '').panels.length > 0);
});

test('two releases of one cluster share no name', async () => {
  const cluster = (all: readonly Manifest[]) =>
    all
      .filter(({ metadata }) => metadata.namespace === undefined)
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  const values = { crds: { install: false }, config: { namespaces: ['team-a'] } };
  const one = cluster(await renderChart(plane, { name: 'lepton-a', namespace: 'team-a' }, values));
  const two = cluster(await renderChart(plane, { name: 'b', namespace: 'team-b' }, values));
  assert.ok(one.length > 0);
  assert.deepEqual(
    one.filter((name) => two.includes(name)),
    [],
  );
});
