// Carries out the steps of a plan. A child that exists already is as good as made, if it is this job's; if it is somebody else's it
// is left alone and reported. Decides nothing else.
import type { OperatorConfig } from '../config.ts';
import type { KubeApi } from '../kube/api.ts';
import { type ApiError, isStatus } from '../kube/errors.ts';
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
import { compareVersions } from '../kube/store.ts';
import { makeCertificates } from './certificates.ts';
import { configMapOf, networkPolicyOf, secretOf, serviceOf } from './children.ts';
import type { GangTask } from './gang/gang-view.ts';
import type { Gangs } from './gang/gangs.ts';
import type { ChildKind, JobEvent, LeptonJobObject, Step } from './job.ts';
import { LABELS, LEPTON_JOBS, podName } from './names.ts';
import { childMetadata, nextWorkersOf, ownerOf, type Place, podLabelsOf, podOf, workersOf } from './pod.ts';
import { identityFrom, type Run, type Runs } from './runs.ts';
import type { World } from './world.ts';

type PodDeletion = Extract<Step, { kind: 'deletePod' }>;

export interface ApplyOptions {
  readonly api: KubeApi;
  readonly world: Pick<World, 'pods'>;
  readonly config: OperatorConfig;
  readonly runs: Runs;
  readonly gangs: Pick<Gangs, 'memberOf'>;
  readonly nowMs: () => number;
  readonly announce: (job: LeptonJobObject, event: JobEvent) => void;
}

/** Names of pods, for people. */
interface Done {
  readonly created: string[];
  readonly deleted: string[];
}

const CONFLICT_MS = 30_000;
const LISTED = 8;
/** As long as that is believed without asking again. */
const NAMESPACE_ENDS_MS = 60_000;
/** Steps of one job that are under way at once. */
const AT_ONCE = 32;

export class Applier {
  readonly #options: ApplyOptions;

  constructor(options: ApplyOptions) {
    this.#options = options;
  }

