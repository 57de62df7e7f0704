// When an operator has come to rest, and what there is then. Shared by the tests that disturb it.
import {
  CONFIG_MAPS,
  controllerOf,
  type KubeObject,
  NETWORK_POLICIES,
  PODS,
  SECRETS,
  SERVICES,
  type Stored,
} from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { until } from '../cluster/daemon.ts';
import type { FaultProxy } from './fault-proxy.ts';
import type { Fleet } from './fleet.ts';

export const QUICK_TIMES = {
  progressSeconds: 0.05,
  stopSeconds: 0.2,
  nodeLostSeconds: 60,
  forceDeleteSeconds: 1,
};

const KINDS = [PODS, SERVICES, CONFIG_MAPS, SECRETS, NETWORK_POLICIES];
const MANAGED = 'app.kubernetes.io/managed-by=lepton-operator';
const QUIET_WITHIN_MS = 120_000;
/** The garbage collector learns of a new kind every half minute. */
const COLLECTED_WITHIN_MS = 90_000;

/** Waits until nothing has been written for so long. */
export async function quiet(proxies: readonly FaultProxy[], restMs: number): Promise<void> {
  const startedMs = performance.now();
  await until('rest', QUIET_WITHIN_MS, () => {
    const lastMs = Math.max(startedMs, ...proxies.map(({ lastWriteMs }) => lastWriteMs));
    return performance.now() - lastMs > restMs || undefined;
  });
}

/** Waits until nothing is written any more, then reads everything. */
export async function rest(
  fleet: Fleet,
  proxies: readonly FaultProxy[],
  restMs: number,
): Promise<{ final: Final; writes: number }> {
  await quiet(proxies, restMs);
  await noOrphans(fleet);
  return { final: await everything(fleet), writes: proxies.reduce((sum, { writes }) => sum + writes, 0) };
}

/** Every object of ours has an owner that lives. */
async function noOrphans(fleet: Fleet): Promise<void> {
  await until('no orphans', COLLECTED_WITHIN_MS, async () => {
    const { items: jobs } = await fleet.plane.api.list<Stored>(LEPTON_JOBS, { namespace: fleet.namespace });
    const alive = new Set(jobs.map(({ metadata }) => metadata.uid));
    const children = (await Promise.all(KINDS.map((kind) => childrenOf(fleet, kind)))).flat();
    const orphans = children.filter((child) => !alive.has(controllerOf(child)?.uid ?? ''));
    if (orphans.length > 0) throw new Error(`orphans: ${orphans.map(({ metadata }) => metadata.name)}`);
    return true;
  });
}

async function childrenOf(fleet: Fleet, kind: (typeof KINDS)[number]): Promise<readonly Stored[]> {
  const { items } = await fleet.plane.api.list<Stored>(kind, {
    namespace: fleet.namespace,
    labelSelector: MANAGED,
  });
  return items;
}

export interface Final {
  /** `Kind/name` -> what there is, as far as it does not depend on when and where it was made. */
  readonly objects: Readonly<Record<string, readonly string[]>>;
  readonly status: unknown;
}

async function everything(fleet: Fleet): Promise<Final> {
  const job = await fleet.job('job').catch(() => undefined);
  const objects: Record<string, string[]> = {};
  for (const kind of KINDS)
    for (const child of await childrenOf(fleet, kind)) {
      const plain = timeless(child, fleet.namespace);
      const key = `${kind.kind}/${plain.metadata.name}`;
      objects[key] = [...(objects[key] ?? []), JSON.stringify(plain)].sort();
    }
  return { objects, status: job?.status && statusOf(job.status) };
}

interface Child extends KubeObject {
  readonly spec?: unknown;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly status?: { readonly phase?: string };
}

/** Identities, digests, keys and what the cluster adds are of each life. */
function timeless(child: Child, namespace: string): KubeObject {
  const { name, labels, ownerReferences } = child.metadata;
  const isSecret = child.data?.['ca.crt'] !== undefined;
  const { clusterIP: _, clusterIPs: _2, ...spec } = (child.spec ?? {}) as Record<string, unknown>;
  const kept = {
    metadata: { name, labels, ownerReferences },
    spec,
    data: isSecret ? Object.keys(child.data ?? {}).sort() : child.data,
    phase: child.status?.phase,
  };
  const owner = controllerOf(child)?.uid ?? 'nobody';
  const text = JSON.stringify(kept)
    .replaceAll(owner, 'UID')
    .replaceAll(owner.replaceAll('-', '').slice(0, 20), 'RUN')
    .replaceAll(namespace, 'NAMESPACE')
    .replaceAll(/job-config-[0-9a-f]{8}/g, 'job-config-DIGEST')
    .replaceAll(/("lepton\.ai\/config":)"[0-9a-f]{8}"/g, '$1"DIGEST"');
  return JSON.parse(text) as KubeObject;
}

function statusOf(status: NonNullable<LeptonJobObject['status']>) {
  const { phase, attempt, restarts, assembled, stopping, worker, parameterServer, waiting } = status;
  return {
    phase,
    attempt,
    restarts,
    assembled,
    stopping,
    resizing: status.resizing?.to,
    worker: worker && { ...worker },
    parameterServer: parameterServer && { ...parameterServer },
    waiting: waiting?.on,
    replacing: status.replacing ?? [],
    excludedNodes: status.excludedNodes ?? [],
    conditions: status.conditions?.map(({ type, status: holds, reason }) => [type, holds, reason]),
  };
}

/** Where two states differ, one line each. */
export function differences(got: unknown, expected: unknown, path = ''): string[] {
  const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && !!value;
  if (!isObject(got) || !isObject(expected))
    return JSON.stringify(got) === JSON.stringify(expected)
      ? []
      : [`${path}: got ${briefly(got)}, expected ${briefly(expected)}`];
  const keys = [...new Set([...Object.keys(got), ...Object.keys(expected)])];
  return keys.flatMap((key) => differences(got[key], expected[key], `${path}.${key}`));
}

const briefly = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 1000);
