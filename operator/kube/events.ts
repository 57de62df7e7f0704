// Events of events.k8s.io/v1, with the correlation of client-go: repeats become a series, floods are dropped. Best effort: an
// event that cannot be written is nobody's failure.
import { createHash } from 'node:crypto';
import type { KubeApi } from './api.ts';
import { EVENTS, type KubeObject, type Stored } from './objects.ts';

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly action: string;
  readonly message: string;
}

export interface RecorderOptions {
  readonly api: KubeApi;
  readonly controller: string;
  readonly instance: string;
  readonly nowMs: () => number;
}

/** Repeats within this time belong to one series. */
const SERIES_MS = 360_000;
/** client-go's spam filter: so many at once for one object, then one per five minutes. */
const BURST = 25;
const REFILL_MS = 300_000;
const SWEEP_MS = 60_000;
/** Messages of events.k8s.io are at most this long. */
const MAX_MESSAGE = 1024;

interface Series {
  readonly name: string;
  count: number;
  lastMs: number;
}

export class EventRecorder {
  readonly #options: RecorderOptions;
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  #sweptMs = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Never throws, never waits. */
  announce(
    about: Stored,
    kind: { readonly apiVersion: string; readonly kind: string },
    event: EventText,
  ): void {
    this.#forget();
    const nowMs = this.#options.nowMs();
    if (!this.#allowed(about.metadata.uid, nowMs)) return;
    const key = [about.metadata.uid, event.type, event.reason, event.message].join('\n');
    const known = this.#series.get(key);
    const write = known ? this.#repeat(about, known, nowMs) : this.#first(about, kind, event, key, nowMs);
    write.catch(() => {});
  }

  async #first(
    about: Stored,
    { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
    event: EventText,
    key: string,
    nowMs: number,
  ): Promise<void> {
    const suffix = createHash('sha256').update(`${key}\n${nowMs}`).digest('hex').slice(0, 16);
    const name = `${about.metadata.name.slice(0, 230)}.${suffix}`;
    const namespace = about.metadata.namespace ?? 'default';
    this.#series.set(key, { name, count: 1, lastMs: nowMs });
    const { metadata } = about;
    await this.#options.api.create(EVENTS, {
      metadata: { name, namespace },
      eventTime: microTime(nowMs),
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance.slice(0, 128),
      regarding: {
        apiVersion,
        kind,
        name: metadata.name,
        namespace,
        uid: metadata.uid,
        resourceVersion: metadata.resourceVersion,
      },
      type: event.type,
      reason: event.reason.slice(0, 128),
      action: event.action.slice(0, 128),
      note: event.message.slice(0, MAX_MESSAGE),
    } as KubeObject);
  }

  async #repeat(about: Stored, series: Series, nowMs: number): Promise<void> {
    series.count++;
    series.lastMs = nowMs;
    const at = { namespace: about.metadata.namespace ?? 'default', name: series.name };
    const body = { series: { count: series.count, lastObservedTime: microTime(nowMs) } };
    await this.#options.api.mergePatch(EVENTS, at, body);
  }

  #allowed(uid: string, nowMs: number): boolean {
    const bucket = this.#buckets.get(uid) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, bucket.tokens + Math.max(0, nowMs - bucket.atMs) / REFILL_MS);
    this.#buckets.set(uid, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    return tokens >= 1;
  }

  /** Objects come and go; what is known of old ones must not pile up. */
  #forget(): void {
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#sweptMs < SWEEP_MS) return;
    this.#sweptMs = nowMs;
    for (const [key, { lastMs }] of this.#series) if (nowMs - lastMs > SERIES_MS) this.#series.delete(key);
    for (const [uid, { atMs }] of this.#buckets) if (nowMs - atMs > REFILL_MS) this.#buckets.delete(uid);
  }
}

/** MicroTime wants six digits; a Date has three. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z');
}