  /** Children before pods, which need them. Throws ApiError; what was done until then stays done. */
  async apply(job: LeptonJobObject, steps: readonly Step[]): Promise<void> {
    const run = this.#options.runs.of(job);
    delete run.rejected;
    const done: Done = { created: [], deleted: [] };
    try {
      await this.#all(job, run, steps.filter(isOfChild), done);
      // A child's name that somebody else has: no pod can work without it.
      if (!run.conflict)
        await this.#all(
          job,
          run,
          steps.filter((step) => !isOfChild(step)),
          done,
        );
    } finally {
      this.#tell(job, done);
    }
  }

  async #all(job: LeptonJobObject, run: Run, steps: readonly Step[], done: Done): Promise<void> {
    // What was refused may be refused again: one asks for all.
    const atOnce = run.rejections > 0 ? 1 : Math.min(AT_ONCE, steps.length);
    const waiting = steps.values();
    let failed = false;
    const results = await Promise.allSettled(
      Array.from({ length: atOnce }, async () => {
        for (const step of waiting) {
          if (failed) return;
          await this.#step(job, run, step, done).catch((error: unknown) => {
            failed = true;
            throw error;
          });
        }
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** One event for all that a pass made, not one for each pod: a job of a thousand pods would drown its own history. */
  #tell(job: LeptonJobObject, { created, deleted }: Done): void {
    const tell = (reason: JobEvent['reason'], verb: string, names: readonly string[]): void => {
      if (names.length === 0) return;
      const message = `${verb} pod${names.length > 1 ? 's' : ''} ${listed(names)}`;
      this.#options.announce(job, { type: 'Normal', reason, message });
    };
    tell('SuccessfulCreatePod', 'created', created.toSorted());
    tell('SuccessfulDeletePod', 'deleted', deleted.toSorted());
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

  async #step(job: LeptonJobObject, run: Run, step: Step, done: Done): Promise<void> {
    const { api, config, gangs } = this.#options;
    switch (step.kind) {
      case 'createChild':
        await this.#createChild(job, run, step.child);
        return;
      case 'arrangeGang':
        for (const task of step.tasks) await this.#arrange(job, run, task);
        return;
      case 'deleteGang':
        for (const { resource, uid } of step.objects)
          await ignoring([404, 409], api.delete(resource, job.metadata, { uid }));
        return;
      case 'createPod': {
        const pod = await this.#create(job, run, PODS, podOf(job, step, config, gangs.memberOf(job)));
        if (pod) {
          run.writtenPod = later(run.writtenPod, pod.metadata.resourceVersion);
          done.created.push(pod.metadata.name);
        }
        return;
      }
      case 'deletePod':
        await this.#deletePod(job, step, done);
        return;
      case 'stopRun':
        // Asked again at the next pass; the coordinator may be gone already.
        await run.link?.stop().catch(() => {});
        return;
      case 'resizeRun':
        await run.link?.resize(step.workers, step.gone).catch(() => {});
        return;
      case 'deleteJob':
        await ignoring([404, 409], api.delete(LEPTON_JOBS, job.metadata, { uid: job.metadata.uid }));
    }
  }

  async #deletePod(job: LeptonJobObject, { name, uid, force }: PodDeletion, done: Done): Promise<void> {
    const { api, world } = this.#options;
    const { namespace } = job.metadata;
    try {
      await api.delete(PODS, { namespace, name }, { uid, ...(force ? { gracePeriodSeconds: 0 } : {}) });
      done.deleted.push(name);
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error;
      // It is gone, whatever the store knows: the news of it may be late or lost.
      world.pods.remove({
        metadata: { name, uid, resourceVersion: '', ...(namespace ? { namespace } : {}) },
      });
    }
  }

  async #createChild(job: LeptonJobObject, run: Run, child: ChildKind): Promise<void> {
    switch (child) {
      case 'service':
        await this.#create(job, run, SERVICES, serviceOf(job));
        return;
      case 'config':
        await this.#create(job, run, CONFIG_MAPS, configMapOf(job, workersOf(job)));
        return;
      case 'nextConfig':
        await this.#create(job, run, CONFIG_MAPS, configMapOf(job, nextWorkersOf(job)));
        return;
      case 'networkPolicy':
        await this.#create(job, run, NETWORK_POLICIES, networkPolicyOf(job));
        return;
      case 'certificates': {
        const files = await makeCertificates(job.metadata.uid, this.#options.nowMs());
        if (await this.#create(job, run, SECRETS, secretOf(job, files))) run.identity = identityFrom(files);
        else await this.#options.runs.findCertificates(job);
      }
    }
  }

  /** Objects of gang schedulers have the name of their job. */
  async #arrange(job: LeptonJobObject, run: Run, task: GangTask): Promise<void> {
    const { resource, spec } = task;
    if (task.kind === 'create') {
      const object = { metadata: childMetadata(job, job.metadata.name), spec };
      await this.#create(job, run, resource, object);
      return;
    }
    const { resourceVersion } = task;
    await this.#options.api.mergePatch(resource, job.metadata, { metadata: { resourceVersion }, spec });
  }

  /** Undefined where it was there already. */
  async #create(
    job: LeptonJobObject,
    run: Run,
    resource: Resource,
    object: KubeObject,
  ): Promise<Stored | undefined> {
    try {
      return await this.#options.api.create(resource, object);
    } catch (error) {
      if (isStatus(error, 409)) await this.#mustBeOurs(job, run, resource, object);
      else if (isRefusal(error)) this.#rejected(job, run, error);
      else throw error;
      return undefined;
    }
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
      return;
    }
    // One that the deletion of an earlier job of this name has not reached yet goes by itself.
    if (found.metadata.deletionTimestamp !== undefined) return;
    const message = `${resource.kind} ${metadata.name} exists and does not belong to this job: it is left as it is`;
    run.conflict = { message, untilMs: this.#options.nowMs() + CONFLICT_MS };
    this.#options.announce(job, { type: 'Warning', reason: 'NameConflict', message });
  }

  /** Quota, admission, validation: the server's words go to the status, and it is tried again. */
  #rejected(job: LeptonJobObject, run: Run, error: ApiError): never {
    const on = /exceeded quota/.test(error.message) ? 'Quota' : 'Admission';
    run.rejected = { on, message: error.message.slice(0, 2048) };
    if (isTerminating(error)) run.namespaceEndsUntilMs = this.#options.nowMs() + NAMESPACE_ENDS_MS;
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

async function ignoring<T>(statuses: readonly number[], work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isStatus(error, ...statuses)) return undefined;
    throw error;
  }
}

function later(known: string | undefined, version: string): string {
  return known !== undefined && compareVersions(known, version) > 0 ? known : version;
}

const isOfChild = ({ kind }: Step): boolean => kind === 'createChild';

function listed(names: readonly string[]): string {
  const more = names.length - LISTED;
  return names.slice(0, LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
