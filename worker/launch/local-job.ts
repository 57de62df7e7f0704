// A job as processes of this host: starts roles, watches them, restarts the dead, ends them all. No training here.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LeptonJobSpec } from '../../crds/leptonjob.ts';
import {
  hostOf,
  type ProcessPlace,
  type ServerPlaces,
  serverCount,
  serverIn,
  serverPlacesOf,
} from '../../crds/server-places.ts';
import type { RoleConfigInput } from '../../protos/role-config.ts';
import { makeFolder } from '../formats/make-folder.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { JobPhase, JobProgress, JobResult, LogLine } from '../protocol/progress.ts';
import type { ReportedProgress } from '../roles/progress-board.ts';
import { writeChromeTrace } from '../trace/chrome.ts';
import { Certificates } from '../transport/certificates.ts';
import { CoordinationClient } from '../transport/clients.ts';
import type { Security } from '../transport/security.ts';
import type { Incoming } from '../transport/streams.ts';
import { newToken } from '../transport/token.ts';
import { Child, type ChildEnd } from './child.ts';
import { KeptMemory } from './kept-memory.ts';
import { freePorts } from './ports.ts';
import { Restarts } from './restarts.ts';

export interface LocalJobOptions {
  readonly name: string;
  /** With defaults applied. */
  readonly spec: LeptonJobSpec;
  /** Output folder of this run; made when missing. */
  readonly directory: string;
  readonly seed: number;
  /** Go on from the newest committed checkpoint below `spec.checkpoint.uri`, if there is one. */
  readonly resume?: boolean;
  /** File that takes a Chrome trace of all processes when they have ended; replaced where it exists. */
  readonly traceFile?: string;
  /** Only for tests of the runtime itself. */
  readonly testing?: RoleConfigInput['testing'];
  readonly deadlines?: RoleConfigInput['deadlines'];
  readonly placeOf?: PlaceOf;
  /** Processes know each other by certificates, as on a cluster; default: by a token. */
  readonly tls?: JobCertificates;
}

export interface JobCertificates {
  readonly jobUid: string;
  /** With the folders `worker`, `server` and `operator`; the last is the launcher's. */
  readonly folder: string;
}

/** Where a process of the job lives when it is not with the others. */
export interface Place {
  /** What is put in front of its command line to get there. */
  readonly enter: readonly string[];
  /** Addresses of all servers, as they are reached from there. */
  readonly servers: readonly string[];
}

/** Asked at every start, with the addresses that servers listen on. Undefined: with the launcher. */
export type PlaceOf = (
  role: Slot['role'],
  rank: number,
  servers: readonly string[],
) => Promise<Place | undefined>;

export interface LocalJob extends AsyncDisposable {
  onProgress(listener: (progress: JobProgress) => void): void;
  onLog(listener: (line: LogLine) => void): void;
  /** The newest progress. */
  readonly progress: JobProgress;
  /** Always resolves; a failure is in `error`. */
  readonly finished: Promise<JobResult>;
  /** Writes a checkpoint, then ends all children. */
  stop(): Promise<void>;
  /** Goes on with another number of workers; resolves when it does, or when the job has ended. The last call counts. */
  resize(workers: number): Promise<void>;
}

/** Time for a checkpoint and a graceful end after `stop`. */
const STOP_MS = 30_000;
/** Time in which processes of a finished job end by themselves. */
const END_MS = 2000;
const WATCH_RETRY_MS = 100;
const RESIZE_CALL_MS = 5000;
const RESIZE_RETRY_MS = 500;
/** Folder of what the processes trace. */
const SPANS = 'spans';

/** Starts all processes. Problems of the job itself show in `finished`; throws where the host refuses (folders, ports). */
export async function startLocalJob(options: LocalJobOptions): Promise<LocalJob> {
  await makeFolder(options.directory).catch((cause: Error) => {
    throw new RuntimeError('OUTPUT_WRITE_FAILED', `${options.directory}: cannot be made: ${cause.message}`, {
      cause,
    });
  });
  const configs = await mkdtemp(join(tmpdir(), 'lepton-job-'));
  const ports = await freePorts(serverCount(serverPlacesOf(options.spec)));
  const job = new ProcessJob(options, configs, ports);
  await job.start();
  return job;
}

interface Slot extends ProcessPlace {
  attempt: number;
  state: 'starting' | 'running' | 'restarting' | 'done';
  child: Child | undefined;
  /** The coordinator has heard of this child: only then can `lost` mean it, and not the one before. */
  known: boolean;
}

