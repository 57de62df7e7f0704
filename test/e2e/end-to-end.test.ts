// The walk of the README on a real cluster: two nodes with kubelet and containerd, images made from this checkout, `helm install`,
// `kubectl apply`, a trained model on a volume, `helm uninstall`. Runs inside cluster.sh.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { PODS, pathOf, type Stored } from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { type Daemon, until } from '../cluster/daemon.ts';
import { buildImages } from '../cluster/images.ts';
import { API_ADDRESS, makeBridge, type Node, startDns, startNode } from '../cluster/nodes.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const MANIFEST = join(ROOT, 'examples/fashion-mnist/leptonjob.yaml');
const NODES = ['node-1', 'node-2'];

let plane: ControlPlane;
let dns: Daemon;
let nodes: Node[] = [];
let folder: string;
let data: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-e2e-'));
  const { stdout } = await run(join(ROOT, 'scripts/datasets.sh'));
  data = stdout.trim();
  await makeBridge();
  plane = await startControlPlane({
    with: ['kube-controller-manager', 'kube-scheduler', 'kubectl', 'kubelet', 'coredns', 'helm'],
    address: API_ADDRESS,
    nodes: NODES,
  });
  const images = await buildImages(folder);
  dns = await startDns(plane);
  nodes = await Promise.all([startNode(plane, 1, images), startNode(plane, 2, images)]);
});

after(async () => {
  for (const node of nodes) await node.stop();
  await dns?.stop();
  await plane?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const helm = async (...args: readonly string[]): Promise<string> => {
  const kubeconfig = join(plane.folder, 'admin.kubeconfig');
  const { stdout } = await run(join(plane.programs, 'helm'), ['--kubeconfig', kubeconfig, ...args]);
  return stdout;
};

const job = (): Promise<LeptonJobObject> =>
  plane.api.get(LEPTON_JOBS, { namespace: 'default', name: 'fashion-mnist' });

async function digestOf(from: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(join(from, 'weights.safetensors')))
    .digest('hex');
}

/** A volume that lies on this machine, so both nodes see it. */
async function volume(name: string, path: string, readOnly: boolean): Promise<void> {
  const common = { accessModes: [readOnly ? 'ReadOnlyMany' : 'ReadWriteMany'], storageClassName: '' };
  const file = join(folder, `${name}.yaml`);
  const documents = [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name },
      spec: {
        ...common,
        capacity: { storage: '1Gi' },
        hostPath: { path },
        claimRef: { namespace: 'default', name },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name, namespace: 'default' },
      spec: { ...common, resources: { requests: { storage: '1Gi' } }, volumeName: name },
    },
  ];
  await writeFile(file, documents.map((document) => stringify(document)).join('---\n'));
  await plane.kubectl('apply', '-f', file);
}

test('helm install: the operator becomes ready', { timeout: 180_000 }, async () => {
  const values = ['--set', 'images.operator.tag=test', '--set', 'images.worker.tag=test'];
  await helm(
    'install',
    'lepton',
    join(ROOT, 'charts/lepton'),
    '--namespace',
    'lepton-system',
    '--create-namespace',
    ...values,
  );
  await plane.kubectl('-n', 'lepton-system', 'rollout', 'status', 'deployment/lepton', '--timeout=120s');
  assert.match(
    await helm('test', 'lepton', '--namespace', 'lepton-system', '--timeout', '90s'),
    /Phase:\s+Succeeded/,
  );
});

test('kubectl apply: two workers and a parameter server train; the model is that of lepton run, bit for bit', {
  timeout: 600_000,
}, async (context) => {
  const output = join(folder, 'output');
  await mkdir(output);
  await chown(output, 65_532, 65_532);
  await chmod(folder, 0o755);
  await volume('datasets', data, true);
  await volume('fashion-mnist', output, false);
  await plane.kubectl('apply', '-f', MANIFEST);
  const running = await until('Running with progress', 240_000, async () => {
    const { status } = await job();
    return status?.phase === 'Running' && (status.progress?.step ?? 0) > 0 ? status : undefined;
  });
  assert.equal(running.worker?.ready, 2);
  const table = await plane.kubectl('get', 'leptonjobs');
  context.diagnostic(table);
  assert.match(table, /fashion-mnist\s+Running\s+2\s+2/);
  const placed = await plane.kubectl('get', 'pods', '-o', 'wide');
  context.diagnostic(placed);
  for (const name of NODES) assert.match(placed, new RegExp(name), 'pods are on both nodes');
  const done = await until('Succeeded', 500_000, async () => {
    const { status } = await job();
    assert.notEqual(status?.phase, 'Failed', status?.message);
    return status?.phase === 'Succeeded' ? status : undefined;
  });
  context.diagnostic(JSON.stringify(done.output));
  assert.ok((done.output?.metrics['accuracy'] ?? 0) > 0.85, JSON.stringify(done.output));
  const local = join(folder, 'local');
  const sources = ['train', 'evaluate'].flatMap((part) => ['--set', `data.${part}.uri=${data}`]);
  await run(join(ROOT, 'bin/lepton'), ['run', MANIFEST, '--output', local, ...sources], {
    maxBuffer: 2 ** 26,
  });
  assert.equal(await digestOf(output), await digestOf(local));
  await until('running pods are cleaned', 60_000, async () => {
    const pods = await plane.kubectl('get', 'pods', '-o', 'name', '--field-selector', 'status.phase=Running');
    return pods.trim() === '' || undefined;
  });
});

