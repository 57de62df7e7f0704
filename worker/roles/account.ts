// What a job has to do and how far it has come: the plan that its workers agree on, the ledger of its steps, the sum of its norms.
// Sends nothing and tells nobody.
import type { Consistency } from '../../crds/leptonjob.ts';
import { type RoleConfig, serverPlacesIn } from '../../protos/role-config.ts';
import { planChunks, planShards } from '../protocol/chunks.ts';
import { Ledger, type LedgerOptions } from '../protocol/ledger.ts';
import { NormSum } from '../protocol/norm.ts';
import { type Pace, paceOf } from '../protocol/pace.ts';
import { type Plan, parsePlan } from './plan.ts';

export class Account {
  readonly #config: RoleConfig;
  #text = '';
  #plan: Plan | undefined;
  #ledger: Ledger | undefined;
  #norm: NormSum | undefined;
  #stopAsked = false;

  constructor(config: RoleConfig) {
    this.#config = config;
  }

  /** The plan as its worker wrote it; empty before there is one. */
  get text(): string {
    return this.#text;
  }

  /** There is one from the first worker on. */
  get plan(): Plan {
    return this.#plan!;
  }

  /** Undefined before the first worker has come. */
  get ledger(): Ledger | undefined {
    return this.#ledger;
  }

  get norm(): NormSum | undefined {
    return this.#norm;
  }

  /** Throws BAD_MESSAGE, and is as it was. */
  adopt(text: string): void {
    const plan = parsePlan(text);
    this.#text = text;
    this.#plan = plan;
    if (plan.clip.norm !== undefined) this.#norm = new NormSum(this.trainableServers(), plan.clip.norm);
  }

  /** Steps and shares are counted for one number of workers. */
  open(workers: number): Ledger {
    const { steps, stepsPerEpoch } = this.pace(workers);
    const ledger = new Ledger({
      workers,
      steps,
      stepsPerEpoch,
      checkpointEvery: this.#config.spec.checkpoint.everySteps,
      evaluates: this.plan.evaluateSamples > 0,
      ...ledgerOptionsOf(this.plan.consistency),
    });
    if (this.#stopAsked) ledger.step({ kind: 'stop' });
    this.#ledger = ledger;
    return ledger;
  }

  pace(workers: number): Pace {
    return paceOf(this.plan, workers);
  }

  /** Also of every ledger that is opened from now on. */
  stop(): void {
    this.#stopAsked = true;
  }

  trainableServers(): number[] {
    const { chunkLength } = this.#config.testing;
    return planShards(planChunks(this.plan.layout, chunkLength), serverPlacesIn(this.#config))
      .filter(({ chunks }) => chunks.some(({ state }) => !state))
      .map(({ server }) => server);
  }
}

function ledgerOptionsOf(consistency: Consistency): Pick<LedgerOptions, 'backupWorkers' | 'leaseBound'> {
  switch (consistency.mode) {
    case 'bulkSynchronous':
      return { backupWorkers: consistency.backupWorkers };
    case 'staleSynchronous':
      return { leaseBound: consistency.bound };
    case 'asynchronous':
      return { leaseBound: Number.POSITIVE_INFINITY };
    case 'localSteps':
      return {};
  }
}
