// Sees every change of every pod of a cluster, in order, through one watch: says whether a place of a job ever had two pods, and lets
// a kubelet act on what it sees.
import { PODS, pathOf } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';

interface PodEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: Pod;
}

export class Witness implements AsyncDisposable {
  /** Called for every pod that is there, at every change. */
  onPod: (pod: Pod) => void = () => {};
  readonly #plane: ControlPlane;
  readonly #stop = new AbortController();
  readonly #pods = new Map<string, Pod>();
  /** UIDs of all pods that a place has had, by namespace and place. */
  readonly #made = new Map<string, Map<string, Set<string>>>();
  readonly #twins = new Map<string, string[]>();
  #version = '';
  #watching: Promise<void> | undefined;

  private constructor(plane: ControlPlane) {
    this.#plane = plane;
  }

  static async start(plane: ControlPlane): Promise<Witness> {
    const witness = new Witness(plane);
    const { metadata, items } = await plane.api.list<Pod>(PODS);
    witness.#version = metadata.resourceVersion;
    for (const object of items) witness.#see({ type: 'ADDED', object });
    witness.#watching = witness.#watch();
    return witness;
  }

  /** Moments at which two live pods had one (role, rank, attempt). */
  twins(namespace: string): readonly string[] {
    return this.#twins.get(namespace) ?? [];
  }

  /** Places that had more than one pod in one attempt, at whatever time. */
  repeated(namespace: string): readonly string[] {
    return [...(this.#made.get(namespace) ?? [])].flatMap(([place, uids]) => (uids.size > 1 ? [place] : []));
  }

  knows(uid: string): boolean {
    return this.#pods.has(uid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#read();
      } catch {
        if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** From the last version that was seen: nothing is missed between two streams. */
  async #read(): Promise<void> {
    const query = { watch: true, resourceVersion: this.#version, allowWatchBookmarks: true };
    const path = pathOf(PODS);
    const { signal } = this.#stop;
    const stream = await this.#plane.api.client.stream({ method: 'GET', path, query, signal });
    stream.setEncoding('utf8');
    let rest = '';
    for await (const part of stream) {
      const lines = (rest + (part as string)).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) if (line !== '') this.#see(JSON.parse(line) as PodEvent);
    }
  }

  #see({ type, object }: PodEvent): void {
    if (type === 'ERROR') throw new Error(JSON.stringify(object));
    this.#version = object.metadata.resourceVersion;
    if (type === 'BOOKMARK') return;
    const { uid, namespace = '' } = object.metadata;
    if (type === 'DELETED') {
      this.#pods.delete(uid);
      return;
    }
    this.#pods.set(uid, object);
    const place = placeOf(object);
    const places = this.#made.get(namespace) ?? new Map<string, Set<string>>();
    this.#made.set(namespace, places.set(place, (places.get(place) ?? new Set()).add(uid)));
    const twin = [...this.#pods.values()].find(
      (other) => other.metadata.uid !== uid && placeOf(other) === place && isLive(other) && isLive(object),
    );
    if (twin) this.#twins.set(namespace, [...this.twins(namespace), `${place}: ${uid}`]);
    this.onPod(object);
  }
}

function placeOf({ metadata: { namespace, name, labels = {} } }: Pod): string {
  const {
    [LABELS.jobUid]: job,
    [LABELS.role]: role,
    [LABELS.rank]: rank,
    [LABELS.attempt]: attempt,
  } = labels;
  return job === undefined ? `${namespace}/${name}` : [namespace, job, role, rank, attempt].join('/');
}

function isLive({ status }: Pod): boolean {
  return status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}
