// All that the controller knows of the cluster: one store per kind, kept by a reflector each, and which jobs a change is about.
// Reads only.
import type { OperatorConfig } from '../config.ts';
import type { Key } from '../controller/work-queue.ts';
import type { KubeApi } from '../kube/api.ts';
import {
  CONFIG_MAPS,
  controllerOf,
  keyOf,
  NETWORK_POLICIES,
  NODES,
  PODS,
  type Resource,
  SERVICES,
  type Stored,
} from '../kube/objects.ts';
import { Reflector } from '../kube/reflector.ts';
import { type Change, compareVersions, Store } from '../kube/store.ts';
import type { Offer } from './accelerators.ts';
import type { LeptonJobObject } from './job.ts';
import { keptOfChild, keptOfNode, keptOfPod, type Node } from './kept.ts';
import { CHILDREN, LEPTON_JOBS } from './names.ts';
import type { Pod } from './pod-view.ts';

export interface WorldOptions {
  readonly api: KubeApi;
  readonly config: Pick<OperatorConfig, 'namespaces' | 'networkPolicy' | 'times'>;
  /** Something changed that is about this job; `inMs` later where time decides. */
  readonly onChange: (job: Key, inMs?: number) => void;
  readonly onError: (kind: string, error: unknown) => void;
}

/** Children come up in crowds: news that call for nothing wait for more of their kind. */
const CROWD_MS = 200;

const byOwner = (object: Stored): string | undefined => controllerOf(object)?.uid;

export class World {
  readonly jobs = new Store<LeptonJobObject>();
  /** By UID of their job. */
  readonly pods = new Store<Pod>(byOwner);
  readonly services = new Store<Stored>(byOwner);
  readonly configMaps = new Store<Stored>(byOwner);
  readonly networkPolicies = new Store<Stored>(byOwner);
  readonly nodes = new Store<Node>();
  readonly #options: WorldOptions;
  readonly #reflectors: { readonly kind: string; readonly reflector: Reflector<never> }[] = [];
  readonly #keys = new Map<string, Key>();
  /** Made where it is asked for after a node has changed. */
  #offers: readonly Offer[] | undefined;
  /** Nodes that are not ready. */
  readonly #silent = new Map<string, Node>();
  /** What each node offered last, as text. */
  readonly #offered = new Map<string, string>();
  /** Conditions that hold, by node; a node that is not ready has `NotReady`. */
  readonly conditions = new Map<string, readonly string[]>();

  constructor(options: WorldOptions) {
    this.#options = options;
    const namespaces = options.config.namespaces.length > 0 ? options.config.namespaces : [undefined];
    for (const namespace of namespaces) {
      this.#reflect(LEPTON_JOBS, this.jobs, { namespace }, (change) => this.#jobChanged(change));
      this.#reflectChildren(PODS, this.pods, namespace, keptOfPod);
      this.#reflectChildren(SERVICES, this.services, namespace, keptOfChild);
      this.#reflectChildren(CONFIG_MAPS, this.configMaps, namespace, keptOfChild);
      if (options.config.networkPolicy)
        this.#reflectChildren(NETWORK_POLICIES, this.networkPolicies, namespace, keptOfChild);
    }
    this.#reflect(NODES, this.nodes, {}, (change) => this.#nodeChanged(change), keptOfNode);
  }

