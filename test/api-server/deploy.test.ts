// Both ways onto a cluster without nodes: the plain rendering for kustomize, and the life of a release of the chart: upgrade of the CRD,
// uninstall that keeps it and the jobs, install again.
import assert from 'node:assert/strict';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { render } from '../../charts/rendering.ts';
import { operatorConfigSchema } from '../../operator/config.ts';
import { CONFIG_MAPS, type Stored } from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { Operator } from '../../operator/operator.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import { tokenOf } from './can-i.ts';
import { CHART, documentsOf, find, helm, operatorPod } from './chart.ts';
import { makeNamespace, RESTRICTED } from './fleet.ts';

const ROOT = join(import.meta.dirname, '../..');
const SYSTEM = 'lepton-system';

let plane: ControlPlane;
before(async () => {
  plane = await startControlPlane({ with: ['kube-controller-manager', 'kubectl', 'helm'] });
  await makeNamespace(plane, SYSTEM, RESTRICTED);
});
after(() => plane?.[Symbol.asyncDispose]());

test('deploy/kustomize is what the chart renders, and the server takes it', { timeout: 60_000 }, async () => {
  const folder = join(ROOT, 'deploy/kustomize');
  for (const [name, content] of Object.entries(await render()))
    assert.equal(await readFile(join(folder, name), 'utf8'), content, `${name}: run node charts/generate.ts`);
  const all = documentsOf(await plane.kubectl('kustomize', folder));
  await plane.kubectl('apply', '--server-side', '--dry-run=server', '--validate=strict', '-k', folder);
  await plane.kubectl('apply', '--dry-run=server', '-k', folder);
  const config = all.find(({ data }) => data?.['operator.json']);
  const { volumes } = operatorPod(all).spec as unknown as { volumes: { configMap?: { name: string } }[] };
  assert.match(config?.metadata.name ?? '', /^lepton-config-\w{10}$/);
  assert.equal(volumes[0]?.configMap?.name, config?.metadata.name);
  find(all, 'CustomResourceDefinition', 'leptonjobs.lepton.ai');
});

test('the overlay of docs/install.md changes image and configuration', async () => {
  const page = await readFile(join(ROOT, 'docs/install.md'), 'utf8');
  const [, overlay = ''] = /```yaml\n(# kustomization\.yaml\n[\s\S]*?)```/.exec(page) ?? [];
  const folder = join(plane.folder, 'overlay');
  await mkdir(folder);
  await cp(join(ROOT, 'deploy/kustomize'), join(plane.folder, 'deploy/kustomize'), { recursive: true });
  await mkdir(join(plane.folder, 'crds'));
  for (const name of ['kustomization.yaml', 'lepton.ai_leptonjobs.yaml'])
    await cp(join(ROOT, 'crds', name), join(plane.folder, 'crds', name));
  await writeFile(
    join(folder, 'kustomization.yaml'),
    stringify({ ...parse(overlay), resources: ['../deploy/kustomize'] }),
  );
  await writeFile(join(folder, 'operator.json'), JSON.stringify({ image: 'mine' }));
  const all = documentsOf(await plane.kubectl('kustomize', folder));
  assert.equal(operatorPod(all).spec.containers[0]?.image, 'registry.example/lepton/operator:0.1.0');
  const configs = all.flatMap(({ data }) => data?.['operator.json'] ?? []);
  assert.deepEqual(configs, ['{"image":"mine"}']);
});

interface Crd extends Stored {
  readonly spec: { readonly versions: { readonly additionalPrinterColumns: { readonly name: string }[] }[] };
}

async function columns(): Promise<string[]> {
  const { spec } = await plane.api.client.call<Crd>({
    method: 'GET',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/leptonjobs.lepton.ai',
  });
  return spec.versions[0]!.additionalPrinterColumns.map(({ name }) => name);
}

