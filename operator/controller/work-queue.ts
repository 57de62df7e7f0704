// Keys that wait for a pass: each at most once, one pass at a time, with back-off, fair between namespaces. Knows no objects
// and does no work. After client-go's util/workqueue (queue.go, rate_limiting_queue.go, default_rate_limiters.go).

/** `namespace/name`; cluster-scoped keys have no namespace. */
export type Key = string;

export interface WorkQueueOptions {
  /** Milliseconds, from any origin, never going back. */
  readonly nowMs: () => number;
  /** Of the first retry; doubles with every failure in a row. Default 5, as client-go. */
  readonly firstDelayMs?: number;
  /** Default 1,000,000, as client-go. */
  readonly longestDelayMs?: number;
  readonly observe?: QueueObserver;
}

/** What happens to keys, for whoever counts. */
export interface QueueObserver {
  added(): void;
  /** Ready for so long before its pass began. */
  waited(seconds: number): void;
  worked(seconds: number): void;
  retried(): void;
}

/**
 * A key is waiting (later), ready or running. Adding a ready key changes nothing; adding a running key makes it ready again
 * once its pass has ended, so that no change is missed and no key has two passes at a time.
 */
export class WorkQueue {
  readonly #nowMs: () => number;
  readonly #firstDelayMs: number;
  readonly #longestDelayMs: number;
  /** Ready keys by namespace. The namespaces take turns in the order of the map: who was served goes to its end. */
  readonly #ready = new Map<string, Set<Key>>();
  /** Since when. */
  readonly #running = new Map<Key, number>();
  /** Running keys that were added meanwhile. */
  readonly #again = new Set<Key>();
  /** Since when keys are ready, or to be so again. */
  readonly #added = new Map<Key, number>();
  readonly #observe: QueueObserver | undefined;
  readonly #waiting = new Map<Key, number>();
  /** No waiting key is due before this: spares looking through them at every turn. */
  #earliestMs = Number.POSITIVE_INFINITY;
  readonly #failures = new Map<Key, number>();

  constructor({ nowMs, firstDelayMs = 5, longestDelayMs = 1_000_000, observe }: WorkQueueOptions) {
    this.#observe = observe;
    this.#nowMs = nowMs;
    this.#firstDelayMs = firstDelayMs;
    this.#longestDelayMs = longestDelayMs;
  }

  /** Ready keys. */
  get depth(): number {
    let depth = 0;
    for (const keys of this.#ready.values()) depth += keys.size;
    return depth;
  }

  /** How long the passes under way have taken so far. */
  get unfinishedSeconds(): readonly number[] {
    const nowMs = this.#nowMs();
    return [...this.#running.values()].map((sinceMs) => (nowMs - sinceMs) / 1000);
  }

  add(key: Key): void {
    this.#waiting.delete(key);
    if (!this.#added.has(key)) {
      this.#added.set(key, this.#nowMs());
      this.#observe?.added();
    }
    if (this.#running.has(key)) {
      this.#again.add(key);
      return;
    }
    const namespace = namespaceOf(key);
    const keys = this.#ready.get(namespace) ?? new Set();
    keys.add(key);
    this.#ready.set(namespace, keys);
  }

  /** Adds the key once the time has passed; of several times the earliest counts. */
  addAfter(key: Key, delayMs: number): void {
    if (!(delayMs > 0)) {
      this.add(key);
      return;
    }
    const due = this.#nowMs() + delayMs;
    this.#waiting.set(key, Math.min(due, this.#waiting.get(key) ?? Number.POSITIVE_INFINITY));
    this.#earliestMs = Math.min(this.#earliestMs, due);
  }

  /** The next key to pass over, of the namespace whose turn it is; undefined where none is ready. Every key taken must be done. */
  take(): Key | undefined {
    this.#wake();
    const [first] = this.#ready;
    if (!first) return undefined;
    const [namespace, keys] = first;
    const [key] = keys as ReadonlySet<Key>;
    this.#ready.delete(namespace);
    keys.delete(key!);
    if (keys.size > 0) this.#ready.set(namespace, keys);
    const nowMs = this.#nowMs();
    this.#running.set(key!, nowMs);
    this.#observe?.waited((nowMs - (this.#added.get(key!) ?? nowMs)) / 1000);
    this.#added.delete(key!);
    return key;
  }

  /** The pass has ended well: the next failure counts as the first. */
  done(key: Key): void {
    this.#failures.delete(key);
    this.#end(key);
  }

  /** The pass has failed: comes again after the back-off, or at once where the key was added meanwhile. Gives the delay. */
  failed(key: Key): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const delayMs = Math.min(this.#firstDelayMs * 2 ** failures, this.#longestDelayMs);
    this.#observe?.retried();
    if (!this.#again.has(key)) this.addAfter(key, delayMs);
    this.#end(key);
    return delayMs;
  }

  #end(key: Key): void {
    const nowMs = this.#nowMs();
    this.#observe?.worked((nowMs - (this.#running.get(key) ?? nowMs)) / 1000);
    this.#running.delete(key);
    if (this.#again.delete(key)) this.add(key);
  }

  /** Milliseconds until a waiting key may be due; undefined where none waits. */
  get nextDueMs(): number | undefined {
    if (this.#waiting.size === 0) return undefined;
    return Math.max(0, this.#earliestMs - this.#nowMs());
  }

  #wake(): void {
    const now = this.#nowMs();
    if (now < this.#earliestMs) return;
    const due = [...this.#waiting].filter(([, at]) => at <= now).sort(([, a], [, b]) => a - b);
    for (const [key] of due) this.add(key);
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const at of this.#waiting.values()) this.#earliestMs = Math.min(this.#earliestMs, at);
  }
}

function namespaceOf(key: Key): string {
  return key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
}
