// A namespace of a real API server with the operator at work in this process, and a kubelet that does what the test says: pods get
// the status that it is told. What a coordinator says is coordinator.ts.

import type { KubeConfig } from '@kubernetes/client-node';
import { type OperatorConfig, operatorConfigSchema } from '../../operator/config.ts';
import { isStatus } from '../../operator/kube/errors.ts';
import { type KubeObject, PODS, pathOf } from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LABELS, LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import type { Heard } from '../../operator/leptonjob/report.ts';
import { Operator, type OperatorOptions } from '../../operator/operator.ts';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import { installCrd } from '../cluster/install-crd.ts';
import { NAMESPACES } from '../cluster/resources.ts';
import { Coordinator } from './coordinator.ts';

/** With its default account, without which admission refuses a pod before it looks at it: needs the controller manager. */
export async function makeNamespace(
  { api }: ControlPlane,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<void> {
  await api.create(NAMESPACES, { metadata: { name, labels } });
  const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
  await until(`the default account of ${name}`, 30_000, () => api.client.call({ method: 'GET', path }));
}

export const RESTRICTED = { 'pod-security.kubernetes.io/enforce': 'restricted' };

export type OperatorInput = Parameters<typeof operatorConfigSchema.parse>[0] & object;

const QUICK: OperatorInput = {
  image: 'lepton/worker:test',
  leaderElection: { enabled: false },
  ports: { health: 0, metrics: 0 },
  times: { progressSeconds: 0.05, stopSeconds: 5, nodeLostSeconds: 1, forceDeleteSeconds: 1 },
};

let namespaces = 0;

export class Fleet implements AsyncDisposable {
  readonly plane: ControlPlane;
  readonly namespace: string;
  readonly coordinators = new Map<string, Coordinator>();
  readonly log: string[] = [];
  operator: Operator | undefined;
  #ownsPlane = false;

  private constructor(plane: ControlPlane, namespace: string) {
    this.plane = plane;
    this.namespace = namespace;
  }

  static async start(
    plane: ControlPlane,
    config: OperatorInput = {},
    kubeConfig?: KubeConfig,
    namespace = `test-${++namespaces}`,
  ): Promise<Fleet> {
    const fleet = await Fleet.withoutOperator(plane, namespace);
    await fleet.startOperator(config, kubeConfig);
    return fleet;
  }

  /** On a control plane of its own, which ends with it. */
  static async alone(options: ControlPlaneOptions, config: OperatorInput = {}): Promise<Fleet> {
    const plane = await startControlPlane(options);
    try {
      await installCrd(plane.api);
      const fleet = await Fleet.start(plane, config);
      fleet.#ownsPlane = true;
      return fleet;
    } catch (error) {
      await plane[Symbol.asyncDispose]();
      throw error;
    }
  }

  static async withoutOperator(plane: ControlPlane, namespace = `test-${++namespaces}`): Promise<Fleet> {
    const fleet = new Fleet(plane, namespace);
    await makeNamespace(plane, namespace).catch((error) => isStatus(error, 409) || Promise.reject(error));
    return fleet;
  }

  configOf(config: OperatorInput = {}): OperatorConfig {
    return operatorConfigSchema.parse({ ...QUICK, namespaces: [this.namespace], ...config });
  }

  async startOperator(config: OperatorInput = {}, kubeConfig?: KubeConfig): Promise<Operator> {
    const operator = this.makeOperator(config, kubeConfig);
    this.operator = operator;
    await operator.start();
    return operator;
  }

  makeOperator(
    config: OperatorInput = {},
    kubeConfig?: KubeConfig,
    more: Partial<OperatorOptions> = {},
  ): Operator {
    return new Operator({
      kubeConfig: kubeConfig ?? this.plane.kubeConfig(),
      config: this.configOf(config),
      identity: 'test',
      version: 'test',
      log: (level, message, fields) => void this.log.push(`${level} ${message} ${JSON.stringify(fields)}`),
      onLost: () => {},
      addressOf: ({ metadata }) => this.coordinators.get(metadata.labels?.[LABELS.jobName] ?? '')?.address,
      ...more,
    });
  }

  async submit(
    name: string,
    spec: Record<string, unknown> = {},
    labels: Record<string, string> = {},
  ): Promise<LeptonJobObject> {
    const object = {
      metadata: { name, namespace: this.namespace, labels },
      spec: {
        model: { layers: [{ dense: { units: 1 } }] },
        data: { train: { format: 'npy', uri: '/data/train' } },
        training: { loss: 'meanSquaredError', optimizer: { sgd: {} }, batchSize: 8, epochs: 2 },
        worker: { replicas: 2 },
        ...spec,
      },
    } as KubeObject;
    return await this.plane.api.create<LeptonJobObject>(LEPTON_JOBS, object, { fieldValidation: 'Strict' });
  }

  job(name: string): Promise<LeptonJobObject> {
    return this.plane.api.get<LeptonJobObject>(LEPTON_JOBS, { namespace: this.namespace, name });
  }

  change(name: string, spec: Record<string, unknown>): Promise<LeptonJobObject> {
    return this.plane.api.mergePatch(LEPTON_JOBS, { namespace: this.namespace, name }, { spec });
  }

  async pods(name: string): Promise<Pod[]> {
    const labelSelector = `${LABELS.jobName}=${name}`;
    const { items } = await this.plane.api.list<Pod>(PODS, { namespace: this.namespace, labelSelector });
    return [...items].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  /** Waits until the job's status is as asked. */
  async expect(
    name: string,
    what: string,
    holds: (job: LeptonJobObject) => boolean,
    timeoutMs = 10_000,
  ): Promise<LeptonJobObject> {
    let last: LeptonJobObject | undefined;
    try {
      return await until(`${name}: ${what}`, timeoutMs, async () => {
        last = await this.job(name);
        return holds(last) ? last : undefined;
      });
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\n${JSON.stringify(last?.status, null, 1)}\n${this.log.slice(-20).join('\n')}`,
      );
    }
  }

  phase(name: string, phase: string): Promise<LeptonJobObject> {
    return this.expect(name, `phase ${phase}`, ({ status }) => status?.phase === phase);
  }

  async expectPods(name: string, count: number, holds: (pod: Pod) => boolean = () => true): Promise<Pod[]> {
    let last: Pod[] = [];
    try {
      return await until(`${name}: ${count} pods`, 10_000, async () => {
        last = (await this.pods(name)).filter(holds);
        return last.length === count ? last : undefined;
      });
    } catch (error) {
      const names = last.map(({ metadata }) => metadata.name).join(', ');
      throw new Error(`${(error as Error).message}\ngot ${names}\n${this.log.slice(-20).join('\n')}`);
    }
  }

  /** What a kubelet reports when the containers run; the coordinator answers from then on. */
  async run(name: string, report?: Partial<Heard>): Promise<void> {
    const { status, spec } = await this.job(name);
    const count = (status?.worker?.replicas ?? spec.worker.replicas) + spec.parameterServer.replicas;
    const pods = await this.expectPods(name, count);
    await this.coordinate(name);
    for (const pod of pods) if (pod.status?.phase === 'Pending') await this.setStatus(pod, RUNNING);
    if (report) this.coordinators.get(name)!.say(report);
  }

  async coordinate(name: string): Promise<Coordinator> {
    const { metadata } = await this.job(name);
    const known = this.coordinators.get(name);
    if (known?.jobUid === metadata.uid) return known;
    await known?.close();
    const coordinator = await Coordinator.start(this.plane, this.namespace, name, metadata.uid);
    this.coordinators.set(name, coordinator);
    return coordinator;
  }

  async setStatus(pod: Pod, status: unknown): Promise<void> {
    await this.plane.api.mergePatch(PODS, pod.metadata, { status }, 'status');
  }

  /** The container has ended. */
  async end(pod: Pod, exitCode: number, words?: unknown, more: Record<string, unknown> = {}): Promise<void> {
    const terminated = {
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
      ...(more['terminated'] as object),
      ...(words ? { message: JSON.stringify(words) } : {}),
    };
    await this.setStatus(pod, {
      phase: exitCode === 0 ? 'Succeeded' : 'Failed',
      containerStatuses: [
        { name: 'lepton', image: 'x', imageID: '', restartCount: 0, ready: false, state: { terminated } },
      ],
      ...(more['conditions'] ? { conditions: more['conditions'] } : {}),
    });
  }

  bind(pod: Pod, node: string): Promise<unknown> {
    return bind(this.plane, pod, node);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.operator?.stop();
    for (const coordinator of this.coordinators.values()) await coordinator.close();
    if (this.#ownsPlane) await this.plane[Symbol.asyncDispose]();
  }
}

/** What a scheduler does. */
export function bind(plane: ControlPlane, pod: Pod, node: string): Promise<unknown> {
  return plane.api.client.call({
    method: 'POST',
    path: pathOf(PODS, { ...pod.metadata, subresource: 'binding' }),
    body: {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: pod.metadata.name },
      target: { kind: 'Node', name: node },
    },
  });
}

/** Names of pods, which say their roles and ranks. */
export function ranks(pods: readonly { readonly metadata: { readonly name: string } }[]): string[] {
  return pods.map(({ metadata }) => metadata.name);
}

export const RUNNING = {
  phase: 'Running',
  podIP: '127.0.0.1',
  conditions: [{ type: 'Ready', status: 'True' }],
  containerStatuses: [
    { name: 'lepton', image: 'x', imageID: '', restartCount: 0, ready: true, state: { running: {} } },
  ],
};
