// What is known of each job beside the API server's objects: the line to its coordinator, its certificates, refusals. All of it
// can be lost at any time: it is found again. Keyed by UID.
import type { PhaseTimes } from '../../protos/phases.ts';
import type { KubeApi } from '../kube/api.ts';
import { isStatus } from '../kube/errors.ts';
import { controllerOf, type Resource, SECRETS, type Stored } from '../kube/objects.ts';
import { type Generation, generationFrom, identityOf, isIncomplete } from './certificates.ts';
import { type CoordinatorLink, openLink } from './coordinator-link.ts';
import type { LeptonJobObject, PodView, Report, Seen } from './job.ts';
import { certificatesName } from './names.ts';
import { PhaseTotals } from './phase-totals.ts';
import { isReady, type Pod } from './pod-view.ts';
import { SingleWriter } from './single-writer.ts';

export interface Run {
  /** Of its certificates, oldest first: their secrets are there and ours. */
  readonly generations: Generation[];
  link?: CoordinatorLink;
  /** By its pod; a line that knocks ever more seldom need not wait longer then. */
  coordinatorReady?: boolean;
  report?: Report;
  /** Of all its coordinators that this process has heard. */
  readonly phases: PhaseTotals;
  /** As it was at the last pass. */
  job?: LeptonJobObject;
  /** Since the coordinator was last heard, counted while this process listened; absent before it was heard. */
  silenceMs?: number;
  /** When, by the clock of `tick`. */
  heardMs?: number;
  rejected?: Seen['rejected'];
  /** Refused creations in a row. */
  rejections: number;
  /** The job's namespace is being deleted, for all that is known until then. */
  namespaceEndsUntilMs?: number;
  readonly writer: SingleWriter;
  conflict?: { readonly message: string; readonly untilMs: number };
  /** What is wrong with this generation of the spec. */
  checked?: { readonly generation: number | undefined; readonly objections: readonly string[] };
  /** Versions that this process wrote: no pass before they have been seen. */
  writtenJob?: string;
  writtenPod?: string;
  /** Pods that were seen since the attempt began. */
  met: { readonly attempt: number; readonly names: Set<string> };
  /** Children that the server has by its own word, until the watch of their kind knows them as well: `Kind/name`, since when. */
  readonly made: Map<string, number>;
  /** When the status was last written. */
  toldMs: number;
  /** Since when a pass waits for what it wrote. */
  lateSinceMs?: number;
}

/** A watch that says nothing for this long may have missed that a child is gone again. */
const MADE_MS = 30_000;

/**
 * Adds the pods of this attempt that are there now; another attempt begins anew. Gives their names. Of earlier attempts a watch that
 * is late may still tell: they are no loss.
 */
export function meet(run: Run, attempt: number, pods: readonly PodView[]): ReadonlySet<string> {
  if (run.met.attempt !== attempt) run.met = { attempt, names: new Set() };
  for (const pod of pods) if (pod.attempt === attempt) run.met.names.add(pod.name);
  return run.met.names;
}

/** When the next of the children that no watch knows yet has to be looked for again. */
export function unseenInMs({ made }: Run, nowMs: number): number | undefined {
  for (const [key, atMs] of made) if (nowMs - atMs > MADE_MS) made.delete(key);
  return made.size === 0 ? undefined : Math.min(...made.values()) + MADE_MS - nowMs + 1;
}

export function madeKey({ kind }: Resource, name: string): string {
  return `${kind}/${name}`;
}

interface Secret extends Stored {
  readonly data?: Readonly<Record<string, string>>;
}

export interface RunsOptions {
  readonly api: KubeApi;
  readonly nowMs: () => number;
  /** Of a clock that never goes back. */
  readonly monotonicMs: () => number;
  /** Where the coordinator of a pod listens. */
  readonly addressOf: (pod: Pod) => string | undefined;
  readonly onReport: (job: LeptonJobObject, before: Report | undefined, report: Report) => void;
  /** How long a coordinator may say nothing. */
  readonly patienceMs: (job: LeptonJobObject) => number;
  readonly onSilent: (job: LeptonJobObject) => void;
}

/** A process that itself stood still for longer than this heard nobody. */
const LONGEST_TICK_MS = 2000;
/** Where so many coordinators and more than half of them fall silent, it is our own line that is cut. */
const CUT_OFF_AT = 3;
const SILENT_MS = 10_000;

