// Carries out the steps of a plan. How an object is made, and whose one is that exists already, is in create.ts. Decides nothing.
import type { OperatorConfig } from '../config.ts';
import { ignoring, isStatus } from '../kube/errors.ts';
import { CONFIG_MAPS, NETWORK_POLICIES, PODS, SECRETS, SERVICES } from '../kube/objects.ts';
import { compareVersions } from '../kube/store.ts';
import { generationFrom, makeCertificates } from './certificates.ts';
import { configMapOf, networkPolicyOf, secretOf, serviceOf } from './children.ts';
import { Creator, type CreatorOptions } from './create.ts';
import type { GangTask } from './gang/gang.ts';
import type { Gangs } from './gang/gangs.ts';
import type { ChildKind, JobEvent, LeptonJobObject, Step } from './job.ts';
import { nextWorkersOf, workersOf } from './job-config.ts';
import { LEPTON_JOBS } from './names.ts';
import { childMetadata, type Place } from './ownership.ts';
import { podOf } from './pod.ts';
import type { Run, Runs } from './runs.ts';
import type { World } from './world.ts';

type PodDeletion = Extract<Step, { kind: 'deletePod' }>;

export interface ApplyOptions extends CreatorOptions {
  readonly world: Pick<World, 'pods'>;
  readonly config: OperatorConfig;
  readonly nowMs: () => number;
  readonly runs: Runs;
  readonly gangs: Pick<Gangs, 'memberOf'>;
}

/** Names of pods, for people. */
interface Done {
  readonly created: string[];
  readonly deleted: string[];
}

const LISTED = 8;
/** Steps of one job that are under way at once. */
const AT_ONCE = 32;

export class Applier {
  readonly #options: ApplyOptions;
  readonly #creator: Creator;

  constructor(options: ApplyOptions) {
    this.#options = options;
    this.#creator = new Creator(options);
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

  /** Whether a pod that no watch knows exists all the same. */
  stillThere(job: LeptonJobObject, place: Omit<Place, 'attempt'> | undefined): Promise<boolean> {
    return this.#creator.stillThere(job, place);
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
        const pod = await this.#creator.create(job, run, PODS, podOf(job, step, config, gangs.memberOf(job)));
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
        await this.#creator.create(job, run, SERVICES, serviceOf(job));
        return;
      case 'config':
        await this.#creator.create(job, run, CONFIG_MAPS, configMapOf(job, workersOf(job)));
        return;
      case 'nextConfig':
        await this.#creator.create(job, run, CONFIG_MAPS, configMapOf(job, nextWorkersOf(job)));
        return;
      case 'networkPolicy':
        await this.#creator.create(job, run, NETWORK_POLICIES, networkPolicyOf(job));
        return;
      case 'certificates': {
        const generation = run.generations.length;
        const files = await makeCertificates(job.metadata.uid, this.#options.nowMs(), generation);
        if (await this.#creator.create(job, run, SECRETS, secretOf(job, files, generation)))
          run.generations.push(generationFrom(files));
        else await this.#options.runs.findCertificates(job);
      }
    }
  }

  /** Objects of gang schedulers have the name of their job. */
  async #arrange(job: LeptonJobObject, run: Run, task: GangTask): Promise<void> {
    const { resource, spec } = task;
    if (task.kind === 'create') {
      const object = { metadata: childMetadata(job, job.metadata.name), spec };
      await this.#creator.create(job, run, resource, object);
      return;
    }
    const { resourceVersion } = task;
    await this.#options.api.mergePatch(resource, job.metadata, { metadata: { resourceVersion }, spec });
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
