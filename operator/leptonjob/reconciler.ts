// One pass over one job: observe, plan, apply, write the status. No decisions: those are in plan.ts.
import type { LeptonJobStatus } from '../../crds/status.ts';
import type { OperatorConfig } from '../config.ts';
import type { Reconcile } from '../controller/controller.ts';
import type { Key } from '../controller/work-queue.ts';
import type { KubeApi } from '../kube/api.ts';
import { isStatus } from '../kube/errors.ts';
import { PODS, type Resource } from '../kube/objects.ts';
import { Applier } from './apply.ts';
import { isIncomplete } from './certificates.ts';
import { newsOf } from './describe.ts';
import type { Gangs } from './gang/gangs.ts';
import type { JobEvent, LeptonJobObject, Plan, Seen } from './job.ts';
import { LEPTON_JOBS } from './names.ts';
import { Observer } from './observe.ts';
import { planLeptonJob } from './plan.ts';
import { isOurs } from './rules/beginning.ts';
import { hasBegun, isFinished } from './rules/lifetime.ts';
import { type Run, type Runs, unseenInMs } from './runs.ts';
import type { World } from './world.ts';

export interface ReconcilerOptions {
  readonly api: KubeApi;
  readonly world: World;
  readonly runs: Runs;
  readonly gangs: Pick<Gangs, 'of' | 'memberOf'>;
  readonly config: OperatorConfig;
  readonly nowMs: () => number;
  /** Of a clock that never goes back: for what this process remembers. */
  readonly monotonicMs: () => number;
  readonly announce: (job: LeptonJobObject, event: JobEvent) => void;
  /** Called once for every status that went through. */
  readonly onWritten?: (job: LeptonJobObject, before: LeptonJobStatus | undefined, plan: Plan) => void;
  /** How long a pass read the stores and decided, without waiting for anything. */
  readonly onPlanned?: (seconds: number) => void;
}

/** A pass that comes before the stores have what this process wrote waits for news of it, or this long. */
const BARRIER_MS = 250;
/** Longer than any news takes that is on its way. */
const LATE_MS = 10_000;
/** A store that lacks what the server has is behind by more. */
const BEHIND_MS = 500;
const FIRST_REJECTION_MS = 500;
const LONGEST_REJECTION_MS = 60_000;

export function leptonJobReconciler(options: ReconcilerOptions): Reconcile {
  const reconciler = new Reconciler(options);
  return (key) => reconciler.pass(key);
}

