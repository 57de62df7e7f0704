// A namespace with an operator behind a proxy, where one job is meddled with. No tests.
import type { Stored } from '../../operator/kube/objects.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import type { Arena } from './arena.ts';
import { FaultProxy } from './fault-proxy.ts';
import { Fleet, type OperatorInput } from './fleet.ts';
import { QUICK_TIMES } from './rest.ts';

export interface Place extends AsyncDisposable {
  readonly fleet: Fleet;
  readonly proxy: FaultProxy;
}

export async function placeOn(arena: Arena, config: OperatorInput = {}): Promise<Place> {
  const fleet = await Fleet.withoutOperator(arena.plane);
  const proxy = await FaultProxy.start(arena.plane);
  await fleet.startOperator({ times: QUICK_TIMES, ...config }, proxy.kubeConfig);
  return {
    fleet,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await fleet[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

export const uidsOf = (objects: readonly Stored[]) => objects.map(({ metadata }) => metadata.uid);
export const workerOf = (pods: readonly Pod[], rank: number) =>
  pods.find(({ metadata }) => metadata.name === `job-worker-${rank}`)!;

export const PROBE = [{ name: 'c', image: 'x' }];
