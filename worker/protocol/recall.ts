// What a job can go on from after its servers changed: the newest step that all of them, and the coordinator, still hold in memory. Pure.

/** What a server holds of a job: the steps at which its shard is whole. */
export interface Holding {
  readonly steps: readonly number[];
  /** It owns nothing, so it lacks nothing. */
  readonly empty: boolean;
}

export type RecallAnswer =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'step'; readonly step: number }
  /** There is no such step: a checkpoint is to be found. */
  | { readonly kind: 'nothing' };

/**
 * Asks everybody once. Servers of one job are at most one step apart and keep two, and the coordinator keeps the ledger of two steps, so
 * there is a common one wherever nobody has lost its memory.
 */
export class Recall {
  readonly #servers: number;
  readonly #ledgerSteps: readonly number[];
  readonly #holdings = new Map<number, Holding>();

  /** `ledgerSteps`: of which the coordinator holds the ledger. */
  constructor(servers: number, ledgerSteps: readonly number[]) {
    this.#servers = servers;
    this.#ledgerSteps = ledgerSteps;
  }

  add(server: number, holding: Holding): RecallAnswer {
    this.#holdings.set(server, holding);
    if (this.#holdings.size < this.#servers) return { kind: 'waiting' };
    const holdings = [...this.#holdings.values()];
    const common = this.#ledgerSteps.filter((step) =>
      holdings.every(({ steps, empty }) => empty || steps.includes(step)),
    );
    return common.length > 0 ? { kind: 'step', step: Math.max(...common) } : { kind: 'nothing' };
  }
}
