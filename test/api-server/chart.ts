// The chart as Helm renders it, and Helm itself, against a control plane of a test.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../operator/kube/objects.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';

const run = promisify(execFile);
export const CHART = join(import.meta.dirname, '../../charts/lepton');

export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** A rendered object: the fields that tests look at. */
export interface Manifest extends KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly rules?: readonly PolicyRule[];
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Record<string, unknown>;
}

export interface Release {
  readonly name: string;
  readonly namespace: string;
}

/** Throws with what Helm said. */
export async function helm(plane: ControlPlane, ...args: readonly string[]): Promise<string> {
  const kubeconfig = join(plane.folder, 'admin.kubeconfig');
  try {
    const { stdout } = await run(join(plane.programs, 'helm'), ['--kubeconfig', kubeconfig, ...args], {
      maxBuffer: 2 ** 26,
      timeout: 120_000,
      env: {
        ...process.env,
        HELM_CACHE_HOME: join(plane.folder, 'helm'),
        HELM_DATA_HOME: join(plane.folder, 'helm'),
      },
    });
    return stdout;
  } catch (error) {
    throw new Error((error as { stderr?: string }).stderr || (error as Error).message);
  }
}

let files = 0;

/** A file with values, in the folder of the control plane. */
export async function valuesFile(plane: ControlPlane, values: unknown): Promise<string> {
  const file = join(plane.folder, `values-${++files}.json`);
  await writeFile(file, JSON.stringify(values));
  return file;
}

export async function renderChart(
  plane: ControlPlane,
  { name, namespace }: Release,
  values: unknown,
): Promise<readonly Manifest[]> {
  const file = await valuesFile(plane, values);
  const text = await helm(plane, 'template', name, CHART, '--namespace', namespace, '--values', file);
  return documentsOf(text);
}

export function documentsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest | null) ?? []);
}

/** kubectl apply of objects, with flags. */
export async function apply(
  plane: ControlPlane,
  objects: readonly unknown[],
  ...flags: readonly string[]
): Promise<string> {
  const file = await valuesFile(plane, { apiVersion: 'v1', kind: 'List', items: objects });
  return await plane.kubectl('apply', '-f', file, ...flags);
}

/** Throws naming what is not there. */
export const find = (all: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found;
};

/** A pod's spec, as the Deployment makes it. */
export interface PodSpec {
  readonly containers: readonly {
    readonly image: string;
    readonly imagePullPolicy: string;
    readonly resources: unknown;
  }[];
  readonly [field: string]: unknown;
}

export function operatorPod(
  all: readonly Manifest[],
  name = 'lepton',
): { metadata: Record<string, unknown>; spec: PodSpec } {
  const { template } = find(all, 'Deployment', name).spec as {
    template: { metadata: Record<string, unknown>; spec: PodSpec };
  };
  return template;
}
