// Where operators are measured: a real control plane, nodes and kubelets of kwok, every pod counted as its news arrive.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { KubeApi } from '../operator/kube/api.ts';
import { KubeClient } from '../operator/kube/client.ts';
import { type KubeObject, keyOf, NODES, PODS, type Resource, type Stored } from '../operator/kube/objects.ts';
import { Reflector } from '../operator/kube/reflector.ts';
import { Store } from '../operator/kube/store.ts';
import { type ControlPlane, startControlPlane } from '../test/cluster/control-plane.ts';
import { Daemon, until } from '../test/cluster/daemon.ts';
import { NAMESPACES } from '../test/cluster/resources.ts';

interface Pod extends Stored {
  readonly status?: { readonly phase?: string };
}

/** Of kwok's pods. Loopback addresses will not do: no endpoint may have one. */
const POD_ADDRESSES = { first: '10.64.0.1', all: '10.64.0.0/16' };
const NODE_COUNT = 100;
const PATIENCE_MS = 240_000;

export interface WithSpec extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface Reached {
  /** Seconds from the start of the count. */
  readonly existSeconds: number;
  readonly runningSeconds: number;
}

export class BenchCluster implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly api: KubeApi;
  readonly #kwok: Daemon;
  readonly #pods = new Store<Pod>();
  readonly #reflector: Reflector<Pod>;
  /** Pods that were seen since the count began, and those of them that ran. */
  #old = new Set<string>();
  #seen = new Set<string>();
  #running = new Set<string>();

  private constructor(plane: ControlPlane, kwok: Daemon) {
    this.plane = plane;
    this.#kwok = kwok;
    this.api = new KubeApi(
      new KubeClient({ config: plane.kubeConfig(), userAgent: 'lepton-bench/1', maxInFlight: 64 }),
    );
    this.#reflector = new Reflector<Pod>({
      api: this.api,
      resource: PODS,
      store: this.#pods,
      trim: ({ metadata, status }) => ({ metadata, status: { phase: status?.phase ?? '' } }),
      onChange: ({ kind, object }) => {
        if (kind === 'deleted' || this.#old.has(object.metadata.uid)) return;
        this.#seen.add(object.metadata.uid);
        if (object.status?.phase === 'Running') this.#running.add(object.metadata.uid);
      },
    });
    void this.#reflector.run();
  }

  /** In a network namespace of its own (test/cluster/cluster.sh): the pods' addresses are of this machine, and refuse connections. */
  static async start(): Promise<BenchCluster> {
    await promisify(execFile)('ip', ['route', 'add', 'local', POD_ADDRESSES.all, 'dev', 'lo']);
    const plane = await startControlPlane({
      with: ['kube-controller-manager', 'kube-scheduler', 'kubectl', 'kwok'],
      unthrottled: true,
      flags: [
        // A network without a way out has no address of its own to take.
        `--advertise-address=${POD_ADDRESSES.first}`,
        '--max-requests-inflight=4000',
        '--max-mutating-requests-inflight=2000',
      ],
    });
    const kwok = new Daemon({
      name: 'kwok',
      command: [
        join(plane.programs, 'kwok'),
        `--kubeconfig=${await plane.kubeConfigFile('kwok')}`,
        '--manage-all-nodes',
        '--node-lease-duration-seconds=40',
        `--cidr=${POD_ADDRESSES.first}/16`,
        `--config=${join(plane.programs, '../go/kwok-stages.yaml')}`,
      ],
      logFile: join(plane.folder, 'kwok.log'),
    });
    const cluster = new BenchCluster(plane, kwok);
    for (let index = 0; index < NODE_COUNT; index++) await plane.api.create(NODES, nodeOf(index));
    await until(
      'nodes ready',
      60_000,
      async () => {
        const ready = await plane.kubectl('get', 'nodes', '--no-headers');
        return ready.split('\n').filter((line) => / Ready /.test(line)).length === NODE_COUNT || undefined;
      },
      kwok,
    );
    return cluster;
  }

  async namespace(name: string): Promise<void> {
    await this.api.create(NAMESPACES, { metadata: { name } });
    // Pods need the default service account, which is made a moment later.
    await until('service account', 20_000, () =>
      this.plane.kubectl('get', 'serviceaccount', 'default', '-n', name),
    );
  }

  /** What follows is counted from zero; pods that are there do not count. */
  count(): void {
    this.#old = new Set([...this.#pods.all()].map(({ metadata }) => metadata.uid));
    this.#seen = new Set();
    this.#running = new Set();
  }

  /** Waits until so many pods have been seen, and so many ran, since the count began. */
  async reached(pods: number, sinceMs: number): Promise<Reached> {
    const seconds = (): number => (performance.now() - sinceMs) / 1000;
    await this.#wait(() => this.#seen.size >= pods, `${pods} pods exist`);
    const existSeconds = seconds();
    await this.#wait(() => this.#running.size >= pods, `${pods} pods run`);
    return { existSeconds, runningSeconds: seconds() };
  }

  get podCount(): number {
    return this.#pods.size;
  }

  /** The same pods once more, by clients that do nothing else: what the API server allows. */
  async plainly(pods: readonly KubeObject[], namespace: string): Promise<Reached> {
    await this.namespace(namespace);
    this.count();
    const startedMs = performance.now();
    await forEach(pods as readonly WithSpec[], 32, async ({ metadata, spec }) => {
      const { name, labels, annotations } = metadata;
      const { nodeName: _, ...unbound } = spec;
      const made = { metadata: { name, namespace, labels, annotations }, spec: unbound };
      await this.api.create(PODS, made as KubeObject);
    });
    const reached = await this.reached(pods.length, startedMs);
    await this.deletePods(namespace);
    return reached;
  }

  /** Deletes at once what the store holds of a namespace. */
  async deletePods(namespace: string): Promise<void> {
    const doomed = [...this.#pods.all()].filter(({ metadata }) => metadata.namespace === namespace);
    await forEach(doomed, 32, async ({ metadata }) => {
      await this.api.delete(PODS, metadata, { gracePeriodSeconds: 0 }).catch(() => {});
    });
  }

  /** All objects of a kind in a namespace, and their pods with them. */
  async clear(resource: Resource, namespace: string): Promise<void> {
    const { items } = await this.api.list<KubeObject>(resource, { namespace });
    for (const { metadata } of items) await this.api.delete(resource, metadata).catch(() => {});
    await this.#wait(
      () => ![...this.#pods.all()].some((pod) => keyOf(pod).startsWith(`${namespace}/`)),
      `the pods of ${namespace} are gone`,
    );
  }

  async #wait(holds: () => boolean, what: string): Promise<void> {
    const endMs = performance.now() + PATIENCE_MS;
    while (!holds()) {
      if (performance.now() > endMs)
        throw new Error(
          `${what}: not within ${PATIENCE_MS / 1000} s; seen ${this.#seen.size}, ran ${this.#running.size}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reflector.stop();
    this.api.client.close();
    await this.#kwok.stop();
    await this.plane[Symbol.asyncDispose]();
  }
}

/** So many at once. */
export async function forEach<T>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  const rest: Iterable<T> = { [Symbol.iterator]: () => waiting };
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}

function nodeOf(index: number): KubeObject {
  const allocatable = { cpu: '1000', memory: '1Ti', pods: '1000' };
  return {
    metadata: {
      name: `kwok-${index}`,
      labels: { 'kubernetes.io/hostname': `kwok-${index}`, type: 'kwok' },
    },
    status: { allocatable, capacity: allocatable },
  } as KubeObject;
}

/** What a process has used so far: Linux's /proc, `utime` and `stime` in ticks of 10 ms (proc_pid_stat(5)). */
export function usageOf(pid: number): { cpuSeconds: number; peakMiB: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const peakKiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100, peakMiB: peakKiB / 1024 };
}
