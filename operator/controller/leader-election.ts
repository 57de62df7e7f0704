// Who leads, by client-go's rules (tools/leaderelection/leaderelection.go): a pure decision over the Lease that was read and a
// monotonic clock. Knows no server. It does not fence: writes carry preconditions of their own.

/** The fields of coordination.k8s.io/v1 Lease that count. Times in it are for people: no decision reads them. */
export interface LeaseState {
  /** Empty or absent: nobody holds it. */
  readonly holder?: string;
  readonly leaseTransitions: number;
  readonly resourceVersion: string;
}

export interface ElectionOptions {
  readonly identity: string;
  /** How long a Lease that nobody renews counts as held. Default 15 s. */
  readonly leaseMs?: number;
  /** A leader that could not renew for this long gives up. Default 10 s; below `leaseMs`, so that it has before another begins. */
  readonly renewDeadlineMs?: number;
}

export type ElectionAction =
  /** Write the Lease with this holder, on condition that its resourceVersion is unchanged (absent: create it). */
  | {
      readonly kind: 'write';
      readonly holder: string;
      readonly leaseTransitions: number;
      readonly resourceVersion?: string;
    }
  | { readonly kind: 'wait' }
  /** The process must end: another may lead from now on. */
  | { readonly kind: 'exit'; readonly reason: string };

/**
 * Every retry period: read the Lease, ask `observed`, carry the action out and tell `written` how it went.
 * A Lease is judged expired by the time since its last change was seen here, never by the timestamps that others wrote.
 */
export class LeaderElection {
  readonly #identity: string;
  readonly #leaseMs: number;
  readonly #renewDeadlineMs: number;
  #seen: { readonly state: LeaseState | undefined; readonly atMs: number } | undefined;
  /** When the Lease was last written by us, measured before the write was sent. */
  #renewedMs: number | undefined;
  #sentMs = 0;

  constructor({ identity, leaseMs = 15_000, renewDeadlineMs = 10_000 }: ElectionOptions) {
    if (!(renewDeadlineMs < leaseMs))
      throw new RangeError(
        `renewDeadlineMs: expected less than leaseMs (${leaseMs}), got ${renewDeadlineMs}`,
      );
    this.#identity = identity;
    this.#leaseMs = leaseMs;
    this.#renewDeadlineMs = renewDeadlineMs;
  }

  isLeader(nowMs: number): boolean {
    return this.#renewedMs !== undefined && nowMs - this.#renewedMs < this.#renewDeadlineMs;
  }

  /** `lease` as it was just read; undefined where there is none. */
  observed(lease: LeaseState | undefined, nowMs: number): ElectionAction {
    if (!this.#seen || this.#seen.state?.resourceVersion !== lease?.resourceVersion)
      this.#seen = { state: lease, atMs: nowMs };
    if (this.#lost(nowMs)) return this.#exit(`could not renew the lease for ${this.#renewDeadlineMs} ms`);
    const holder = lease?.holder ?? '';
    if (this.#renewedMs !== undefined && holder !== this.#identity)
      return this.#exit(`${holder === '' ? 'nobody' : holder} holds the lease`);
    const expired = nowMs - this.#seen.atMs >= this.#leaseMs;
    if (holder !== '' && holder !== this.#identity && !expired) return { kind: 'wait' };
    this.#sentMs = nowMs;
    const transitions = (lease?.leaseTransitions ?? 0) + (lease && holder !== this.#identity ? 1 : 0);
    return {
      kind: 'write',
      holder: this.#identity,
      leaseTransitions: transitions,
      ...(lease ? { resourceVersion: lease.resourceVersion } : {}),
    };
  }

  /** The read or the write failed, or met a conflict. */
  failed(nowMs: number): ElectionAction {
    return this.#lost(nowMs)
      ? this.#exit(`could not renew the lease for ${this.#renewDeadlineMs} ms`)
      : { kind: 'wait' };
  }

  /** The write went through; `lease` is what the server made of it. */
  written(lease: LeaseState): void {
    this.#renewedMs = this.#sentMs;
    this.#seen = { state: lease, atMs: this.#sentMs };
  }

  /** On SIGTERM: gives the Lease away, so that another need not wait for it to expire. Undefined where we do not hold it. */
  release(): Extract<ElectionAction, { kind: 'write' }> | undefined {
    const lease = this.#seen?.state;
    if (this.#renewedMs === undefined || lease?.holder !== this.#identity) return undefined;
    this.#renewedMs = undefined;
    const { leaseTransitions, resourceVersion } = lease;
    return { kind: 'write', holder: '', leaseTransitions, resourceVersion };
  }

  #lost(nowMs: number): boolean {
    return this.#renewedMs !== undefined && nowMs - this.#renewedMs >= this.#renewDeadlineMs;
  }

  #exit(reason: string): ElectionAction {
    this.#renewedMs = undefined;
    return { kind: 'exit', reason };
  }
}
