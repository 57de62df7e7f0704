// Keeps asking for leadership over a Lease and carries out what the election decides. The process ends when leadership is lost.
import type { KubeApi } from '../kube/api.ts';
import { pause } from '../kube/client.ts';
import { isStatus } from '../kube/errors.ts';
import { microTime } from '../kube/events.ts';
import { type KubeObject, LEASES, type Stored } from '../kube/objects.ts';
import { type ElectionAction, LeaderElection, type LeaseState } from './leader-election.ts';

export interface LeaderOptions {
  readonly api: KubeApi;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly onLost: (reason: string) => void;
  /** A request failed, in words that differ from those of the failure before. */
  readonly onError?: (error: unknown) => void;
  readonly leaseMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
}

interface Lease extends Stored {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseTransitions?: number;
    readonly acquireTime?: string;
  };
}

export class Leader {
  /** Resolves when this process leads. */
  readonly elected: Promise<void>;
  readonly #options: LeaderOptions;
  readonly #election: LeaderElection;
  readonly #elected = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  #acquireTime = '';
  #lastError = '';

  constructor(options: LeaderOptions) {
    const { identity, leaseMs, renewDeadlineMs } = options;
    this.#options = options;
    this.elected = this.#elected.promise;
    this.#election = new LeaderElection({
      identity,
      ...(leaseMs === undefined ? {} : { leaseMs }),
      ...(renewDeadlineMs === undefined ? {} : { renewDeadlineMs }),
    });
  }

  get leads(): boolean {
    return this.#election.isLeader(performance.now());
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const action = await this.#try();
      if (action.kind === 'exit') {
        if (!signal.aborted) this.#options.onLost(action.reason);
        return;
      }
      if (this.leads) this.#elected.resolve();
      await pause((this.#options.retryMs ?? 2000) * (1 + 0.2 * Math.random()), signal);
    }
  }

  /** Gives the lease away, so that the next leader need not wait. */
  async release(): Promise<void> {
    this.#stop.abort();
    const action = this.#election.release();
    if (action) await this.#write(action).catch(() => {});
  }

  async #try(): Promise<ElectionAction> {
    try {
      const action = this.#election.observed(await this.#read(), performance.now());
      if (action.kind === 'write') this.#election.written(stateOf(await this.#write(action)));
      this.#lastError = '';
      return action;
    } catch (error) {
      this.#tell(error);
      return this.#election.failed(performance.now());
    }
  }

  /** Every two seconds the same would bury the log. */
  #tell(error: unknown): void {
    const message = String(error);
    if (message === this.#lastError || this.#stop.signal.aborted) return;
    this.#lastError = message;
    this.#options.onError?.(error);
  }

  async #read(): Promise<LeaseState | undefined> {
    const { api, namespace, name } = this.#options;
    try {
      const lease = await api.get<Lease>(LEASES, { namespace, name }, AbortSignal.timeout(5000));
      this.#acquireTime = lease.spec?.acquireTime ?? '';
      return stateOf(lease);
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  }

  #write({
    holder,
    leaseTransitions,
    resourceVersion,
  }: Extract<ElectionAction, { kind: 'write' }>): Promise<Lease> {
    const { api, namespace, name, leaseMs = 15_000, identity } = this.#options;
    const now = microTime(Date.now());
    const held = this.#election.isLeader(performance.now()) && this.#acquireTime !== '';
    const lease = {
      metadata: { namespace, name, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: holder === identity ? Math.ceil(leaseMs / 1000) : 1,
        acquireTime: held ? this.#acquireTime : now,
        renewTime: now,
        leaseTransitions,
      },
    } as KubeObject;
    return resourceVersion === undefined
      ? api.create<Lease>(LEASES, lease)
      : api.replace<Lease>(LEASES, lease);
  }
}

function stateOf({ metadata, spec }: Lease): LeaseState {
  return {
    holder: spec?.holderIdentity ?? '',
    leaseTransitions: spec?.leaseTransitions ?? 0,
    resourceVersion: metadata.resourceVersion,
  };
}
