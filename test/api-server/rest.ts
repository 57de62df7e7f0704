// When an operator has come to rest, and what there is then. Shared by the tests that disturb it.
import assert from 'node:assert/strict';
import { PODS } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import { until } from '../cluster/daemon.ts';
import type { FaultProxy } from './fault-proxy.ts';
import { type Fleet, RUNNING } from './fleet.ts';

export const QUICK_TIMES = {
  progressSeconds: 0.05,
  stopSeconds: 0.2,
  nodeLostSeconds: 60,
  forceDeleteSeconds: 1,
};

/** What a kubelet does with every new pod. */
export async function runPending(fleet: Fleet): Promise<void> {
  const pods = await fleet.pods('job').catch(() => []);
  for (const pod of pods)
    if (pod.status?.phase === 'Pending') await fleet.setStatus(pod, RUNNING).catch(() => {});
}

/** Waits until nothing is written any more, then reads everything. */
export async function rest(
  fleet: Fleet,
  proxies: readonly FaultProxy[],
  restMs: number,
): Promise<{ final: unknown; writes: number }> {
  const startedMs = performance.now();
  await until('rest', 60_000, () => {
    const lastMs = Math.max(startedMs, ...proxies.map(({ lastWriteMs }) => lastWriteMs));
    const quietMs = performance.now() - lastMs;
    return quietMs > restMs || undefined;
  });
  const pods = await fleet.pods('job');
  const { items } = await fleet.plane.api.list(PODS, { namespace: fleet.namespace });
  assert.equal(items.length, pods.length, 'an orphan pod');
  const status = (await fleet.job('job').catch(() => undefined))?.status;
  const final = {
    pods: pods.map(({ metadata, status: is }) => [
      metadata.name,
      metadata.labels?.[LABELS.attempt],
      is?.phase,
    ]),
    status: status && {
      phase: status.phase,
      attempt: status.attempt,
      restarts: status.restarts,
      replicas: status.worker?.replicas,
      replacing: status.replacing ?? [],
      stopping: status.stopping,
    },
  };
  return { final, writes: proxies.reduce((sum, { writes }) => sum + writes, 0) };
}
