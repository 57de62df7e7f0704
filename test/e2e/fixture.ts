// What all end-to-end tests share: one cluster of two nodes, the operator from its chart, data and outputs on volumes, short jobs
// whose weights are known. Runs inside cluster.sh.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { type Cluster, startCluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemon.ts';
import { makeOutput, makeVolume } from '../cluster/volume.ts';

const run = promisify(execFile);
export const ROOT = join(import.meta.dirname, '../..');
export const MANIFEST = join(ROOT, 'examples/fashion-mnist/leptonjob.yaml');
const LARGE = { maxBuffer: 2 ** 26 };

/** The operator stays when the second node is lost, and notices losses soon. */
const VALUES = [
  'nodeSelector.kubernetes\\.io/hostname=node-1',
  'config.times.nodeLostSeconds=5',
  'config.times.forceDeleteSeconds=5',
  'config.times.progressSeconds=1',
];

/** 400 steps with a checkpoint after every 40. */
export const SHORT = [
  'data.train.limit=6400',
  'data.evaluate.limit=640',
  'training.epochs=4',
  'checkpoint.everySteps=40',
];
export const EVERY = 40;

export type Status = NonNullable<LeptonJobObject['status']>;

/** A manifest as YAML gives it, as far as tests change it. */
export interface Manifest {
  metadata: { name: string; namespace?: string };
  spec: {
    checkpoint?: { uri: string };
    worker: { template: { spec: TemplateSpec } };
    parameterServer: { replicas: number; template?: { spec: TemplateSpec } };
  };
}

interface TemplateSpec {
  containers: { name: string; volumeMounts: { name: string; mountPath: string }[] }[];
  volumes: { name: string; persistentVolumeClaim: { claimName: string } }[];
  affinity?: unknown;
  terminationGracePeriodSeconds?: number;
}

export interface Submission {
  readonly namespace?: string;
  readonly sets?: readonly string[];
  readonly change?: (manifest: Manifest) => void;
}

export class Fixture {
  readonly cluster: Cluster;
  readonly folder: string;
  readonly data: string;
  #installed: Promise<string> | undefined;
  #expected: Promise<string> | undefined;

  constructor(cluster: Cluster, folder: string, data: string) {
    this.cluster = cluster;
    this.folder = folder;
    this.data = data;
  }

  get plane(): Cluster['plane'] {
    return this.cluster.plane;
  }

  /** Once, whichever test comes first. */
  installed(): Promise<string> {
    this.#installed ??= this.#install();
    return this.#installed;
  }

  async #install(): Promise<string> {
    const said = await this.cluster.installOperator(VALUES);
    await makeVolume(this.plane, 'datasets', { path: this.data, readOnly: true });
    return said;
  }

  async job(name: string, namespace = 'default'): Promise<LeptonJobObject> {
    return await this.plane.api.get<LeptonJobObject>(LEPTON_JOBS, { namespace, name });
  }

  /** Sends the example, made short, under another name; results go to a folder of that name, which is given. */
  async submit(name: string, { namespace = 'default', sets = SHORT, change }: Submission = {}) {
    await this.installed();
    const output = await makeOutput(join(this.folder, name));
    await makeVolume(this.plane, name, { path: output, namespace });
    const manifest = parse(await readFile(MANIFEST, 'utf8')) as Manifest;
    manifest.metadata.name = name;
    manifest.spec.worker.template.spec.volumes[1]!.persistentVolumeClaim.claimName = name;
    change?.(manifest);
    const file = join(this.folder, `${name}-job.yaml`);
    await writeFile(file, stringify(manifest));
    const kubeconfig = join(this.plane.folder, 'admin.kubeconfig');
    const into = ['--kubeconfig', kubeconfig, '--namespace', namespace];
    const all = sets.flatMap((set) => ['--set', set]);
    await run(join(ROOT, 'bin/lepton'), ['submit', file, ...into, ...all]);
    return output;
  }

  /** Waits until the status is as asked; a job that failed meanwhile does not wait. */
  async status(
    name: string,
    what: string,
    holds: (status: Status) => boolean,
    { timeoutMs = 240_000, namespace = 'default' } = {},
  ): Promise<Status> {
    let last: Status = {};
    const found = await until(`${name}: ${what}`, timeoutMs, async () => {
      last = (await this.job(name, namespace)).status ?? {};
      return holds(last) || last.phase === 'Failed' || undefined;
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${JSON.stringify(last, undefined, 1)}`);
    });
    assert.ok(found && holds(last), `${name}: ${what}: ${JSON.stringify(last, undefined, 1)}`);
    return last;
  }

  training(name: string, namespace?: string): Promise<Status> {
    const more = namespace === undefined ? {} : { namespace };
    return this.status(
      name,
      'trains',
      ({ phase, progress }) => phase === 'Running' && (progress?.step ?? 0) > 0,
      more,
    );
  }

  succeeded(name: string): Promise<Status> {
    return this.status(name, 'succeeds', ({ phase }) => phase === 'Succeeded', { timeoutMs: 400_000 });
  }

  /** `lepton run` of the example on this machine; gives the digest of its weights. */
  async local(name: string, sets: readonly string[]): Promise<string> {
    const output = join(this.folder, name);
    const sources = ['train', 'evaluate'].map((part) => `data.${part}.uri=${this.data}`);
    const all = [...sources, ...sets].flatMap((set) => ['--set', set]);
    await run(join(ROOT, 'bin/lepton'), ['run', MANIFEST, '--output', output, ...all], LARGE);
    return await digestOf(output);
  }

  /** The weights of the short job when nothing happens to it. */
  undisturbed(): Promise<string> {
    this.#expected ??= this.local('undisturbed', SHORT);
    return this.#expected;
  }
}

export async function startFixture(): Promise<Fixture & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'lepton-e2e-'));
  const { stdout } = await run(join(ROOT, 'scripts/datasets.sh'));
  await chmod(folder, 0o755);
  const cluster = await startCluster({ nodes: 2, folder }).catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    throw error;
  });
  return Object.assign(new Fixture(cluster, folder, stdout.trim()), {
    async [Symbol.asyncDispose]() {
      await cluster[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  });
}

export async function digestOf(output: string): Promise<string> {
  const weights = await readFile(join(output, 'weights.safetensors'));
  return createHash('sha256').update(weights).digest('hex');
}
