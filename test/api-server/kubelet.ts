// What a node does, without one: takes every pod of a job, lets it run, and removes it a moment after somebody asked for that. Its
// heartbeat keeps the node in the cluster's good books.
import { type KubeObject, LEASES, NODES, PODS, type Stored } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';
import { bind, RUNNING } from './fleet.ts';
import type { Witness } from './witness.ts';

const NODE = 'node-of-the-test';
const HEARTBEAT_MS = 4000;
/** How long a process takes to end when it is asked to. */
const ENDING_MS = 150;

export class Kubelet implements Disposable {
  readonly #plane: ControlPlane;
  readonly #begun = new Set<string>();
  readonly #ending = new Set<string>();
  readonly #heartbeat: NodeJS.Timeout;

  private constructor(plane: ControlPlane, witness: Witness) {
    this.#plane = plane;
    this.#heartbeat = setInterval(() => void this.#beat().catch(() => {}), HEARTBEAT_MS);
    witness.onPod = (pod) => this.#see(pod);
  }

  static async start(plane: ControlPlane, witness: Witness): Promise<Kubelet> {
    await plane.api.create(NODES, { metadata: { name: NODE } });
    const at = { namespace: 'kube-node-lease', name: NODE };
    const spec = { holderIdentity: NODE, leaseDurationSeconds: 40 };
    await plane.api.create(LEASES, { metadata: at, spec } as KubeObject);
    const kubelet = new Kubelet(plane, witness);
    await kubelet.#beat();
    const conditions = [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }];
    await plane.api.mergePatch<Stored>(NODES, { name: NODE }, { status: { conditions } }, 'status');
    return kubelet;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat);
  }

  #beat(): Promise<unknown> {
    const at = { namespace: 'kube-node-lease', name: NODE };
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    return this.#plane.api.mergePatch(LEASES, at, { spec: { renewTime } });
  }

  #see(pod: Pod): void {
    const { uid, labels = {}, deletionTimestamp } = pod.metadata;
    if (labels[LABELS.jobUid] === undefined) return;
    if (deletionTimestamp !== undefined && !this.#ending.has(uid)) {
      this.#ending.add(uid);
      setTimeout(() => void this.#remove(pod), ENDING_MS);
    } else if (deletionTimestamp === undefined && !this.#begun.has(uid)) {
      this.#begun.add(uid);
      void this.#begin(pod);
    }
  }

  async #begin(pod: Pod): Promise<void> {
    try {
      if (pod.spec?.nodeName === undefined) await bind(this.#plane, pod, NODE);
      await this.#plane.api.mergePatch(PODS, pod.metadata, { status: RUNNING }, 'status');
    } catch {
      // gone meanwhile
    }
  }

  async #remove({ metadata }: Pod): Promise<void> {
    await this.#plane.api
      .delete(PODS, metadata, { uid: metadata.uid, gracePeriodSeconds: 0 })
      .catch(() => {});
  }
}
