// What is known of one kind of object: by key, and by any index that was asked for. Changes only by what the server said; tells
// apart an object that was made anew under an old name. Does no I/O.
import { keyOf, type Stored } from './objects.ts';

export type Change<T> =
  | { readonly kind: 'added'; readonly object: T }
  | { readonly kind: 'updated'; readonly object: T; readonly before: T }
  | { readonly kind: 'deleted'; readonly object: T };

export type IndexOf<T> = (object: T) => string | undefined;

export class Store<T extends Stored> {
  readonly #objects = new Map<string, T>();
  readonly #indexOf: IndexOf<T>;
  readonly #index = new Map<string, Map<string, T>>();

  /** `indexOf` names the group that an object belongs to, such as the UID of its owner. */
  constructor(indexOf: IndexOf<T> = () => undefined) {
    this.#indexOf = indexOf;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  all(): Iterable<T> {
    return this.#objects.values();
  }

  group(index: string): readonly T[] {
    return [...(this.#index.get(index)?.values() ?? [])];
  }

  /** A whole list: what it lacks has been deleted. */
  replace(objects: readonly T[]): Change<T>[] {
    const listed = new Set(objects.map(keyOf));
    const gone = [...this.#objects].filter(([key]) => !listed.has(key));
    return [
      ...gone.flatMap(([, object]) => this.remove(object)),
      ...objects.flatMap((object) => this.put(object)),
    ];
  }

  /** Older than what is known, or the same: nothing changes. */
  put(object: T): Change<T>[] {
    const key = keyOf(object);
    const before = this.#objects.get(key);
    if (!before) {
      this.#set(key, object);
      return [{ kind: 'added', object }];
    }
    if (before.metadata.uid !== object.metadata.uid) {
      if (isOlder(object, before)) return [];
      this.#drop(key, before);
      this.#set(key, object);
      return [
        { kind: 'deleted', object: before },
        { kind: 'added', object },
      ];
    }
    if (!isOlder(before, object)) return [];
    this.#drop(key, before);
    this.#set(key, object);
    return [{ kind: 'updated', object, before }];
  }

  /** Only the object itself, not a later one under its name. */
  remove(object: T): Change<T>[] {
    const key = keyOf(object);
    const known = this.#objects.get(key);
    if (!known || known.metadata.uid !== object.metadata.uid) return [];
    this.#drop(key, known);
    return [{ kind: 'deleted', object: known }];
  }

  #set(key: string, object: T): void {
    this.#objects.set(key, object);
    const index = this.#indexOf(object);
    if (index === undefined) return;
    const group = this.#index.get(index) ?? new Map<string, T>();
    group.set(key, object);
    this.#index.set(index, group);
  }

  #drop(key: string, object: T): void {
    this.#objects.delete(key);
    const index = this.#indexOf(object);
    const group = index === undefined ? undefined : this.#index.get(index);
    group?.delete(key);
    if (index !== undefined && group?.size === 0) this.#index.delete(index);
  }
}

/** Resource versions of one kind are comparable as numbers (KEP-5504). */
export function isOlder(a: Stored, b: Stored): boolean {
  return compareVersions(a.metadata.resourceVersion, b.metadata.resourceVersion) < 0;
}

export function compareVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
