// Looks at a job while it is disturbed: its steps, and every pod that it ever had.
import assert from 'node:assert/strict';
import { PODS } from '../../operator/kube/objects.ts';
import { LABELS } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import type { Fixture } from './fixture.ts';

const EVERY_MS = 200;

export class Observer implements AsyncDisposable {
  /** As the status had them, in the order of time. */
  readonly steps: number[] = [];
  /** `role-rank@attempt` -> UIDs. */
  readonly pods = new Map<string, Set<string>>();
  readonly #fixture: Fixture;
  readonly #name: string;
  readonly #done: Promise<void>;
  #over = false;

  constructor(fixture: Fixture, name: string) {
    this.#fixture = fixture;
    this.#name = name;
    this.#done = this.#watch();
  }

  /** Steps that were undone: the largest fall. */
  get undone(): number {
    return Math.max(0, ...this.steps.map((step, at) => Math.max(0, ...this.steps.slice(0, at)) - step));
  }

  /** Never two pods of one role, rank and attempt. */
  assertOnePodEach(): void {
    for (const [place, uids] of this.pods) assert.equal(uids.size, 1, `${place}: ${[...uids].join(' ')}`);
  }

  async #watch(): Promise<void> {
    while (!this.#over) {
      await this.#look().catch(() => {}); // a request that fails is made again
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }

  async #look(): Promise<void> {
    const labelSelector = `${LABELS.jobName}=${this.#name}`;
    const { items } = await this.#fixture.plane.api.list<Pod>(PODS, { namespace: 'default', labelSelector });
    for (const { metadata } of items) {
      const { labels = {} } = metadata;
      const place = `${labels[LABELS.role]}-${labels[LABELS.rank]}@${labels[LABELS.attempt]}`;
      this.pods.set(place, (this.pods.get(place) ?? new Set()).add(metadata.uid));
    }
    const { status } = await this.#fixture.job(this.#name);
    const step = status?.progress?.step;
    if (step !== undefined && step !== this.steps.at(-1)) this.steps.push(step);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await this.#done;
  }
}
