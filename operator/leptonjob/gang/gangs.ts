// Which gang schedulers the cluster serves, asked again and again, and the objects that they keep of our jobs. Reads only.
import type { OperatorConfig } from '../../config.ts';
import type { Key } from '../../controller/work-queue.ts';
import type { KubeApi } from '../../kube/api.ts';
import { pause } from '../../kube/client.ts';
import { isStatus } from '../../kube/errors.ts';
import { controllerOf, type Resource } from '../../kube/objects.ts';
import { Reflector } from '../../kube/reflector.ts';
import { Store } from '../../kube/store.ts';
import type { LeptonJobObject } from '../job.ts';
import { CHILDREN, LEPTON_JOBS } from '../names.ts';
import type { Family, GangBackend, GangObject, Membership } from './backend.ts';
import type { GangView } from './gang.ts';
import { type Found, viewGang } from './gang-view.ts';
import { KUBERNETES } from './kubernetes.ts';
import { SCHEDULER_PLUGINS } from './scheduler-plugins.ts';
import { VOLCANO } from './volcano.ts';

/** In the order in which `auto` takes them; of one family the first that is served. */
const BACKENDS: readonly GangBackend[] = [...KUBERNETES, VOLCANO, SCHEDULER_PLUGINS];

/** Undefined where what is asked for cannot be had. `auto` never waits for a scheduler. */
export function choiceOf(
  asked: LeptonJobObject['spec']['scheduling']['gang'],
  usable: (family: Family) => boolean,
): string | undefined {
  if (asked === 'none') return 'none';
  if (asked === 'auto') return BACKENDS.find(({ family }) => usable(family))?.family ?? 'none';
  return usable(asked) ? asked : undefined;
}

export interface GangsOptions {
  readonly api: KubeApi;
  readonly config: OperatorConfig;
  /** An object of this job changed. */
  readonly onChange: (job: Key) => void;
  /** A scheduler came or went: every job may be about it. */
  readonly onServed: () => void;
  readonly onError: (kind: string, error: unknown) => void;
}

/** A scheduler whose objects cannot be listed does not keep the operator from starting. */
const START_MS = 10_000;

/** One back-end that is served, with its objects. */
interface Watched {
  readonly backend: GangBackend;
  readonly stores: readonly { readonly resource: Resource; readonly store: Store<GangObject> }[];
  readonly reflectors: readonly Reflector<GangObject>[];
  /** Everything has been listed. */
  synced: boolean;
  error?: unknown;
  /** It has been listed, or nobody lets us. */
  readonly settled: Promise<unknown>;
}

export class Gangs {
  readonly #options: GangsOptions;
  readonly #watched = new Map<Family, Watched>();
  readonly #stop = new AbortController();

  constructor(options: GangsOptions) {
    this.#options = options;
  }

  /** Resolves when it is known what is served, and its objects are listed; asks again from then on. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const first = Promise.withResolvers<void>();
    void this.#run(first.resolve);
    await Promise.race([first.promise, pause(START_MS, signal)]);
    const settled = [...this.#watched.values()].map((watched) => watched.settled);
    await Promise.race([Promise.all(settled), pause(START_MS, signal)]);
  }

  stop(): void {
    this.#stop.abort();
    for (const family of [...this.#watched.keys()]) this.#forget(family);
  }

  /** Pods keep the back-end that they were started with; a job without any takes what there is now. */
  of(job: LeptonJobObject, hasPods: boolean): GangView {
    const { gang: asked } = job.spec.scheduling;
    const family = job.status?.gang as Family | undefined;
    const recorded = family && this.#usable(family)?.backend;
    const view = viewGang(job, this.#options.config, recorded, this.#found(job.metadata.uid));
    if (hasPods && family && !recorded) {
      const lack = `the pods were started with ${family}: ${this.#lackOf(family)}`;
      return { ...view, lack: `${lack}; suspend and resume the job to choose anew` };
    }
    const choice = choiceOf(asked, (one) => this.#usable(one) !== undefined);
    if (choice !== undefined) return { ...view, choice };
    if (hasPods) return view;
    return { ...view, lack: `spec.scheduling.gang asks for ${asked}: ${this.#lackOf(asked as Family)}` };
  }

  /** What makes a pod of this job a member of its gang. */
  memberOf({ metadata, status }: LeptonJobObject): Membership {
    const watched = this.#watched.get(status?.gang as Family);
    return watched?.backend.memberOf(metadata.name) ?? {};
  }

  #usable(family: Family): Watched | undefined {
    const watched = this.#watched.get(family);
    return watched?.synced ? watched : undefined;
  }

  #lackOf(family: Family): string {
    const watched = this.#watched.get(family);
    if (watched) {
      const { resource } = watched.backend.kinds[0];
      const why = watched.error instanceof Error ? `: ${watched.error.message}` : ' yet';
      return `${resource.plural} of ${resource.apiVersion} are not listed${why}`;
    }
    const served = BACKENDS.filter((backend) => backend.family === family).map(
      ({ kinds }) => `${kinds.at(-1)!.resource.plural} of ${kinds[0].resource.apiVersion}`,
    );
    return `the cluster does not serve ${served.join(', ')}`;
  }