class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #applier: Applier;
  readonly #observer: Observer;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#applier = new Applier(options);
    this.#observer = new Observer(options);
  }

  async pass(key: Key): Promise<{ wakeInMs?: number }> {
    const { world, runs } = this.#options;
    const job = world.jobs.get(key);
    if (!job || !isOurs(job)) return {}; // deleted: owner references clean up
    const run = runs.of(job);
    const late = this.#lateFor(job, run);
    if (late) return this.#waitFor(late, run);
    delete run.lateSinceMs;
    const contestedMs = this.#contestedMs(job, run);
    if (contestedMs > 0) return { wakeInMs: contestedMs };
    const { status = {} } = job;
    const certified = !hasBegun(status) || isFinished(status) || (await this.#certified(job, run));
    const startedMs = performance.now();
    const seen = this.#observer.see(job, run, certified);
    const plan = planLeptonJob(seen);
    this.#options.onPlanned?.((performance.now() - startedMs) / 1000);
    if (plan.kind === 'record' && (await this.#applier.stillThere(job, plan.absent)))
      return { wakeInMs: BEHIND_MS };
    if (isBlind(plan, run) && !(await this.#isThere(job))) return { wakeInMs: BEHIND_MS };
    return await this.#carryOut(seen, run, plan);
  }

  /** A job without any other child has no certificates either: where that is wrong, making them says so. */
  async #certified(job: LeptonJobObject, run: Run): Promise<boolean> {
    const { world, runs } = this.#options;
    const { uid } = job.metadata;
    const { nowMs } = this.#options;
    if (!isIncomplete(run.generations, nowMs())) return true;
    const begun = [world.services, world.configMaps].some((store) => store.group(uid).length > 0);
    return begun && (await runs.findCertificates(job));
  }

  /**
   * A process that begins has lists of different moments: pods that it misses may have gone with their job. One that the server still
   * has after the pods were listed had not been deleted by then.
   */
  async #isThere({ metadata: { namespace, name, uid } }: LeptonJobObject): Promise<boolean> {
    const { items } = await this.#options.api.list<LeptonJobObject>(LEPTON_JOBS, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
    });
    return items.some(({ metadata }) => metadata.uid === uid && metadata.deletionTimestamp === undefined);
  }

  /** Plans are made from what this process wrote last, or from something newer. Gives what has not been heard of yet. */
  #lateFor(job: LeptonJobObject, { writtenJob, writtenPod }: Run): Resource | undefined {
    const { world } = this.#options;
    if (
      writtenJob !== undefined &&
      writtenJob !== job.metadata.resourceVersion &&
      !world.hasSeen(LEPTON_JOBS, writtenJob)
    )
      return LEPTON_JOBS;
    return writtenPod === undefined || world.hasSeen(PODS, writtenPod) ? undefined : PODS;
  }

  /** A watch that is late for long may be half a connection, on which nothing will ever come. */
  #waitFor(late: Resource, run: Run): { wakeInMs: number } {
    const { world, monotonicMs } = this.#options;
    run.lateSinceMs ??= monotonicMs();
    if (monotonicMs() - run.lateSinceMs > LATE_MS) {
      run.lateSinceMs = monotonicMs();
      world.watchAnew(late);
    }
    return { wakeInMs: BARRIER_MS };
  }

  /** Somebody else writes the status as well. */
  #contestedMs(job: LeptonJobObject, { writer }: Run): number {
    const { monotonicMs, announce } = this.#options;
    const before = writer.foreign;
    const waitMs = writer.delayMs(job.status, job.metadata.resourceVersion, monotonicMs());
    if (writer.foreign > before && waitMs > 0)
      announce(job, {
        type: 'Warning',
        reason: 'StatusConflict',
        message: 'somebody else writes the status of this job',
      });
    return waitMs;
  }

  async #carryOut(seen: Seen, run: Run, plan: Plan): Promise<{ wakeInMs?: number }> {
    const { job } = seen;
    let failure: unknown;
    if (plan.kind === 'act' && plan.steps.length > 0)
      await this.#applier.apply(job, plan.steps).catch((error: unknown) => {
        failure = error;
      });
    // What the server said against it is part of what there is to tell.
    const told =
      run.rejected !== seen.rejected || run.conflict
        ? planLeptonJob({ ...seen, ...this.#news(job, run) })
        : plan;
    const status = plan.kind === 'record' ? plan.status : told.status;
    const tellInMs = await this.#writeStatus(seen, run, status, plan);
    if (failure && run.rejected) return { wakeInMs: this.#afterRejection(run) };
    if (failure) throw failure;
    run.rejections = 0;
    const again = run.conflict ? run.conflict.untilMs - this.#options.monotonicMs() : undefined;
    // Of several times that a job is to be looked at the queue keeps the earliest: every pass asks for the next.
    const lossInMs = this.#options.world.lossInMs(
      seen.pods.map(({ node }) => node),
      this.#options.nowMs(),
    );
    const planned = plan.kind === 'act' ? (plan.wakeInMs ?? again) : undefined;
    const unseen = unseenInMs(run, this.#options.monotonicMs());
    const wakeInMs = [planned, tellInMs, lossInMs, unseen].reduce(soonest);
    return wakeInMs === undefined ? {} : { wakeInMs: Math.max(1, wakeInMs) };
  }

  /** What was refused is asked again: nobody says when there is room, or when the rule has changed. */
  #afterRejection(run: Run): number {
    const left = (run.namespaceEndsUntilMs ?? 0) - this.#options.monotonicMs();
    const backOffMs = Math.min(FIRST_REJECTION_MS * 2 ** run.rejections++, LONGEST_REJECTION_MS);
    return Math.max(left, backOffMs);
  }

  #news(job: LeptonJobObject, run: Run): Pick<Seen, 'rejected' | 'refusal'> {
    const refusal = this.#observer.refusalOf(job, run);
    return { ...(run.rejected ? { rejected: run.rejected } : {}), ...(refusal ? { refusal } : {}) };
  }

  /**
   * At most once per pass, on condition that the job is the one that the plan was made for. What is no decision waits a while for
   * more of its kind: gives when it is due.
   */
  async #writeStatus(
    { job, limits }: Seen,
    run: Run,
    status: LeptonJobStatus,
    plan: Plan,
  ): Promise<number | undefined> {
    const news = newsOf(job.status, status);
    if (job.metadata.deletionTimestamp !== undefined || news === 'none') return undefined;
    const patienceMs = news === 'standing' ? 0 : news === 'counts' ? limits.countsMs : limits.progressMs;
    const toldMs = this.#options.monotonicMs();
    const dueInMs = run.toldMs + patienceMs - toldMs;
    if (plan.kind === 'act' && dueInMs > 0) return news === 'counts' ? dueInMs : undefined;
    const { api, announce, onWritten } = this.#options;
    run.writer.sent(status);
    try {
      const written = await api.replace<LeptonJobObject>(
        LEPTON_JOBS,
        { ...job, status } as LeptonJobObject,
        'status',
      );
      run.writtenJob = written.metadata.resourceVersion;
      run.toldMs = toldMs;
      run.writer.written(written.status ?? {});
    } catch (error) {
      if (isStatus(error, 404)) return undefined; // deleted meanwhile
      throw error;
    }
    if (plan.kind === 'record') for (const event of plan.events) announce(job, event);
    onWritten?.(job, job.status, plan);
    return undefined;
  }
}

/** Makes pods of a job whose status this process has not written yet. */
function isBlind(plan: Plan, { writtenJob }: Run): boolean {
  return (
    writtenJob === undefined && plan.kind === 'act' && plan.steps.some(({ kind }) => kind === 'createPod')
  );
}

function soonest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
