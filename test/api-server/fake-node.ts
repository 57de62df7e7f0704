// A node without a machine: an object whose kubelet is this test. It stays ready for as long as the test lets it.
import { NODES } from '../../operator/kube/objects.ts';
import type { Node } from '../../operator/leptonjob/kept.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';

const BEAT_MS = 3000;
const ROOM = { cpu: '64', memory: '256Gi', pods: '110' };

export interface FakeNodeOptions {
  readonly name: string;
  /** Extended resources, beside room for any pod. */
  readonly offers?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
}

export class FakeNode implements AsyncDisposable {
  readonly name: string;
  readonly #plane: ControlPlane;
  #offers: Readonly<Record<string, string>>;
  #conditions: readonly { readonly type: string; readonly status: string }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #beat: Promise<unknown> = Promise.resolve();

  private constructor(plane: ControlPlane, { name, offers = {} }: FakeNodeOptions) {
    this.#plane = plane;
    this.name = name;
    this.#offers = offers;
  }

  static async join(plane: ControlPlane, options: FakeNodeOptions): Promise<FakeNode> {
    const { name, taints = [] } = options;
    await plane.api.create<Node>(NODES, { metadata: { name }, spec: { taints } } as never);
    const node = new FakeNode(plane, options);
    await node.#report();
    node.#timer = setInterval(() => {
      node.#beat = node.#report().catch(() => {}); // the next one may go through
    }, BEAT_MS);
    return node;
  }

  offer(offers: Readonly<Record<string, string>>): Promise<void> {
    this.#offers = offers;
    return this.#report();
  }

  /** Conditions beside `Ready`, all of them True. */
  suffer(...types: readonly string[]): Promise<void> {
    this.#conditions = types.map((type) => ({ type, status: 'True' }));
    return this.#report();
  }

  async #report(): Promise<void> {
    const now = new Date().toISOString();
    const conditions = [{ type: 'Ready', status: 'True' }, ...this.#conditions].map((condition) => ({
      ...condition,
      lastHeartbeatTime: now,
      reason: 'Test',
      message: '',
    }));
    const room = { ...ROOM, ...this.#offers };
    const status = { capacity: room, allocatable: room, conditions };
    await this.#plane.api.mergePatch(NODES, { name: this.name }, { status }, 'status');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#beat;
    await this.#plane.api.delete(NODES, { name: this.name });
  }
}
