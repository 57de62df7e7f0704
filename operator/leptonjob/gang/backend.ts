// What a gang scheduler must be told, whoever it is: which objects, in which order, and what makes a pod a member. Types alone.
import type { Resource, Stored } from '../../kube/objects.ts';

export type Json = Readonly<Record<string, unknown>>;

export type Family = 'kubernetes' | 'volcano' | 'schedulerPlugins';

/** The pods of a job as one group that starts together or not at all. */
export interface Gang {
  /** Of the job, and of every object of the group. */
  readonly name: string;
  readonly kind: string;
  readonly apiGroup: string;
  /** Pods that must have places before any of them starts: all servers and workers. */
  readonly minimum: number;
  /** What these pods ask for together. */
  readonly minResources: Readonly<Record<string, string>>;
  readonly queue?: string | undefined;
  readonly priorityClassName?: string | undefined;
}

/** What a pod of the group carries. */
export interface Membership {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Json;
  /** Fields of the spec that the template may set otherwise. */
  readonly defaults?: Json;
}

export interface GangObject extends Stored {
  readonly spec?: Json;
  readonly status?: Json;
}

export interface GangKind {
  readonly resource: Resource;
  readonly specOf: (gang: Gang) => Json;
  /** What has to be changed in `spec` to make it `wanted`; undefined where the server would refuse that. */
  readonly changeOf: (spec: Json, wanted: Json) => Json | undefined;
}

export interface GangBackend {
  readonly family: Family;
  readonly apiVersion: string;
  /** In the order of their creation; pods come after all of them. */
  readonly kinds: readonly [GangKind, ...GangKind[]];
  readonly memberOf: (name: string) => Membership;
  /** Why the group has no places, in the scheduler's words. Of the last kind. */
  readonly wordsOf: (group: GangObject) => string | undefined;
  /** Why no pod may be created yet, in the scheduler's words. Of the last kind. */
  readonly heldOf?: (group: GangObject) => string | undefined;
}

export interface Condition {
  readonly type?: string;
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
}

export function conditionsOf({ status }: GangObject): readonly Condition[] {
  const conditions = status?.['conditions'];
  return Array.isArray(conditions) ? (conditions as Condition[]) : [];
}

/** The whole spec may be changed. */
export const anyChange = (_: Json, wanted: Json): Json => wanted;
/** Nothing may. */
export const noChange = (): undefined => undefined;

/** Whether nothing in `found` says otherwise than `wanted`. A server adds fields, and drops those of features that are off. */
export function agrees(found: unknown, wanted: unknown): boolean {
  if (found === undefined) return true;
  if (Array.isArray(wanted))
    return (
      Array.isArray(found) &&
      found.length === wanted.length &&
      wanted.every((item, i) => agrees(found[i], item))
    );
  if (typeof wanted !== 'object' || wanted === null) return found === wanted;
  if (typeof found !== 'object' || found === null) return false;
  return Object.entries(wanted).every(([key, value]) => agrees((found as Json)[key], value));
}
