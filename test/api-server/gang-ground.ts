// What the tests of gangs stand on: a fleet whose operator looks for schedulers often, nodes without a kubelet, and looks at groups and
// at who has a node. No tests.
import { NODES, type Resource, type Stored } from '../../operator/kube/objects.ts';
import type { GangObject } from '../../operator/leptonjob/gang/backend.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { until } from '../cluster/daemon.ts';
import { Fleet } from './fleet.ts';

/** Generous: slow machines run several control planes at once. */
export const LONG_MS = 60_000;
const TIMES = { progressSeconds: 0.05, stopSeconds: 5, nodeLostSeconds: 60, forceDeleteSeconds: 1 };

export interface FullPod extends Pod {
  readonly spec?: Pod['spec'] & Record<string, unknown>;
}

export class Ground implements AsyncDisposable {
  readonly fleet: Fleet;

  private constructor(fleet: Fleet) {
    this.fleet = fleet;
  }

  /** On a control plane of its own, which ends with it. */
  static async start(): Promise<Ground> {
    const requests = { requests: { cpu: '1', memory: '64Mi' } };
    const fleet = await Fleet.alone(
      {
        with: ['kube-controller-manager', 'kube-scheduler', 'volcano-crds', 'scheduler-plugins-crds'],
        gangScheduling: true,
        // Nodes here are objects without a kubelet: nobody may find them dead.
        controllers: '*,-node-lifecycle-controller',
      },
      {
        resources: { worker: requests, parameterServer: requests },
        times: { ...TIMES, discoverySeconds: 0.2 },
      },
    );
    return new Ground(fleet);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fleet[Symbol.asyncDispose]();
  }

  async get(of: Resource, name: string): Promise<GangObject | undefined> {
    const { plane, namespace } = this.fleet;
    return await plane.api.get<GangObject>(of, { namespace, name }).catch(() => undefined);
  }

  expectGroup(
    of: Resource,
    name: string,
    holds: (group: GangObject) => boolean = () => true,
  ): Promise<GangObject> {
    return until(`${of.kind} ${name} of ${of.apiVersion}`, LONG_MS, async () => {
      const group = await this.get(of, name);
      return group && holds(group) ? group : undefined;
    });
  }

  async expectGone(of: Resource, name: string): Promise<void> {
    await until(`${of.kind} ${name} is gone`, LONG_MS, async () => (await this.get(of, name)) === undefined);
  }

  async pods(name: string): Promise<FullPod[]> {
    return (await this.fleet.pods(name)) as FullPod[];
  }

  /** Everything that the scheduler has given a node. */
  async placed(name: string): Promise<FullPod[]> {
    return (await this.pods(name)).filter(({ spec }) => spec?.nodeName !== undefined);
  }

  expectPlaced(name: string, count: number): Promise<FullPod[]> {
    return until(`${name}: ${count} pods have nodes`, LONG_MS, async () => {
      const now = await this.placed(name);
      return now.length === count ? now : undefined;
    });
  }

  async addNode(name: string, cpu: string): Promise<void> {
    const { api } = this.fleet.plane;
    const node = await api.create<Stored>(NODES, { metadata: { name } });
    const amounts = { cpu, memory: '8Gi', pods: '110' };
    const conditions = [{ type: 'Ready', status: 'True', reason: 'Test', message: '' }];
    const status = { capacity: amounts, allocatable: amounts, conditions };
    await api.mergePatch(NODES, node.metadata, { status }, 'status');
    // Admission marks every new node; the controller that would take the mark away does not run here.
    await api.mergePatch(NODES, node.metadata, { spec: { taints: null } });
  }

  async removeJob(name: string): Promise<void> {
    const { plane, namespace } = this.fleet;
    await plane.api.delete(LEPTON_JOBS, { namespace, name });
    await until(`${name}: no pods`, LONG_MS, async () => (await this.fleet.pods(name)).length === 0);
  }

  /** Resolves when the coordinator has been asked. */
  async resize(name: string, workers: number): Promise<void> {
    await this.fleet.change(name, { worker: { replicas: workers } });
    const { resizes } = this.fleet.coordinators.get(name)!;
    await until('the coordinator is asked', LONG_MS, () => resizes.at(-1)?.workers === workers);
  }
}

/** Two workers and one server of one CPU each, which end at once when they are deleted. */
export const small = (more: Record<string, unknown> = {}) => ({
  worker: { replicas: 2, template: { spec: { terminationGracePeriodSeconds: 0 } } },
  ...more,
});