  start(): void {
    for (const { reflector } of this.#reflectors) void reflector.run();
  }

  stop(): void {
    for (const { reflector } of this.#reflectors) reflector.stop();
  }

  /** What nodes that take pods have beside CPU, memory and the like. */
  get offers(): readonly Offer[] {
    this.#offers ??= [...this.nodes.all()].flatMap(({ metadata, spec, status }) =>
      spec?.unschedulable ? [] : [{ node: metadata.name, resources: status?.allocatable ?? {} }],
    );
    return this.#offers;
  }

  /** Resolves when every kind has been listed. */
  async synced(): Promise<void> {
    await Promise.all(this.#reflectors.map(({ reflector }) => reflector.synced));
  }

  /** Whether the store of `resource` holds everything up to a version that was written. */
  hasSeen(resource: Resource, version: string): boolean {
    return this.#reflectors
      .filter(({ kind }) => kind === resource.kind)
      .some(({ reflector }) => compareVersions(reflector.version, version) >= 0);
  }

  /** For a watch that does not tell what the server has confirmed. */
  watchAnew(resource: Resource): void {
    for (const { kind, reflector } of this.#reflectors) if (kind === resource.kind) reflector.watchAnew();
  }

  get counts(): readonly { readonly kind: string; readonly lists: number; readonly watches: number }[] {
    return this.#reflectors.map(({ kind, reflector }) => ({ kind, ...reflector.counts }));
  }

  /** Nodes that have not been ready for longer than the configured time. */
  lostNodes(nowMs: number): ReadonlySet<string> {
    const limitMs = this.#options.config.times.nodeLostSeconds * 1000;
    const lost = [...this.#silent.values()].filter((node) => (notReadyMs(node, nowMs) ?? -1) >= limitMs);
    return new Set(lost.map(({ metadata }) => metadata.name));
  }

  /** Until the next of these nodes counts as lost; undefined where all are ready, or lost already. */
  lossInMs(names: Iterable<string | undefined>, nowMs: number): number | undefined {
    const limitMs = this.#options.config.times.nodeLostSeconds * 1000;
    const left = [...new Set(names)].flatMap((name) => {
      const node = name === undefined ? undefined : this.#silent.get(name);
      const sinceMs = node && notReadyMs(node, nowMs);
      return sinceMs === undefined || sinceMs >= limitMs ? [] : [limitMs - sinceMs];
    });
    return left.length === 0 ? undefined : Math.min(...left) + 1;
  }

  #reflectChildren<T extends Stored>(
    resource: Resource,
    store: Store<T>,
    namespace: string | undefined,
    trim: (object: T) => T,
  ): void {
    const changed = (change: Change<T>): void => {
      // Somebody may have taken its owner away: that is news for the job that it belonged to.
      const known = change.kind === 'updated' ? this.#jobOf(change.before) : undefined;
      const key = this.#jobOf(change.object) ?? known;
      if (key !== undefined) this.#options.onChange(key, isUrgent(change) ? 0 : CROWD_MS);
    };
    this.#reflect(resource, store, { namespace, labelSelector: CHILDREN }, changed, trim);
  }

  #reflect<T extends Stored>(
    resource: Resource,
    store: Store<T>,
    scope: { namespace?: string | undefined; labelSelector?: string },
    onChange: (change: Change<T>) => void,
    trim?: (object: T) => T,
  ): void {
    const reflector = new Reflector<T>({
      api: this.#options.api,
      resource,
      store,
      scope,
      onChange,
      onError: (error) => this.#options.onError(resource.kind, error),
      ...(trim ? { trim } : {}),
    });
    this.#reflectors.push({ kind: resource.kind, reflector: reflector as unknown as Reflector<never> });
  }

  #jobChanged({ kind, object }: Change<LeptonJobObject>): void {
    const key = keyOf(object);
    if (kind === 'deleted') this.#keys.delete(object.metadata.uid);
    else this.#keys.set(object.metadata.uid, key);
    this.#options.onChange(key);
  }

  #jobOf(object: Stored): Key | undefined {
    const owner = controllerOf(object);
    return owner ? this.#keys.get(owner.uid) : undefined;
  }

  /** Jobs with pods on a node that has gone silent are looked at when it counts as lost. */
  #nodeChanged({ kind, object: node }: Change<Node>): void {
    const nowMs = Date.now();
    this.#conditionsChanged(kind === 'deleted' ? undefined : conditionsOf(node), node.metadata.name);
    this.#offersChanged(kind === 'deleted' ? undefined : node, node.metadata.name);
    const sinceMs = kind === 'deleted' ? undefined : notReadyMs(node, nowMs);
    if (sinceMs === undefined) {
      this.#silent.delete(node.metadata.name);
      return;
    }
    this.#silent.set(node.metadata.name, node);
    const inMs = Math.max(0, this.#options.config.times.nodeLostSeconds * 1000 - sinceMs) + 50;
    this.#tellJobsOn(node.metadata.name, inMs);
  }

  /** Jobs that wait for accelerators look again when nodes offer others. */
  #offersChanged(node: Node | undefined, name: string): void {
    this.#offers = undefined;
    const now = node ? JSON.stringify([node.status?.allocatable, node.spec?.unschedulable]) : undefined;
    if (this.#offered.get(name) === now) return;
    if (now === undefined) this.#offered.delete(name);
    else this.#offered.set(name, now);
    for (const { metadata, spec, status } of this.jobs.all()) {
      const key = this.#keys.get(metadata.uid);
      if (spec.worker.accelerators && status?.waiting && key !== undefined) this.#options.onChange(key);
    }
  }

  #conditionsChanged(now: readonly string[] | undefined, node: string): void {
    const before = this.conditions.get(node);
    if (now === undefined) this.conditions.delete(node);
    else this.conditions.set(node, now);
    if (before?.join() !== now?.join()) this.#tellJobsOn(node);
  }

  #tellJobsOn(node: string, inMs?: number): void {
    for (const pod of this.pods.all()) {
      if (pod.spec?.nodeName !== node) continue;
      const key = this.#jobOf(pod);
      if (key !== undefined) this.#options.onChange(key, inMs);
    }
  }
}

/** Something is gone, or about to go. */
function isUrgent({ kind, object }: Change<Stored & { readonly status?: Pod['status'] }>): boolean {
  const phase = object.status?.phase;
  return (
    kind === 'deleted' ||
    object.metadata.deletionTimestamp !== undefined ||
    phase === 'Failed' ||
    phase === 'Succeeded'
  );
}

/** How long a node has not been ready; undefined where it is. */
function notReadyMs({ status }: Node, nowMs: number): number | undefined {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  if (!ready || ready.status === 'True') return undefined;
  return nowMs - Date.parse(ready.lastTransitionTime ?? new Date(nowMs).toISOString());
}

function conditionsOf({ status }: Node): readonly string[] {
  return (status?.conditions ?? [])
    .flatMap(({ type, status: holds }) => {
      if (type === 'Ready') return holds === 'True' ? [] : ['NotReady'];
      return holds === 'True' ? [type] : [];
    })
    .sort();
}