export class Runs {
  readonly #options: RunsOptions;
  readonly #runs = new Map<string, Run>();
  #lastTickMs: number | undefined;

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  of({ metadata }: Stored): Run {
    const known = this.#runs.get(metadata.uid);
    if (known) return known;
    const writer = new SingleWriter();
    const run: Run = {
      made: new Map(),
      generations: [],
      met: { attempt: -1, names: new Set() },
      toldMs: Number.NEGATIVE_INFINITY,
      phases: new PhaseTotals(),
      rejections: 0,
      writer,
    };
    this.#runs.set(metadata.uid, run);
    return run;
  }

  forget(uid: string): void {
    this.#runs.get(uid)?.link?.close();
    this.#runs.delete(uid);
  }

  get uids(): Iterable<string> {
    return this.#runs.keys();
  }

  close(): void {
    for (const uid of [...this.#runs.keys()]) this.forget(uid);
  }

  /** Once a second. */
  tick(): void {
    const nowMs = this.#options.monotonicMs();
    const lastMs = this.#lastTickMs ?? nowMs;
    this.#lastTickMs = nowMs;
    for (const run of this.#runs.values()) {
      const { silenceMs: beforeMs, job } = run;
      if (beforeMs === undefined || !job) continue;
      run.silenceMs = beforeMs + Math.min(nowMs - Math.max(lastMs, run.heardMs ?? lastMs), LONGEST_TICK_MS);
      if (Math.floor(beforeMs / SILENT_MS) < Math.floor(run.silenceMs / SILENT_MS)) run.link?.renew();
      const limitMs = this.#options.patienceMs(job);
      const round = (ms: number): number => Math.floor((ms - limitMs) / SILENT_MS);
      if (run.silenceMs >= limitMs && round(beforeMs) < round(run.silenceMs)) this.#options.onSilent(job);
    }
  }

  /** Undefined where the coordinator was never heard, or where it is this process that nobody reaches. */
  silenceOf({ silenceMs }: Run): number | undefined {
    if (silenceMs === undefined || silenceMs < SILENT_MS) return silenceMs;
    const all = [...this.#runs.values()].flatMap((run) => run.silenceMs ?? []);
    const silent = all.filter((ms) => ms >= SILENT_MS).length;
    return silent >= CUT_OFF_AT && silent * 2 > all.length ? undefined : silenceMs;
  }

  /** As its coordinators have told this process. */
  phasesOf({ metadata }: Stored): readonly PhaseTimes[] {
    return this.#runs.get(metadata.uid)?.phases.times() ?? [];
  }

  /** Keeps a line to the coordinator while its pod runs, and none otherwise. */
  connect(job: LeptonJobObject, coordinator: Pod | undefined): void {
    const run = this.of(job);
    const address = coordinator && this.#options.addressOf(coordinator);
    if (run.link && run.link.address !== address) {
      run.link.close();
      delete run.link;
      delete run.silenceMs;
      // What an earlier process said says nothing about this one.
      if (address !== undefined) delete run.report;
    }
    run.job = job;
    const ready = coordinator !== undefined && isReady(coordinator);
    if (ready && run.coordinatorReady === false) run.link?.hurry();
    run.coordinatorReady = ready;
    if (run.link || address === undefined || run.generations.length === 0) return;
    run.link = openLink({
      address,
      jobUid: job.metadata.uid,
      identity: () => identityOf(run.generations, this.#options.nowMs())!,
      nowMs: this.#options.nowMs,
      onReport: (report) => {
        const before = run.report;
        run.report = report;
        run.phases.heard(report.phases ?? []);
        run.silenceMs = 0;
        run.heardMs = this.#options.monotonicMs();
        this.#options.onReport(job, before, report);
      },
    });
  }

  /** Reads the job's secrets as far as there should be some; false where one is not there, or somebody else's. */
  async findCertificates(job: LeptonJobObject): Promise<boolean> {
    const { generations } = this.of(job);
    while (isIncomplete(generations, this.#options.nowMs())) {
      const files = await this.#filesOf(job, generations.length);
      if (!files) return false;
      generations.push(generationFrom(files));
    }
    return true;
  }

  async #filesOf(job: LeptonJobObject, generation: number): Promise<Record<string, string> | undefined> {
    const { namespace, name: jobName } = job.metadata;
    const place = { namespace, name: certificatesName(jobName, generation) };
    try {
      const secret = await this.#options.api.get<Secret>(SECRETS, place);
      // Creating it will say whose it is.
      return controllerOf(secret)?.uid === job.metadata.uid ? filesOf(secret) : undefined;
    } catch (error) {
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  }
}

function filesOf({ data = {} }: Secret): Record<string, string> {
  const decoded = Object.entries(data).map(([key, value]) => [
    key,
    Buffer.from(value, 'base64').toString('utf8'),
  ]);
  return Object.fromEntries(decoded) as Record<string, string>;
}
