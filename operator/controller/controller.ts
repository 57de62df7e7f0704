// Runs passes over the keys of a queue: several at a time, one per key, with back-off where a pass throws. Knows no objects.
import type { Key, WorkQueue } from './work-queue.ts';

/** Works on one key; throws where it should be tried again. */
export type Reconcile = (key: Key) => Promise<{ readonly wakeInMs?: number }>;

export interface ControllerOptions {
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  readonly concurrency: number;
  readonly onError: (key: Key, error: unknown, retryInMs: number) => void;
  readonly observe?: (pass: { seconds: number; result: 'success' | 'error' | 'requeue_after' }) => void;
}

export class Controller {
  readonly #options: ControllerOptions;
  #running = 0;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void) | undefined;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  /** Passes under way. */
  get active(): number {
    return this.#running;
  }

  add(key: Key): void {
    this.#options.queue.add(key);
    this.#next();
  }

  addAfter(key: Key, delayMs: number): void {
    this.#options.queue.addAfter(key, delayMs);
    this.#next();
  }

  /** Ends when the passes under way have. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #next(): void {
    const { queue, concurrency } = this.#options;
    while (!this.#stopped && this.#running < concurrency) {
      const key = queue.take();
      if (key === undefined) break;
      this.#running++;
      void this.#pass(key);
    }
    clearTimeout(this.#timer);
    const dueMs = queue.nextDueMs;
    if (!this.#stopped && dueMs !== undefined)
      this.#timer = setTimeout(() => this.#next(), Math.min(dueMs, 2 ** 30));
  }

  async #pass(key: Key): Promise<void> {
    const { queue, reconcile, onError, observe } = this.#options;
    const startedMs = performance.now();
    const seconds = (): number => (performance.now() - startedMs) / 1000;
    try {
      const { wakeInMs } = await reconcile(key);
      observe?.({ seconds: seconds(), result: wakeInMs === undefined ? 'success' : 'requeue_after' });
      queue.done(key);
      if (wakeInMs !== undefined) queue.addAfter(key, wakeInMs);
    } catch (error) {
      observe?.({ seconds: seconds(), result: 'error' });
      onError(key, error, queue.failed(key));
    }
    this.#running--;
    if (this.#running === 0 && this.#stopped) this.#idle?.();
    this.#next();
  }
}
