// A control plane with a node and a witness, for tests in which many jobs live side by side, each in its own namespace.
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import { installCrd } from '../cluster/install-crd.ts';
import type { Fleet } from './fleet.ts';
import { Kubelet } from './kubelet.ts';
import { Witness } from './witness.ts';

const PATIENCE_MS = 120_000;

export interface Arena extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly witness: Witness;
}

export async function startArena(more: ControlPlaneOptions = {}): Promise<Arena> {
  const plane = await startControlPlane({ with: ['kube-controller-manager', 'kubectl'], ...more });
  await installCrd(plane.api);
  const witness = await Witness.start(plane);
  const kubelet = await Kubelet.start(plane, witness);
  return {
    plane,
    witness,
    [Symbol.asyncDispose]: async () => {
      kubelet[Symbol.dispose]();
      await witness[Symbol.asyncDispose]();
      await plane[Symbol.asyncDispose]();
    },
  };
}

/** Waits until the job has exactly these pods, all running. */
export async function podsOf(fleet: Fleet, count: number, attempt: number): Promise<readonly Pod[]> {
  return await until(`${count} pods, attempt ${attempt}`, PATIENCE_MS, async () => {
    const { status } = await fleet.job('job');
    const pods = await fleet.pods('job');
    const running = pods.filter((pod) => pod.status?.phase === 'Running' && !pod.metadata.deletionTimestamp);
    const complete = running.length === count && pods.length === count && status?.attempt === attempt;
    return complete ? pods : undefined;
  });
}

/** O4: no place with two pods, at an instant or in an attempt, as every event of the API server told it. */
export async function twinsIn({ witness }: Arena, fleet: Fleet): Promise<string[]> {
  const pods = await fleet.pods('job');
  const all = () => pods.every(({ metadata }) => witness.knows(metadata.uid)) || undefined;
  await until('the witness has seen all pods', 10_000, all);
  return [
    ...witness.twins(fleet.namespace).map((place) => `two live pods: ${place}`),
    ...witness.repeated(fleet.namespace).map((place) => `made twice: ${place}`),
  ];
}