test('install, upgrade of the CRD, uninstall that keeps CRD and jobs, install again', {
  timeout: 180_000,
}, async () => {
  const at = ['--namespace', SYSTEM];
  const older = join(plane.folder, 'older');
  await cp(CHART, older, { recursive: true });
  const file = join(older, 'files/lepton.ai_leptonjobs.yaml');
  const crd = parse(await readFile(file, 'utf8')) as Crd;
  crd.spec.versions[0]!.additionalPrinterColumns.pop();
  await writeFile(file, JSON.stringify(crd));

  await helm(plane, 'install', 'lepton', older, ...at);
  assert.ok(!(await columns()).includes('Age'));
  await until('the CRD is served', 20_000, () => plane.api.list(LEPTON_JOBS, { namespace: 'default' }));
  const manifest = parse(await readFile(join(ROOT, 'examples/fashion-mnist/leptonjob.yaml'), 'utf8'));
  manifest.metadata.namespace = 'default';
  const { metadata } = await plane.api.create<Stored>(LEPTON_JOBS, manifest);
  const same = async (): Promise<void> => {
    const now = await plane.api.get<Stored>(LEPTON_JOBS, { namespace: 'default', name: metadata.name });
    assert.deepEqual([now.metadata.uid, now.metadata.deletionTimestamp], [metadata.uid, undefined]);
  };

  await helm(plane, 'upgrade', 'lepton', CHART, ...at);
  assert.ok((await columns()).includes('Age'), 'the upgrade brought the new CRD');
  await same();

  await helm(plane, 'uninstall', 'lepton', ...at);
  assert.ok((await columns()).includes('Age'), 'the CRD stays');
  await same();
  const kinds =
    'deployments,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,clusterroles,clusterrolebindings';
  const left = await plane.kubectl(
    'get',
    kinds,
    '-A',
    '-l',
    'app.kubernetes.io/instance=lepton',
    '-o',
    'name',
  );
  assert.equal(left, '');

  const other = helm(plane, 'install', 'other', CHART, ...at);
  await assert.rejects(other, /invalid ownership metadata/);
  assert.match(
    await helm(plane, 'install', 'lepton', CHART, ...at),
    /Lepton 0\.1\.0 runs in namespace lepton-system/,
  );
  await same();
  await helm(plane, 'uninstall', 'lepton', ...at);
});

test('kubectl apply -k over what a release left: an operator starts with its rights and its configuration', {
  timeout: 120_000,
}, async () => {
  // Helm's name is still on the CRD.
  await plane.kubectl('apply', '--server-side', '--force-conflicts', '-k', join(ROOT, 'deploy/kustomize'));
  const token = await tokenOf(plane, SYSTEM, 'lepton');
  const { items } = await plane.api.list<Stored & { data?: Record<string, string> }>(CONFIG_MAPS, {
    namespace: SYSTEM,
  });
  const [text = ''] = items.flatMap(({ data }) => data?.['operator.json'] ?? []);
  const log: string[] = [];
  const operator = new Operator({
    kubeConfig: plane.kubeConfig(token),
    config: operatorConfigSchema.parse({ ...JSON.parse(text), ports: { health: 0, metrics: 0 } }),
    identity: 'test',
    version: 'test',
    log: (level, message, fields) => void log.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
    onLost: () => {},
  });
  try {
    await Promise.race([operator.start(), late(60_000, log)]);
    const ready = await fetch(`http://127.0.0.1:${operator.addresses.health}/readyz`);
    assert.equal(ready.status, 200);
    // The job that outlived the release is worked on again.
    await until('the job is looked at', 30_000, async () => {
      const { status } = await plane.api.get<LeptonJobObject>(LEPTON_JOBS, {
        namespace: 'default',
        name: 'fashion-mnist',
      });
      return status?.phase !== undefined;
    });
  } finally {
    await operator.stop();
  }
  assert.deepEqual(
    log.filter((line) => /forbidden/.test(line)),
    [],
  );
});

async function late(ms: number, log: readonly string[]): Promise<never> {
  await setTimeout(ms, undefined, { ref: false });
  throw new Error(`not leading within ${ms} ms:\n${log.join('\n')}`);
}
