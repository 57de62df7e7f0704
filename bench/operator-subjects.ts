// What is measured: our operator, the Job controller of Kubernetes, and any other operator whose manifest is given.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { leptonJobSpecSchema } from '../crds/leptonjob.ts';
import { operatorConfigSchema } from '../operator/config.ts';
import type { KubeObject, Resource } from '../operator/kube/objects.ts';
import type { LeptonJobObject } from '../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../operator/leptonjob/names.ts';
import { podOf } from '../operator/leptonjob/pod.ts';
import type { ControlPlane } from '../test/cluster/control-plane.ts';
import { Daemon, until } from '../test/cluster/daemon.ts';
import { installCrd } from '../test/cluster/install-crd.ts';
import { freePorts } from '../worker/launch/ports.ts';
import type { BenchCluster, WithSpec } from './operator-cluster.ts';

export interface Subject extends AsyncDisposable {
  readonly name: string;
  readonly resource: Resource;
  /** The process that does the work. */
  readonly pid: number;
  /** Whether a request of the audit log is of this subject. */
  readonly sent: (request: { userAgent?: string; user: { username: string } }) => boolean;
  manifest(name: string, namespace: string, pods: number): KubeObject;
}

const IMAGE = 'lepton/worker:bench';
const ROOT = join(import.meta.dirname, '..');
const MAIN = join(ROOT, 'build/package/operator/main.js');

/** Ours as it is shipped: compiled, with the account of a pod and the settings of the chart. */
export class LeptonSubject implements Subject {
  readonly name = 'lepton';
  readonly resource = LEPTON_JOBS;
  readonly #daemon: Daemon;
  readonly #ports: { readonly health: number; readonly metrics: number };

  private constructor(daemon: Daemon, ports: { readonly health: number; readonly metrics: number }) {
    this.#daemon = daemon;
    this.#ports = ports;
  }

  static async start(cluster: BenchCluster): Promise<LeptonSubject> {
    const { folder } = cluster.plane;
    const [health, metrics] = (await freePorts(2)) as [number, number];
    const config = {
      image: IMAGE,
      leaderElection: { enabled: false },
      ports: { health, metrics },
    };
    await writeFile(join(folder, 'operator.json'), JSON.stringify(config));
    const daemon = new Daemon({
      name: 'operator',
      command: [
        process.execPath,
        ...(await nodeOptions()),
        MAIN,
        '--config',
        join(folder, 'operator.json'),
        '--service-account',
        await accountOf(cluster.plane),
      ],
      logFile: join(folder, 'operator.log'),
      environment: {
        KUBERNETES_SERVICE_HOST: '127.0.0.1',
        KUBERNETES_SERVICE_PORT: new URL(cluster.plane.server).port,
      },
    });
    const subject = new LeptonSubject(daemon, { health, metrics });
    await until('the operator answers', 30_000, () => subject.metrics(), daemon);
    return subject;
  }

  static async install(cluster: BenchCluster): Promise<void> {
    await installCrd(cluster.plane.api);
    await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], {
      cwd: ROOT,
    });
    await cp(join(ROOT, 'protos/lepton'), join(ROOT, 'build/package/protos/lepton'), { recursive: true });
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  readonly sent = ({ userAgent = '' }: { userAgent?: string }): boolean =>
    userAgent.startsWith('lepton-operator/');

  readonly manifest = leptonJobOf;

  async metrics(): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${this.#ports.metrics}/metrics`);
    return await answer.text();
  }

  /** Costs nothing, unlike the metrics of a thousand jobs. */
  async ready(): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${this.#ports.health}/readyz`)).ok;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop();
  }
}

/** One parameter server; the other pods are workers. */
function leptonJobOf(name: string, namespace: string, pods: number): WithSpec {
  return {
    metadata: { name, namespace },
    spec: {
      model: { layers: [{ dense: { units: 1 } }] },
      data: { train: { format: 'npy', uri: '/data/train' } },
      training: { loss: 'meanSquaredError', optimizer: { sgd: {} }, batchSize: 8, epochs: 2 },
      worker: { replicas: pods - 1 },
      parameterServer: { replicas: 1 },
    },
  };
}