  #found(uid: string): Found[] {
    return [...this.#watched.values()].flatMap(({ stores }) =>
      stores.flatMap(({ resource, store }) => store.group(uid).map((object) => ({ resource, object }))),
    );
  }

  async #run(known: () => void): Promise<void> {
    const { signal } = this.#stop;
    const everyMs = this.#options.config.times.discoverySeconds * 1000;
    while (!signal.aborted) {
      try {
        await this.#discover();
        known();
      } catch (error) {
        // What was known stays.
        if (!signal.aborted) this.#options.onError('APIGroup', error);
      }
      await pause(everyMs, signal);
    }
  }

  async #discover(): Promise<void> {
    const { api } = this.#options;
    const { signal } = this.#stop;
    const { groups } = await api.client.call<{ groups: { versions: { groupVersion: string }[] }[] }>({
      method: 'GET',
      path: '/apis',
      signal,
    });
    const versions = new Set(
      groups.flatMap((group) => group.versions.map(({ groupVersion }) => groupVersion)),
    );
    const served: GangBackend[] = [];
    for (const backend of BACKENDS) {
      if (served.some(({ family }) => family === backend.family)) continue;
      if (versions.has(backend.apiVersion) && (await this.#serves(backend))) served.push(backend);
    }
    if (!signal.aborted) this.#watch(served);
  }

  async #serves({ apiVersion, kinds }: GangBackend): Promise<boolean> {
    const { signal } = this.#stop;
    try {
      const { resources } = await this.#options.api.client.call<{ resources: { name: string }[] }>({
        method: 'GET',
        path: `/apis/${apiVersion}`,
        signal,
      });
      return kinds.every(({ resource }) => resources.some(({ name }) => name === resource.plural));
    } catch (error) {
      if (isStatus(error, 404)) return false; // gone between the two questions
      throw error;
    }
  }

  #watch(served: readonly GangBackend[]): void {
    let changed = false;
    for (const [family, { backend }] of [...this.#watched])
      if (!served.includes(backend)) {
        this.#forget(family);
        changed = true;
      }
    for (const backend of served)
      if (!this.#watched.has(backend.family)) this.#watched.set(backend.family, this.#begin(backend));
    if (changed) this.#options.onServed();
  }

  #begin(backend: GangBackend): Watched {
    const { config } = this.#options;
    const namespaces = config.namespaces.length > 0 ? config.namespaces : [undefined];
    const stores = backend.kinds.map(({ resource }) => ({
      resource,
      store: new Store<GangObject>((object) => controllerOf(object)?.uid),
    }));
    const refused = Promise.withResolvers<void>();
    const onError = (error: unknown): void => {
      watched.error = error;
      if (isStatus(error, 403)) refused.resolve();
    };
    const reflectors = stores.flatMap(({ resource, store }) =>
      namespaces.map((namespace) => this.#reflect(resource, store, namespace, onError)),
    );
    const listed = Promise.all(reflectors.map(({ synced }) => synced)).then(() => {
      watched.synced = true;
      this.#options.onServed();
    });
    const settled = Promise.race([listed, refused.promise]);
    const watched: Watched = { backend, stores, reflectors, synced: false, settled };
    for (const reflector of reflectors) void reflector.run();
    return watched;
  }

  #reflect(
    resource: Resource,
    store: Store<GangObject>,
    namespace: string | undefined,
    onError: (error: unknown) => void,
  ): Reflector<GangObject> {
    return new Reflector<GangObject>({
      api: this.#options.api,
      resource,
      store,
      scope: { namespace, labelSelector: CHILDREN },
      onChange: ({ object }) => {
        const owner = controllerOf(object);
        if (owner?.kind === LEPTON_JOBS.kind)
          this.#options.onChange(`${object.metadata.namespace}/${owner.name}`);
      },
      onError: (error) => {
        onError(error);
        this.#options.onError(`${resource.kind} of ${resource.apiVersion}`, error);
      },
    });
  }

  #forget(family: Family): void {
    for (const reflector of this.#watched.get(family)?.reflectors ?? []) reflector.stop();
    this.#watched.delete(family);
  }
}