class ProcessJob implements LocalJob {
  readonly finished: Promise<JobResult>;
  readonly #options: LocalJobOptions;
  readonly #configs: string;
  readonly #servers: readonly string[];
  readonly #token = newToken();
  readonly #run = randomBytes(5).toString('hex');
  readonly #slots: Slot[];
  readonly #places: ServerPlaces;
  readonly #restarts: Restarts;
  readonly #memory: KeptMemory;
  readonly #coordinator: CoordinationClient;
  readonly #result = Promise.withResolvers<JobResult>();
  readonly #progressListeners: ((progress: JobProgress) => void)[] = [];
  readonly #logListeners: ((line: LogLine) => void)[] = [];
  readonly #startedMs = performance.now();
  readonly #killAll = (): void => {
    for (const { child } of this.#slots) child?.kill();
  };
  #reported: ReportedProgress;
  #watch: Incoming<ReportedProgress> | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** The number of workers that was asked for last. */
  #workers: number;
  #stopAsked = false;
  #over = false;

  constructor(options: LocalJobOptions, configs: string, ports: readonly number[]) {
    this.#options = options;
    this.#configs = configs;
    this.#servers = ports.map((port) => `127.0.0.1:${port}`);
    this.#restarts = new Restarts(options.spec);
    this.#memory = new KeptMemory(options.testing?.snapshots === false ? 0 : ports.length);
    this.#workers = options.spec.worker.replicas;
    this.#places = serverPlacesOf(options.spec);
    this.#slots = [
      ...Array.from({ length: this.#places.dedicated }, (_, rank) => newSlot('server', rank)),
      ...Array.from({ length: this.#workers }, (_, rank) => newSlot('worker', rank)),
    ];
    this.#reported = emptyProgress(options.spec);
    const chunkBytes = 2 ** 20;
    this.#coordinator = new CoordinationClient({
      address: this.#servers[0]!,
      security: this.#ownSecurity(),
      chunkBytes,
    });
    this.finished = this.#result.promise;
  }

  get progress(): JobProgress {
    const known = ({ role, rank }: ProcessPlace) => {
      const found = this.#slots.find((slot) => slot.role === role && slot.rank === rank)!;
      return {
        restarts: found.attempt,
        ...(found.child?.pid === undefined ? {} : { pid: found.child.pid }),
        ...(found.state === 'restarting' || found.state === 'done' ? { state: found.state } : {}),
      };
    };
    return {
      ...this.#reported,
      workers: this.#reported.workers.map((worker) => ({
        ...worker,
        ...known({ role: 'worker', rank: worker.rank }),
      })),
      servers: this.#reported.servers.map((server) => ({
        ...server,
        ...known(hostOf(this.#places, server.index)),
      })),
    };
  }

  onProgress(listener: (progress: JobProgress) => void): void {
    this.#progressListeners.push(listener);
  }

  onLog(listener: (line: LogLine) => void): void {
    this.#logListeners.push(listener);
  }

  async start(): Promise<void> {
    process.on('exit', this.#killAll);
    if (this.#options.traceFile !== undefined) await mkdir(join(this.#configs, SPANS));
    await Promise.all(this.#slots.map((slot) => this.#startSlot(slot)));
    this.#watchProgress();
    const { activeDeadlineSeconds } = this.#options.spec;
    if (activeDeadlineSeconds !== undefined)
      this.#deadline = setTimeout(
        () => void this.#passDeadline(activeDeadlineSeconds),
        activeDeadlineSeconds * 1000,
      );
  }

  async stop(): Promise<void> {
    if (!this.#over && !this.#stopAsked) {
      this.#stopAsked = true;
      const timeout = setTimeout(() => void this.#close('Stopped'), STOP_MS);
      this.#coordinator.stop(STOP_MS).catch(() => this.#close('Stopped'));
      await this.finished;
      clearTimeout(timeout);
    }
    await this.finished;
  }

  async resize(workers: number): Promise<void> {
    const { hosted } = this.#places;
    if (workers < hosted)
      throw new RuntimeError(
        'BAD_MESSAGE',
        `resize: expected at least the ${hosted} workers that hold the parameters, got ${workers}`,
      );
    this.#workers = workers;
    while (!this.#over && this.#workers === workers && this.#reported.workerCount !== workers) {
      for (let rank = 0; rank < workers; rank++) await this.#wantWorker(rank);
      // Who has left does not come back for a boundary that an earlier coordinator had reached.
      const gone = this.#slots.some(
        ({ role, rank, state }) => role === 'worker' && rank >= workers && state === 'done',
      );
      await this.#coordinator.resize({ workers, gone }, RESIZE_CALL_MS).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, RESIZE_RETRY_MS));
    }
  }

  /** Starts a worker that is not there yet, or has left. */
  async #wantWorker(rank: number): Promise<void> {
    const found = this.#slots.find((slot) => slot.role === 'worker' && slot.rank === rank);
    if (found && found.state !== 'done') return;
    const slot = found ?? newSlot('worker', rank);
    if (found) slot.attempt++;
    else this.#slots.push(slot);
    await this.#startSlot(slot);
  }

  /** Ends everything at once, without a checkpoint unless the job is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) await this.#close('Stopped');
    await this.finished;
  }

  async #startSlot(slot: Slot): Promise<void> {
    const path = join(this.#configs, `${slot.role}-${slot.rank}-${slot.attempt}.json`);
    const place = await this.#options.placeOf?.(slot.role, slot.rank, this.#servers);
    const { enter, servers } = place ?? { enter: [], servers: this.#servers };
    await writeFile(path, JSON.stringify(this.#configOf(slot, servers)), { mode: 0o600 });
    if (this.#over) return;
    const server = serverIn(this.#places, slot);
    const child = new Child(`${slot.role}-${slot.rank}`, path, (line) => this.#log(line), {
      enter,
      inherited: server === undefined ? [] : this.#memory.descriptorsOf(server),
    });
    slot.child = child;
    slot.state = 'running';
    slot.known = false;
    void child.ended.then((end) => this.#ended(slot, child, end));
  }

  #configOf(slot: Slot, servers: readonly string[]): RoleConfigInput {
    const { role, rank, attempt } = slot;
    const server = serverIn(this.#places, slot);
    const { name, spec, seed, directory, resume = false, traceFile, testing, deadlines } = this.#options;
    return {
      job: { name, run: this.#run },
      role,
      rank,
      attempt,
      workers: role === 'server' ? this.#reported.workerCount : Math.max(this.#workers, rank + 1),
      servers: [...servers],
      hostedServers: this.#places.hosted,
      security: this.#securityOf(role),
      spec,
      seed,
      directory,
      checkpointUri: spec.checkpoint.uri ?? join(directory, 'checkpoints'),
      resume,
      exitWithParent: true,
      ...(server === undefined ? {} : this.#memory.filesOf(server)),
      ...(traceFile === undefined
        ? {}
        : { traceFile: join(this.#configs, SPANS, `${role}-${rank}-${attempt}`) }),
      ...(testing ? { testing } : {}),
      ...(deadlines ? { deadlines } : {}),
    };
  }

  #securityOf(role: Slot['role']): RoleConfigInput['security'] {
    const { tls } = this.#options;
    if (!tls) return { kind: 'token', token: this.#token };
    return { kind: 'mutualTls', jobUid: tls.jobUid, directory: join(tls.folder, role) };
  }

  #ownSecurity(): Security {
    const { tls } = this.#options;
    if (!tls) return { kind: 'token', token: this.#token };
    const certificates = Certificates.in(join(tls.folder, 'operator'));
    return { kind: 'mutualTls', jobUid: tls.jobUid, certificates };
  }

  async #ended(slot: Slot, child: Child, end: ChildEnd): Promise<void> {
    if (this.#over || slot.child !== child) return;
    const decision = this.#restarts.decide(child.name, end);
    if (decision.kind === 'done') {
      slot.state = 'done';
      return;
    }
    if (decision.kind === 'fail') {
      await this.#close('Failed', { code: decision.code, message: decision.message });
      return;
    }
    slot.state = 'restarting';
    slot.attempt++;
    this.#note('warning', 'process ended, starting it again', {
      name: child.name,
      signal: end.signal,
      exitCode: end.code,
      ...(end.error ? { error: end.error.message } : {}),
      attempt: slot.attempt,
    });
    this.#show();
    await new Promise((resolve) => setTimeout(resolve, decision.delayMs));
    if (!this.#over) await this.#startSlot(slot);
  }

  /** Watches the coordinator; when that is restarted, watches the next one. */
  #watchProgress(): void {
    if (this.#over) return;
    this.#watch = this.#coordinator.watch<ReportedProgress>();
    this.#watch.onMessage((progress) => this.#heard(progress));
    this.#watch.onEnd(() => {
      if (!this.#over) setTimeout(() => this.#watchProgress(), WATCH_RETRY_MS);
    });
  }

  #heard(progress: ReportedProgress): void {
    if (this.#over) return;
    if (progress.step > this.#reported.step) this.#restarts.progressed();
    this.#reported = progress;
    this.#show();
    for (const { rank, state } of progress.workers) this.#heardOfWorker(rank, state);
    const { phase, message = '', errorCode } = progress;
    if (phase === 'Failed') void this.#close('Failed', { code: errorCode || 'INTERNAL', message });
    else if (phase === 'Succeeded' || phase === 'Stopped') void this.#close(phase);
  }

  /** A worker that says nothing any more is ended; its place is filled as after any other death. */
  #heardOfWorker(rank: number, state: string): void {
    const slot = this.#slots.find((found) => found.role === 'worker' && found.rank === rank);
    if (slot?.state !== 'running') return;
    if (state !== 'lost') slot.known = true;
    else if (slot.known) slot.child?.kill();
  }

  async #passDeadline(seconds: number): Promise<void> {
    const error = {
      code: 'DEADLINE_EXCEEDED',
      message: `the job ran longer than activeDeadlineSeconds (${seconds}); its last state is in a checkpoint`,
    };
    this.#stopAsked = true;
    const timeout = setTimeout(() => void this.#close('Failed', error), STOP_MS);
    this.#deadlineError = error;
    this.#coordinator.stop(STOP_MS).catch(() => this.#close('Failed', error));
    await this.finished;
    clearTimeout(timeout);
  }

  #deadlineError: JobResult['error'];

  async #close(asked: JobResult['phase'], error?: JobResult['error']): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#watch?.cancel();
    this.#coordinator.close();
    await this.#endChildren(asked === 'Succeeded' || asked === 'Stopped' ? END_MS : 0);
    process.off('exit', this.#killAll);
    this.#memory.close();
    await this.#keepTrace();
    await rm(this.#configs, { recursive: true, force: true });
    const failure = asked === 'Stopped' ? (this.#deadlineError ?? error) : error;
    const phase = failure ? 'Failed' : asked;
    this.#reported = { ...this.#reported, phase, ...(failure ? { message: failure.message } : {}) };
    this.#show();
    this.#result.resolve(this.#resultOf(phase, failure));
  }

  /** A trace that cannot be written fails no job. */
  async #keepTrace(): Promise<void> {
    const { traceFile } = this.#options;
    if (traceFile === undefined) return;
    await writeChromeTrace(join(this.#configs, SPANS), traceFile).catch((error: Error) =>
      this.#note('warning', 'trace cannot be written', { file: traceFile, error: error.message }),
    );
  }

  /** Resolves when no child is left. */
  async #endChildren(graceMs: number): Promise<void> {
    const ends = this.#slots.flatMap(({ child }) => (child ? [child.ended] : []));
    const timer = setTimeout(this.#killAll, graceMs);
    await Promise.all(ends);
    clearTimeout(timer);
  }

  #resultOf(phase: JobResult['phase'], error: JobResult['error']): JobResult {
    const { step, history, evaluation } = this.#reported;
    const seconds = history.reduce((sum, record) => sum + record.seconds, 0);
    const samples = history.reduce((sum, record) => sum + (record.samples ?? 0), 0);
    return {
      phase,
      steps: step,
      epochs: history.length,
      train: history.at(-1)?.train ?? {},
      evaluate: evaluation,
      samplesPerSecond: seconds > 0 ? samples / seconds : this.#reported.samplesPerSecond,
      seconds: (performance.now() - this.#startedMs) / 1000,
      directory: this.#options.directory,
      workers: this.#reported.workers.flatMap(({ rank, waits }) => (waits ? [{ rank, ...waits }] : [])),
      ...(error ? { error } : {}),
    };
  }

  #show(): void {
    const { progress } = this;
    for (const listener of this.#progressListeners) listener(progress);
  }

  #note(level: LogLine['level'], message: string, fields: LogLine['fields']): void {
    this.#log({ time: new Date().toISOString(), source: 'launcher', level, message, fields });
  }

  #log(line: LogLine): void {
    for (const listener of this.#logListeners) listener(line);
  }
}

function newSlot(role: Slot['role'], rank: number): Slot {
  return { role, rank, attempt: 0, state: 'starting', child: undefined, known: false };
}

function emptyProgress(spec: LeptonJobSpec): ReportedProgress {
  const phase: JobPhase = 'Starting';
  return {
    phase,
    step: 0,
    steps: 0,
    epoch: 1,
    epochs: spec.training.epochs,
    stepInEpoch: 0,
    stepsPerEpoch: spec.training.stepsPerEpoch ?? 0,
    metrics: {},
    evaluation: {},
    samplesPerSecond: 0,
    workerCount: spec.worker.replicas,
    workers: Array.from({ length: spec.worker.replicas }, (_, rank) => ({
      rank,
      state: 'starting',
      step: 0,
      samplesPerSecond: 0,
      waitRatio: 0,
    })),
    servers: Array.from({ length: serverCount(serverPlacesOf(spec)) }, (_, index) => ({
      index,
      state: 'starting',
      shardBytes: 0,
    })),
    history: [],
  };
}
