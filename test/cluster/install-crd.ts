// Installs the CRD and waits until the server serves it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { KubeApi } from '../../operator/kube/api.ts';
import type { KubeObject, Resource } from '../../operator/kube/objects.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { ControlPlane } from './control-plane.ts';
import { until } from './daemon.ts';

export const CRDS: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};
const FILE = join(import.meta.dirname, '../../crds/lepton.ai_leptonjobs.yaml');

export async function installCrd(api: KubeApi): Promise<void> {
  await api.create(CRDS, parse(readFileSync(FILE, 'utf8')) as KubeObject, { fieldValidation: 'Strict' });
  await until('the CRD is served', 20_000, () => api.list(LEPTON_JOBS, { namespace: 'default' }));
}

/** One that build.sh got from its makers. */
export async function installGangCrd(
  { api, programs }: ControlPlane,
  file: 'volcano-crds' | 'scheduler-plugins-crds',
): Promise<void> {
  await api.create(CRDS, parse(readFileSync(join(programs, file), 'utf8')) as KubeObject);
}
