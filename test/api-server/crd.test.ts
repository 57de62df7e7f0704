// What real API servers say of the CRD and of manifests: strict decoding, CEL within its cost limits, /scale, immutable fields.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { type KubeObject, pathOf, type Stored } from '../../operator/kube/objects.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { installCrd } from '../cluster/install-crd.ts';

const ROOT = join(import.meta.dirname, '../..');
const MANIFESTS = ['fashion-mnist', 'cat-dog', 'residual', 'tabular-csv'].map(
  (name) => parse(readFileSync(join(ROOT, 'examples', name, 'leptonjob.yaml'), 'utf8')) as KubeObject,
);

let plane: ControlPlane;
before(async () => {
  plane = await startControlPlane();
  await installCrd(plane.api);
});
after(() => plane?.[Symbol.asyncDispose]());

const create = (object: unknown) =>
  plane.api.create<Stored & { spec: Record<string, unknown> }>(
    LEPTON_JOBS,
    { ...(object as KubeObject), metadata: { ...(object as KubeObject).metadata, namespace: 'default' } },
    { fieldValidation: 'Strict' },
  );

test('the examples are accepted as they are, with every default filled in', async () => {
  for (const manifest of MANIFESTS) {
    const job = await create(manifest);
    assert.equal(job.spec['suspend'], false);
    assert.equal(job.spec['cleanPodPolicy'], 'Running');
  }
});

test('a misspelt field is refused by name', async () => {
  const [manifest] = structuredClone(MANIFESTS) as {
    metadata: { name: string };
    spec: { training: Record<string, unknown> };
  }[];
  manifest!.metadata.name = 'misspelt';
  manifest!.spec.training['epoch'] = 3;
  await assert.rejects(create(manifest), /unknown field "spec\.training\.epoch"/);
});

test('rules between fields are checked by the server, in our words', async () => {
  const [manifest] = structuredClone(MANIFESTS) as unknown as {
    metadata: { name: string };
    spec: Record<string, unknown>;
  }[];
  manifest!.metadata.name = 'two-models';
  manifest!.spec['model'] = { source: { uri: '/x' }, program: { module: 'x.ts' } };
  await assert.rejects(create(manifest), /expected exactly one of layers, source, program/);
  manifest!.spec['model'] = { source: { uri: '/x' } };
  manifest!.spec['worker'] = { replicas: 9, maxReplicas: 4 };
  await assert.rejects(create(manifest), /expected replicas from minReplicas to maxReplicas/);
  manifest!.spec['worker'] = { replicas: 1, accelerators: { 'no domain': 1 } };
  await assert.rejects(create(manifest), /expected names of extended resources/);
});

test('what is trained cannot be changed, how many workers can, also through /scale', async () => {
  const at = { namespace: 'default', name: 'fashion-mnist' };
  const patch = (body: unknown) =>
    plane.api.mergePatch<Stored & { spec: { worker: { replicas: number } } }>(LEPTON_JOBS, at, body);
  await assert.rejects(patch({ spec: { training: { batchSize: 64 } } }), /cannot be changed/);
  await assert.rejects(patch({ spec: { managedBy: 'kueue.x-k8s.io/multikueue' } }), /cannot be changed/);
  assert.equal((await patch({ spec: { worker: { replicas: 3 } } })).spec.worker.replicas, 3);
  const path = pathOf(LEPTON_JOBS, { ...at, subresource: 'scale' });
  const scale = await plane.api.client.call<{ spec: { replicas: number } }>({ method: 'GET', path });
  assert.equal(scale.spec.replicas, 3);
});
