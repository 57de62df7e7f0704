// The verbs of the API over any resource: get, list in pages, create, patch, delete with preconditions, status. No caching.
import type { KubeClient } from './client.ts';
import { type KubeList, type KubeObject, pathOf, type Resource, type Stored } from './objects.ts';

export interface At {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly signal?: AbortSignal;
}

export interface DeleteOptions {
  /** Only this very object, not a later one of the same name. */
  readonly uid?: string | undefined;
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
}

/** A page is in memory several times over until it is read: as bytes, as text, as objects. */
const PAGE = 100;

export class KubeApi {
  readonly client: KubeClient;

  constructor(client: KubeClient) {
    this.client = client;
  }

  get<T extends Stored>(resource: Resource, at: At, signal?: AbortSignal): Promise<T> {
    return this.client.call<T>({ method: 'GET', path: pathOf(resource, at), ...(signal ? { signal } : {}) });
  }

  /**
   * All objects, in pages that the server serves from one point in time; of each object `trim` says what is kept. Throws 410 when
   * that point has gone meanwhile.
   */
  async list<T extends KubeObject>(
    resource: Resource,
    options: ListOptions = {},
    trim: (item: T) => T = (item) => item,
  ): Promise<KubeList<T>> {
    const { namespace, labelSelector, fieldSelector, signal } = options;
    const items: T[] = [];
    let next: string | undefined;
    for (;;) {
      const page: KubeList<T> = await this.client.call<KubeList<T>>({
        method: 'GET',
        path: pathOf(resource, { namespace }),
        query: { labelSelector, fieldSelector, limit: PAGE, continue: next },
        ...(signal ? { signal } : {}),
      });
      for (const item of page.items) items.push(trim(item));
      next = page.metadata.continue || undefined;
      if (next === undefined) return { metadata: page.metadata, items };
    }
  }

  create<T extends Stored>(
    resource: Resource,
    object: KubeObject,
    query: Record<string, string> = {},
  ): Promise<T> {
    const { namespace } = object.metadata;
    const body = { apiVersion: resource.apiVersion, kind: resource.kind, ...object };
    return this.client.call<T>({ method: 'POST', path: pathOf(resource, { namespace }), body, query });
  }

  /** Whole-object update; its resourceVersion is the precondition. */
  replace<T extends Stored>(resource: Resource, object: KubeObject, subresource?: string): Promise<T> {
    const path = pathOf(resource, { ...object.metadata, subresource });
    const body = { apiVersion: resource.apiVersion, kind: resource.kind, ...object };
    return this.client.call<T>({ method: 'PUT', path, body });
  }

  mergePatch<T extends Stored>(resource: Resource, at: At, body: unknown, subresource?: string): Promise<T> {
    const path = pathOf(resource, { ...at, subresource });
    const contentType = 'application/merge-patch+json';
    return this.client.call<T>({ method: 'PATCH', path, body, contentType });
  }

  async delete(resource: Resource, at: At, options: DeleteOptions = {}): Promise<void> {
    const { uid, gracePeriodSeconds, propagationPolicy = 'Background' } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy,
      ...(uid === undefined ? {} : { preconditions: { uid } }),
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    };
    await this.client.call({ method: 'DELETE', path: pathOf(resource, at), body });
  }
}