/** A short job whose weights must be those of an undisturbed `lepton run`, whatever happens to its pods. */
const SHORT = [
  'data.train.limit=6400',
  'data.evaluate.limit=640',
  'training.epochs=4',
  'checkpoint.everySteps=40',
];

async function trainShort(
  name: string,
  disturb: (name: string) => Promise<void>,
): Promise<LeptonJobObject['status']> {
  const folderOf = join(folder, name);
  await mkdir(folderOf);
  await chown(folderOf, 65_532, 65_532);
  await volume(name, folderOf, false);
  const manifest = parse(await readFile(MANIFEST, 'utf8')) as {
    metadata: { name: string };
    spec: { worker: { template: { spec: { volumes: { persistentVolumeClaim: { claimName: string } }[] } } } };
  };
  manifest.metadata.name = name;
  manifest.spec.worker.template.spec.volumes[1]!.persistentVolumeClaim.claimName = name;
  const file = join(folder, `${name}-job.yaml`);
  await writeFile(file, stringify(manifest));
  const sets = SHORT.flatMap((set) => ['--set', set]);
  const kubeconfig = join(plane.folder, 'admin.kubeconfig');
  await run(join(ROOT, 'bin/lepton'), ['submit', file, '--kubeconfig', kubeconfig, ...sets]);
  const read = () => plane.api.get<LeptonJobObject>(LEPTON_JOBS, { namespace: 'default', name });
  await until(`${name} trains`, 120_000, async () => {
    const { status } = await read();
    return (status?.phase === 'Running' && (status.progress?.step ?? 0) > 0) || undefined;
  });
  await disturb(name);
  return await until(`${name} succeeds`, 240_000, async () => {
    const { status } = await read();
    if (status?.phase === 'Failed') throw new Error(status.message);
    return status?.phase === 'Succeeded' ? status : undefined;
  });
}

/** SIGKILL to the process of a pod, as the kernel's out-of-memory killer would. */
async function killContainer(pod: string): Promise<void> {
  const { status } = await plane.api.get<
    Stored & { status: { containerStatuses: { containerID: string }[] } }
  >(PODS, {
    namespace: 'default',
    name: pod,
  });
  const id = status.containerStatuses[0]!.containerID.replace('containerd://', '');
  for (const node of nodes) await node.ctr('tasks', 'kill', '--signal', 'SIGKILL', id).catch(() => {});
}

test('killed containers and an eviction: the same weights each time', {
  timeout: 600_000,
}, async (context) => {
  const local = join(folder, 'short');
  const sources = ['train', 'evaluate'].flatMap((part) => ['--set', `data.${part}.uri=${data}`]);
  const sets = SHORT.flatMap((set) => ['--set', set]);
  await run(join(ROOT, 'bin/lepton'), ['run', MANIFEST, '--output', local, ...sources, ...sets], {
    maxBuffer: 2 ** 26,
  });
  const expected = await digestOf(local);
  const disturbed: readonly [name: string, disturb: (name: string) => Promise<void>, restarts: number][] = [
    ['worker-killed', (name) => killContainer(`${name}-worker-1`), 1],
    ['server-killed', (name) => killContainer(`${name}-server-0`), 1],
    ['worker-evicted', (name) => evict(`${name}-worker-0`), 0],
  ];
  for (const [name, disturb, restarts] of disturbed) {
    const status = await trainShort(name, disturb);
    context.diagnostic(`${name}: ${status?.restarts} restarts, goodput ${JSON.stringify(status?.goodput)}`);
    assert.equal(status?.restarts, restarts, name);
    assert.equal(await digestOf(join(folder, name)), expected, name);
  }
});

async function evict(name: string): Promise<void> {
  await plane.api.client.call({
    method: 'POST',
    path: pathOf(PODS, { namespace: 'default', name, subresource: 'eviction' }),
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'default' } },
  });
}

test('helm uninstall leaves nothing but the CRD and the job', { timeout: 120_000 }, async () => {
  await helm('uninstall', 'lepton', '--namespace', 'lepton-system', '--wait');
  await until('the pods of the operator have ended', 60_000, async () => {
    const pods = await plane.kubectl('get', 'pods', '-n', 'lepton-system', '-o', 'name');
    return pods.trim() === '' || undefined;
  });
  const kinds =
    'all,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,clusterroles,clusterrolebindings,crds';
  const left = await plane.kubectl(
    'get',
    kinds,
    '-A',
    '-l',
    'app.kubernetes.io/instance=lepton',
    '-o',
    'name',
  );
  assert.equal(left.trim(), 'customresourcedefinition.apiextensions.k8s.io/leptonjobs.lepton.ai');
  await plane.kubectl('delete', 'leptonjobs', '--all', '--timeout=60s');
  await until('children are collected', 60_000, async () => {
    const children = await plane.kubectl(
      'get',
      'pods,services,configmaps,secrets',
      '-l',
      'app.kubernetes.io/managed-by=lepton-operator',
      '-o',
      'name',
    );
    return children.trim() === '' || undefined;
  });
});