/** A worker's pod, as a template for others. */
function workerOf({ metadata, spec }: WithSpec): unknown {
  const job = {
    metadata: { ...metadata, uid: randomUUID() },
    spec: leptonJobSpecSchema.parse(spec),
  } as unknown as LeptonJobObject;
  const config = operatorConfigSchema.parse({ image: IMAGE });
  const pod = podOf(job, { role: 'worker', rank: 0, attempt: 0 }, config) as WithSpec;
  const { labels, annotations } = pod.metadata;
  return { metadata: { labels, annotations }, spec: pod.spec };
}

/** What the kubelet mounts for a pod's account. */
async function accountOf({ folder, kubeConfig }: ControlPlane): Promise<string> {
  const account = join(folder, 'operator-account');
  await mkdir(account, { recursive: true });
  await writeFile(join(account, 'token'), kubeConfig().getCurrentUser()!.token!);
  await cp(join(folder, 'certificates', 'apiserver.crt'), join(account, 'ca.crt'));
  return account;
}

/** Those that the chart gives the operator, and the heap that Node takes in a container with the chart's limit of memory: half. */
async function nodeOptions(): Promise<string[]> {
  const chart = join(ROOT, 'charts/lepton');
  const [template, values] = await Promise.all(
    ['templates/deployment.yaml', 'values.yaml'].map((name) => readFile(join(chart, name), 'utf8')),
  );
  const { resources } = parse(values!) as { resources: { limits: { memory: string } } };
  const limitMiB = Number(/^(\d+)Mi$/.exec(resources.limits.memory)![1]);
  const given = /name: NODE_OPTIONS, value: ([^}]+)\}/.exec(template!)![1]!;
  return [...given.split(' '), `--max-old-space-size=${limitMiB / 2}`];
}

/** Indexed Jobs of batch/v1 with the pods of our workers, by kube-controller-manager. */
export class BatchSubject implements Subject {
  readonly name = 'batch/v1 Job';
  readonly resource: Resource = { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced: true };
  readonly pid: number;

  constructor(cluster: BenchCluster) {
    this.pid = cluster.plane.daemon('kube-controller-manager').pid;
  }

  readonly sent = ({ user }: { user: { username: string } }): boolean =>
    user.username === 'system:serviceaccount:kube-system:job-controller';

  manifest(name: string, namespace: string, pods: number): KubeObject {
    return {
      metadata: { name, namespace },
      spec: {
        completions: pods,
        parallelism: pods,
        completionMode: 'Indexed',
        backoffLimit: 1_000_000,
        template: workerOf(leptonJobOf(name, namespace, pods)),
      },
    } as KubeObject;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/**
 * Another operator that already runs on this machine against the cluster's kubeconfig: a YAML file with `name`, `pid`, `userAgent`
 * (prefix), `resource` (apiVersion, kind, plural) and `manifest`, in which `$NAME`, `$NAMESPACE`, `$PODS` and `$WORKERS` are filled in.
 */
export async function foreignSubject(path: string): Promise<Subject> {
  const text = await readFile(path, 'utf8');
  const given = parse(text) as {
    name: string;
    pid: number;
    userAgent: string;
    resource: Omit<Resource, 'namespaced'>;
    manifest: unknown;
  };
  const filled = (name: string, namespace: string, pods: number): string =>
    JSON.stringify(given.manifest)
      .replaceAll('"$PODS"', String(pods))
      .replaceAll('"$WORKERS"', String(pods - 1))
      .replaceAll('$NAMESPACE', namespace)
      .replaceAll('$NAME', name);
  return {
    name: given.name,
    pid: given.pid,
    resource: { ...given.resource, namespaced: true },
    sent: ({ userAgent = '' }) => userAgent.startsWith(given.userAgent),
    manifest: (name, namespace, pods) => JSON.parse(filled(name, namespace, pods)) as KubeObject,
    [Symbol.asyncDispose]: async () => {},
  };
}
