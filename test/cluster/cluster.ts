// A whole test cluster on this machine: control plane, nodes with kubelet and containerd, DNS, images of this checkout. Runs inside
// cluster.sh, so nothing of it outlives that.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import type { Daemon } from './daemon.ts';
import { buildImages } from './images.ts';
import { minorOf } from './minors.ts';
import { API_ADDRESS, makeBridge, type Node, startDns, startNode } from './nodes.ts';

const run = promisify(execFile);
const CHART = join(import.meta.dirname, '../../charts/lepton');
export const OPERATOR_NAMESPACE = 'lepton-system';

export interface ClusterOptions {
  readonly nodes: number;
  /** For the images, while the cluster stands. */
  readonly folder: string;
  readonly say?: (what: string) => void;
}

export class Cluster implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly nodes: readonly Node[];
  readonly #dns: Daemon;

  constructor(plane: ControlPlane, nodes: readonly Node[], dns: Daemon) {
    this.plane = plane;
    this.nodes = nodes;
    this.#dns = dns;
  }

  async helm(...args: readonly string[]): Promise<string> {
    const kubeconfig = join(this.plane.folder, 'admin.kubeconfig');
    const { stdout } = await run(join(this.plane.programs, 'helm'), ['--kubeconfig', kubeconfig, ...args]);
    return stdout;
  }

  /** The chart of this checkout with the images of this checkout; resolves when the operator is ready. */
  async installOperator(values: readonly string[] = []): Promise<string> {
    const all = ['images.operator.tag=test', 'images.worker.tag=test', ...values];
    const sets = all.flatMap((value) => ['--set', value]);
    const into = ['--namespace', OPERATOR_NAMESPACE, '--create-namespace'];
    const said = await this.helm('install', 'lepton', CHART, ...into, ...sets);
    await this.rollout();
    return said;
  }

  async rollout(): Promise<void> {
    const status = ['rollout', 'status', 'deployment/lepton', '--timeout=120s'];
    await this.plane.kubectl('--namespace', OPERATOR_NAMESPACE, ...status);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node.stop();
    await this.#dns.stop();
    await this.plane[Symbol.asyncDispose]();
  }
}

/** Throws what kept it from starting; what was started until then is stopped. */
export async function startCluster({
  nodes: count,
  folder,
  say = () => {},
}: ClusterOptions): Promise<Cluster> {
  await makeBridge();
  say(`starting the control plane of Kubernetes ${minorOf()}`);
  const plane = await startControlPlane({
    with: ['kube-controller-manager', 'kube-scheduler', 'kubectl', 'kubelet', 'coredns', 'helm'],
    address: API_ADDRESS,
    nodes: Array.from({ length: count }, (_, at) => `node-${at + 1}`),
  });
  let dns: Daemon | undefined;
  const nodes: Node[] = [];
  try {
    say('making the images of operator and worker');
    const images = await buildImages(folder);
    dns = await startDns(plane);
    say(`starting ${count} ${count === 1 ? 'node' : 'nodes'}`);
    const starts = Array.from({ length: count }, (_, at) => startNode(plane, at + 1, images));
    const started = await Promise.allSettled(starts);
    for (const node of started) if (node.status === 'fulfilled') nodes.push(node.value);
    for (const node of started) if (node.status === 'rejected') throw node.reason;
    return new Cluster(plane, nodes, dns);
  } catch (error) {
    for (const node of nodes) await node.stop();
    await dns?.stop();
    await plane[Symbol.asyncDispose]();
    throw error;
  }
}
