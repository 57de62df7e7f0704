// What an administrator's configuration and an author's template make of a pod: the settings of the chart arrive in it, and the
// template wins where it may.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OperatorConfig, operatorConfigSchema } from '../../../operator/config.ts';
import { isCoordinator } from '../../../operator/leptonjob/hosting.ts';
import { jobConfigOf } from '../../../operator/leptonjob/job-config.ts';
import { podOf } from '../../../operator/leptonjob/pod.ts';
import { SmallCluster } from './small-cluster.ts';

interface PodSpec {
  readonly containers: readonly Record<string, unknown>[];
  readonly imagePullSecrets?: unknown;
  readonly securityContext: Record<string, unknown>;
  readonly [field: string]: unknown;
}

const SETTINGS = operatorConfigSchema.parse({
  image: 'registry.example/worker@sha256:00',
  imagePullPolicy: 'Always',
  imagePullSecrets: ['pull'],
  runAsUser: 1234,
  resources: { worker: { requests: { cpu: '2' } }, parameterServer: { limits: { memory: '1Gi' } } },
});

function specOf(
  role: 'worker' | 'server',
  config: OperatorConfig,
  worker: Record<string, unknown> = {},
): PodSpec {
  const { job } = new SmallCluster({ worker: { replicas: 1, ...worker } });
  const pod = podOf(job, { role, rank: 0, attempt: 0 }, config) as unknown as { spec: PodSpec };
  return pod.spec;
}

test('image, pull policy, pull secrets, user and default resources come from the operator’s configuration', () => {
  for (const [role, resources] of [
    ['worker', { requests: { cpu: '2' } }],
    ['server', { limits: { memory: '1Gi' } }],
  ] as const) {
    const { containers, imagePullSecrets, securityContext } = specOf(role, SETTINGS);
    const [{ image, imagePullPolicy, resources: given } = {}] = containers;
    assert.deepEqual([image, imagePullPolicy], ['registry.example/worker@sha256:00', 'Always']);
    assert.deepEqual(given, resources);
    assert.deepEqual(imagePullSecrets, [{ name: 'pull' }]);
    for (const key of ['runAsUser', 'runAsGroup', 'fsGroup']) assert.equal(securityContext[key], 1234);
  }
});

test('a template’s own image, resources and pull secrets win', () => {
  const own = { name: 'lepton', image: 'mine:1', resources: { limits: { cpu: '1' } } };
  const template = { spec: { imagePullSecrets: [{ name: 'own' }], containers: [own] } };
  const { containers, imagePullSecrets } = specOf('worker', SETTINGS, { template });
  assert.equal(containers[0]?.['image'], 'mine:1');
  assert.deepEqual(containers[0]?.['resources'], own.resources);
  assert.deepEqual(imagePullSecrets, [{ name: 'own' }]);
});

