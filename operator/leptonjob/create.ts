// Makes the objects of a job. One that exists already is as good as made if it is this job's, and gets back what somebody took from
// it; one that is somebody else's is left alone and reported. What is made, and when, is not decided here.
import type { KubeApi } from '../kube/api.ts';
import { type ApiError, ignoring, isStatus } from '../kube/errors.ts';
import {
  CONFIG_MAPS,
  controllerOf,
  type KubeObject,
  NETWORK_POLICIES,
  type ObjectMeta,
  PODS,
  type Resource,
  SECRETS,
  SERVICES,
  type Stored,
} from '../kube/objects.ts';
import type { JobEvent, LeptonJobObject } from './job.ts';
import { LABELS, podName } from './names.ts';
import { ownerOf, type Place, podLabelsOf } from './ownership.ts';
import { madeKey, type Run } from './runs.ts';

export interface CreatorOptions {
  readonly api: KubeApi;
  /** Of a clock that never goes back: what is believed for a while must not be believed for longer. */
  readonly monotonicMs: () => number;
  readonly announce: (job: LeptonJobObject, event: JobEvent) => void;
}

/** Children that a watch will tell of; pods have a barrier of their own. */
const REMEMBERED: ReadonlySet<Resource> = new Set([CONFIG_MAPS, NETWORK_POLICIES, SERVICES]);
const CONFLICT_MS = 30_000;
/** As long as that is believed without asking again. */
const NAMESPACE_ENDS_MS = 60_000;

export class Creator {
  readonly #options: CreatorOptions;

  constructor(options: CreatorOptions) {
    this.#options = options;
  }

  /** Undefined where it was there already. */
  async create(
    job: LeptonJobObject,
    run: Run,
    resource: Resource,
    object: KubeObject,
  ): Promise<Stored | undefined> {
    try {
      const made = await this.#options.api.create<Stored>(resource, object);
      this.#remember(run, resource, made);
      return made;
    } catch (error) {
      if (isStatus(error, 409)) await this.#mustBeOurs(job, run, resource, object);
      else if (isRefusal(error)) this.#refused(job, run, error);
      else throw error;
      return undefined;
    }
  }

  /**
   * Whether a pod that no watch knows exists all the same: the store is behind, or somebody took the pod's labels, which are given
   * back.
   */
  async stillThere(job: LeptonJobObject, place: Omit<Place, 'attempt'> | undefined): Promise<boolean> {
    if (!place) return false;
    const { api } = this.#options;
    const { namespace } = job.metadata;
    const name = podName(job.metadata.name, place.role, place.rank);
    const pod = await ignoring([404], api.get<Stored>(PODS, { namespace, name }));
    if (!pod || !isOf(job, pod)) return false;
    await this.#repair(job, PODS, pod, podLabelsOf(job, { ...place, attempt: job.status?.attempt ?? 0 }));
    return true;
  }

  async #mustBeOurs(
    job: LeptonJobObject,
    run: Run,
    resource: Resource,
    { metadata }: KubeObject,
  ): Promise<void> {
    const found = await ignoring([404], this.#options.api.get<Stored>(resource, metadata));
    if (!found) return;
    if (resource === SECRETS) {
      // There is no right to change secrets: one without its owner is reported.
      if (controllerOf(found)?.uid === job.metadata.uid) return;
    } else if (isOf(job, found)) {
      await this.#repair(job, resource, found, metadata.labels);
      this.#remember(run, resource, found);
      return;
    }
    // One that the deletion of an earlier job of this name has not reached yet goes by itself.
    if (found.metadata.deletionTimestamp !== undefined) return;
    const message = `${resource.kind} ${metadata.name} exists and does not belong to this job: it is left as it is`;
    run.conflict = { message, untilMs: this.#options.monotonicMs() + CONFLICT_MS };
    this.#options.announce(job, { type: 'Warning', reason: 'NameConflict', message });
  }

  #remember(run: Run, resource: Resource, { metadata }: Stored): void {
    if (REMEMBERED.has(resource)) run.made.set(madeKey(resource, metadata.name), this.#options.monotonicMs());
  }

  /** Gives back what somebody took: without its labels no watch shows the object, without its owner nobody would delete it. */
  async #repair(
    job: LeptonJobObject,
    resource: Resource,
    found: Stored,
    wanted: ObjectMeta['labels'] = {},
  ): Promise<void> {
    const { labels: known = {}, ownerReferences = [], uid, resourceVersion } = found.metadata;
    const labels = Object.fromEntries(Object.entries(wanted).filter(([name]) => known[name] === undefined));
    const orphaned = controllerOf(found) === undefined;
    if (Object.keys(labels).length === 0 && !orphaned) return;
    // The whole list of owners is written: on condition that it is the one that was read.
    const owners = orphaned ? { resourceVersion, ownerReferences: [...ownerReferences, ownerOf(job)] } : {};
    const metadata = { uid, labels, ...owners };
    await ignoring([404, 409], this.#options.api.mergePatch(resource, found.metadata, { metadata }));
  }

  /** Quota, admission, validation: the server's words go to the status, and it is tried again. */
  #refused(job: LeptonJobObject, run: Run, error: ApiError): never {
    const on = /exceeded quota/.test(error.message) ? 'Quota' : 'Admission';
    run.rejected = { on, message: error.message.slice(0, 2048) };
    if (isTerminating(error)) run.namespaceEndsUntilMs = this.#options.monotonicMs() + NAMESPACE_ENDS_MS;
    this.#options.announce(job, { type: 'Warning', reason: 'FailedCreatePod', message: error.message });
    throw error;
  }
}

/** By its owner; where somebody took that, by the identity of the job that its label keeps. */
function isOf(job: LeptonJobObject, found: Stored): boolean {
  const owner = controllerOf(found);
  return (owner ? owner.uid : found.metadata.labels?.[LABELS.jobUid]) === job.metadata.uid;
}

/** Of quota, admission or validation; a webhook that cannot be asked is one that does not agree. */
function isRefusal(error: unknown): error is ApiError {
  return isStatus(error, 400, 403, 422) || (isStatus(error, 500) && /calling webhook/.test(error.message));
}

/** The namespace is being deleted: nothing can be created in it any more. */
function isTerminating(error: ApiError): boolean {
  return error.status === 403 && /because it is being terminated/.test(error.message);
}
