// Keeps a Store equal to what the server has: list, then watch, again and again. A broken, silent or lying watch is begun anew.
// After client-go's tools/cache/reflector.go.
import type { IncomingMessage } from 'node:http';
import type { KubeApi, ListOptions } from './api.ts';
import { pause } from './client.ts';
import { ApiError, apiErrorOf } from './errors.ts';
import { pathOf, type Resource, type Stored } from './objects.ts';
import { type Change, compareVersions, type Store } from './store.ts';

export interface ReflectorOptions<T extends Stored> {
  readonly api: KubeApi;
  readonly resource: Resource;
  readonly store: Store<T>;
  readonly scope?: Omit<ListOptions, 'signal'>;
  /** Called for every change; must not throw. */
  readonly onChange: (change: Change<T>) => void;
  readonly onError?: (error: unknown) => void;
  /** Drops what nobody reads, before it is kept. */
  readonly trim?: (object: T) => T;
  /** A watch without a word for this long counts as dead. Bookmarks come every 75 s at least. Default 90 s. */
  readonly silentMs?: number;
  /** What a watch has lost is found by the next list. Default half an hour. */
  readonly relistMs?: number;
}

export interface ReflectorCounts {
  lists: number;
  watches: number;
  lastHeardMs: number;
}

interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

const FIRST_BACK_OFF_MS = 800;
const LONGEST_BACK_OFF_MS = 30_000;
/** A watch that lived this long starts the back-off anew. */
const HEALTHY_MS = 120_000;
/** So many lists from the past are refused: some two minutes. */
const MAX_STALE_LISTS = 10;
/** Longest line: an object is at most 1.5 MiB in etcd, some more as JSON. */
const MAX_LINE_BYTES = 32 * 2 ** 20;

class StaleListError extends Error {}

export class Reflector<T extends Stored> {
  readonly counts: ReflectorCounts = { lists: 0, watches: 0, lastHeardMs: 0 };
  readonly #options: ReflectorOptions<T>;
  readonly #stop = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  /** The newest version that was heard; empty: list again. */
  #version = '';
  /** The same, also after 410. */
  #newest = '';
  #staleLists = 0;
  #listedMs = 0;
  #endWatch: () => void = () => {};
  #backOffMs = FIRST_BACK_OFF_MS;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  /** Resolves when the first list is in the store. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Every change up to this version is in the store. */
  get version(): string {
    return this.#version;
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The server has said more than the watch tells: it is begun anew where it stands. */
  watchAnew(): void {
    this.#endWatch();
  }

  /** Runs until it is stopped; never throws. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const { relistMs = 1_800_000 } = this.#options;
    while (!signal.aborted) {
      const startedMs = performance.now();
      try {
        if (this.#version === '' || performance.now() - this.#listedMs > relistMs) await this.#list();
        await this.#watch();
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error);
      }
      if (performance.now() - startedMs > HEALTHY_MS) this.#backOffMs = FIRST_BACK_OFF_MS;
      await pause(this.#backOffMs * Math.random(), signal);
      this.#backOffMs = Math.min(this.#backOffMs * 2, LONGEST_BACK_OFF_MS);
    }
  }

  #failed(error: unknown): void {
    // 410: the version that we know of is forgotten. A broken line: what we know may be wrong.
    const gone = error instanceof ApiError && error.status === 410;
    if (gone || error instanceof SyntaxError || error instanceof RangeError) this.#version = '';
    if (error instanceof ApiError && error.retryAfterMs !== undefined)
      this.#backOffMs = Math.max(this.#backOffMs, Math.min(error.retryAfterMs, LONGEST_BACK_OFF_MS));
    if (!gone) this.#options.onError?.(error);
  }

  async #list(): Promise<void> {
    const { api, resource, store, scope, onChange } = this.#options;
    this.counts.lists++;
    const options = { ...scope, signal: this.#stop.signal };
    const { metadata, items } = await api.list<T>(resource, options, (item) => this.#trim(item));
    this.#heard();
    if (this.#isFromThePast(metadata.resourceVersion))
      throw new StaleListError(
        `list of ${resource.plural}: expected version ${this.#newest} or later, got ${metadata.resourceVersion}`,
      );
    for (const change of store.replace(items)) onChange(change);
    this.#version = metadata.resourceVersion;
    this.#newest = metadata.resourceVersion;
    this.#listedMs = performance.now();
    this.#synced.resolve();
  }

  /** A server that lags behind what another has said; one that says so for long was set back for good, from a backup. */
  #isFromThePast(version: string): boolean {
    this.#staleLists = compareVersions(version, this.#newest) < 0 ? this.#staleLists + 1 : 0;
    return this.#staleLists > 0 && this.#staleLists <= MAX_STALE_LISTS;
  }

  async #watch(): Promise<void> {
    const { api, resource, scope, silentMs = 90_000 } = this.#options;
    this.counts.watches++;
    const watch = new AbortController();
    const end = (): void => watch.abort();
    this.#endWatch = end;
    this.#stop.signal.addEventListener('abort', end);
    const opening = setTimeout(end, 30_000);
    try {
      const stream = await api.client.stream({
        method: 'GET',
        path: pathOf(resource, { namespace: scope?.namespace }),
        query: {
          labelSelector: scope?.labelSelector,
          fieldSelector: scope?.fieldSelector,
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: this.#version,
          timeoutSeconds: 300 + Math.floor(Math.random() * 300),
        },
        signal: watch.signal,
      });
      clearTimeout(opening);
      await this.#read(stream, silentMs, end);
    } finally {
      clearTimeout(opening);
      this.#stop.signal.removeEventListener('abort', end);
      watch.abort();
    }
  }

  async #read(stream: IncomingMessage, silentMs: number, end: () => void): Promise<void> {
    let watchdog = setTimeout(end, silentMs);
    let rest = '';
    stream.setEncoding('utf8');
    try {
      for await (const part of stream) {
        clearTimeout(watchdog);
        watchdog = setTimeout(end, silentMs);
        this.#heard();
        const lines = (rest + (part as string)).split('\n');
        rest = lines.pop() as string;
        if (rest.length > MAX_LINE_BYTES)
          throw new RangeError(`watch: a line of more than ${MAX_LINE_BYTES}`);
        for (const line of lines) if (line !== '') this.#event(JSON.parse(line) as WatchEvent<T>);
      }
      if (rest !== '') throw new SyntaxError('watch: the stream ended inside a line');
    } finally {
      clearTimeout(watchdog);
    }
  }

  #event({ type, object }: WatchEvent<T>): void {
    const { store, onChange } = this.#options;
    if (type === 'ERROR') {
      const status = object as unknown as { code?: number };
      throw apiErrorOf('watch', status.code ?? 0, JSON.stringify(object));
    }
    const version = object.metadata.resourceVersion;
    if (type !== 'BOOKMARK') {
      const trimmed = this.#trim(object);
      const changes = type === 'DELETED' ? store.remove(trimmed) : store.put(trimmed);
      for (const change of changes) onChange(change);
    }
    if (compareVersions(version, this.#version) > 0) this.#version = version;
    if (compareVersions(version, this.#newest) > 0) this.#newest = version;
    this.#backOffMs = FIRST_BACK_OFF_MS;
  }

  #trim(object: T): T {
    const { managedFields: _, ...metadata } = object.metadata;
    const light = { ...object, metadata } as T;
    return this.#options.trim?.(light) ?? light;
  }

  #heard(): void {
    this.counts.lastHeardMs = performance.now();
  }
}
