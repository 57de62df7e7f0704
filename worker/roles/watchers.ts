// Those who watch a job: launcher, command, operator. Tells them what it is told; decides nothing.
import type { Outbox } from '../transport/streams.ts';

export class Watchers {
  readonly #outboxes = new Set<Outbox<unknown>>();
  #everBeen = false;

  add(outbox: Outbox<unknown>): void {
    this.#everBeen = true;
    this.#outboxes.add(outbox);
    outbox.onClose(() => this.#outboxes.delete(outbox));
  }

  /** `progress` is made only where somebody watches. */
  tell(progress: () => unknown): void {
    if (this.#outboxes.size === 0) return;
    const message = progress();
    for (const outbox of this.#outboxes) outbox.write(message);
  }

  end(): void {
    for (const outbox of [...this.#outboxes]) outbox.end();
  }

  /** Resolves when everybody who watches has seen the end, or after the deadline. */
  async drained(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs;
    while ((this.#outboxes.size > 0 || !this.#everBeen) && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
