// A gang as a plan sees it: its objects, what is to be done about them, and whether pods may start.
import type { Resource } from '../../kube/objects.ts';
import type { Json } from './backend.ts';

export type GangTask =
  | { readonly kind: 'create'; readonly resource: Resource; readonly spec: Json }
  | {
      readonly kind: 'change';
      readonly resource: Resource;
      readonly resourceVersion: string;
      readonly spec: Json;
    };

export interface GangRef {
  readonly resource: Resource;
  readonly uid: string;
}

export interface GangView {
  /** The back-end for a job that has no pods yet: a family, or `none`. Undefined: what is asked for cannot be had, see `lack`. */
  readonly choice?: string;
  /** Why the back-end that is asked for, or that the pods have, cannot be used. */
  readonly lack?: string;
  /** What makes the objects what they should be, in this order. */
  readonly tasks: readonly GangTask[];
  /** Objects that are there, the last made first. */
  readonly present: readonly GangRef[];
  /** Those of them that cannot become what they should be, and those of another back-end. */
  readonly outdated: readonly GangRef[];
  /** The group as it is lets no pod start before so many have places. */
  readonly minimum?: number;
  /** Objects on their way out: others of their name must wait. */
  readonly leaving: boolean;
  /** Why no pod may be created yet, in the scheduler's words. */
  readonly held?: string;
  /** Why the group has no places, in the scheduler's words. */
  readonly words?: string;
}

export const NO_GANG: GangView = { choice: 'none', tasks: [], present: [], outdated: [], leaving: false };