test('accelerators are limits of the workers, and their taints are tolerated', () => {
  const accelerators = { 'nvidia.com/gpu': 1 };
  const worker = specOf('worker', SETTINGS, { accelerators });
  assert.deepEqual(worker.containers[0]?.['resources'], { requests: { cpu: '2' }, limits: accelerators });
  assert.deepEqual(worker['tolerations'], [
    { key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' },
  ]);
  assert.deepEqual(specOf('server', SETTINGS, { accelerators })['tolerations'], []);
});

test('where the administrator allows more, sidecars are left as they are; the role’s own container is not', () => {
  const template = { spec: { containers: [{ name: 'sidecar', image: 'x' }] } };
  const open = { ...SETTINGS, podSecurity: 'baseline' } as const;
  const [own, sidecar] = specOf('worker', open, { template }).containers;
  assert.deepEqual(sidecar, { name: 'sidecar', image: 'x' });
  assert.deepEqual(own?.['securityContext'], {
    readOnlyRootFilesystem: true,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  });
});

test('no template takes the pod’s identity: host name, account, restart policy, labels', () => {
  const template = { metadata: { labels: { 'lepton.ai/rank': '7', team: 'a' } }, spec: {} };
  const { job } = new SmallCluster({ worker: { replicas: 1, template } });
  const { metadata } = podOf(job, { role: 'worker', rank: 0, attempt: 2 }, SETTINGS);
  assert.deepEqual(
    [metadata.labels?.['lepton.ai/rank'], metadata.labels?.['lepton.ai/attempt'], metadata.labels?.['team']],
    ['0', '2', 'a'],
  );
  const spec = specOf('worker', SETTINGS);
  assert.deepEqual(
    [spec['restartPolicy'], spec['automountServiceAccountToken'], spec['hostname']],
    ['Never', false, 'job-worker-0'],
  );
});

function standingOf(cluster: SmallCluster, role: 'worker' | 'server', rank: number) {
  const pod = podOf(cluster.job, { role, rank, attempt: 0 }, SETTINGS);
  const { spec } = pod as unknown as {
    spec: PodSpec & { volumes: { projected?: { sources: { secret: { items: { path: string }[] } }[] } }[] };
  };
  const sources = spec.volumes.flatMap(({ projected }) => projected?.sources ?? []);
  const paths = sources.flatMap(({ secret }) => secret.items.map(({ path }) => path));
  return {
    listens: spec.containers[0]?.['readinessProbe'] !== undefined,
    found: pod.metadata.labels?.['lepton.ai/server'] === 'true',
    evictable: pod.metadata.annotations?.['cluster-autoscaler.kubernetes.io/safe-to-evict'],
    server: paths.includes('server/tls.crt'),
  };
}

const HOLDS = { listens: true, found: true, evictable: 'false', server: true };
const COMPUTES = { listens: false, found: false, evictable: 'true', server: false };

test('a worker that holds parameters listens, is found, has both identities, and is not evicted lightly', () => {
  const cluster = new SmallCluster({
    worker: { replicas: 3, minReplicas: 2 },
    parameterServer: { replicas: 0 },
  });
  const standings = [0, 1, 2].map((rank) => standingOf(cluster, 'worker', rank));
  assert.deepEqual(standings, [HOLDS, HOLDS, COMPUTES]);
});

test('parameters in servers and in workers: servers come first, and the first of them coordinates', () => {
  const cluster = new SmallCluster({
    worker: { replicas: 3, minReplicas: 2 },
    parameterServer: { replicas: 1, placement: 'mixed' },
  });
  const standings = [0, 1, 2].map((rank) => standingOf(cluster, 'worker', rank));
  assert.deepEqual(standings, [HOLDS, HOLDS, COMPUTES]);
  assert.deepEqual(standingOf(cluster, 'server', 0), { ...HOLDS, server: false });
  const { servers, hostedServers } = jobConfigOf(cluster.job).content;
  assert.deepEqual(
    [servers.map((address) => address.split('.')[0]), hostedServers],
    [['job-server-0', 'job-worker-0', 'job-worker-1'], 2],
  );
  const coordinators = (['server', 'worker'] as const).filter((role) =>
    isCoordinator(cluster.job, { role, rank: 0 }),
  );
  assert.deepEqual(coordinators, ['server']);
});

test('a killed server is started again in its pod, where its memory is; not where the job says what follows such an end', () => {
  const factsOf = (role: 'worker' | 'server', spec: Record<string, unknown> = {}) => {
    const { job } = new SmallCluster(spec);
    const pod = podOf(job, { role, rank: 0, attempt: 0 }, SETTINGS) as unknown as { spec: PodSpec };
    const [container] = pod.spec.containers;
    const mounts = container?.['volumeMounts'] as { name: string; mountPath: string }[];
    const volumes = pod.spec['volumes'] as { name: string }[];
    return {
      pod: pod.spec['restartPolicy'],
      rules: container?.['restartPolicyRules'],
      volume: volumes.find(({ name }) => name === 'lepton-memory'),
      folder: mounts.find(({ name }) => name === 'lepton-memory')?.mountPath,
      files: jobConfigOf(job).content.snapshotFiles,
    };
  };
  const files = { shard: '/run/lepton/memory/shard', ledger: '/run/lepton/memory/ledger' };
  const values = [132, 133, 134, 135, 136, 137, 139];
  const keeps = {
    pod: 'Never',
    rules: [{ action: 'Restart', exitCodes: { operator: 'In', values } }],
    volume: { name: 'lepton-memory', emptyDir: { medium: 'Memory' } },
    folder: '/run/lepton/memory',
    files,
  };
  const nothing = { pod: 'Never', rules: undefined, volume: undefined, folder: undefined };
  assert.deepEqual(factsOf('server'), keeps);
  assert.deepEqual(factsOf('worker'), { ...nothing, files });
  assert.deepEqual(factsOf('worker', { parameterServer: { replicas: 0 } }), keeps);
  const rules = [{ signals: [9], action: 'FailJob' }];
  for (const spec of [{ maxRestarts: 0 }, { failurePolicy: { rules } }])
    assert.deepEqual(factsOf('server', spec), { ...nothing, files: undefined });
});
