// The operator as one object: world, queue, controller, leadership, metrics, health. Wires the parts together; decides nothing.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OperatorConfig } from './config.ts';
import { Controller } from './controller/controller.ts';
import { Leader } from './controller/leader.ts';
import { WorkQueue } from './controller/work-queue.ts';
import { KubeApi } from './kube/api.ts';
import { type Access, KubeClient, pause } from './kube/client.ts';
import { isStatus } from './kube/errors.ts';
import { EventRecorder } from './kube/events.ts';
import { keyOf } from './kube/objects.ts';
import { patienceOf } from './leptonjob/failure.ts';
import { Gangs } from './leptonjob/gang/gangs.ts';
import type { JobEvent, LeptonJobObject, Report } from './leptonjob/job.ts';
import { LEPTON_JOBS, SERVER_PORT } from './leptonjob/names.ts';
import type { Pod } from './leptonjob/pod-view.ts';
import { leptonJobReconciler } from './leptonjob/reconciler.ts';
import { Runs } from './leptonjob/runs.ts';
import { World } from './leptonjob/world.ts';
import { OperatorMetrics } from './metrics.ts';

export interface OperatorOptions {
  readonly kubeConfig: Access;
  readonly config: OperatorConfig;
  readonly identity: string;
  readonly version: string;
  readonly log: (
    level: 'info' | 'warning' | 'error',
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ) => void;
  /** Leadership is gone: the process must end. */
  readonly onLost: (reason: string) => void;
  readonly addressOf?: (pod: Pod) => string | undefined;
  readonly lease?: { readonly leaseMs: number; readonly renewDeadlineMs: number; readonly retryMs: number };
}

const USER_AGENT = 'lepton-operator';
/** Every job is looked at this often, whatever was heard. */
const RESYNC_MS = 600_000;
/** A step that takes longer than this may have been given up. */
const LONG_STEP_S = 1;
/** Well below the grace of a pod. */
const STOP_MS = 5000;
/** An event loop that stood still for this long is not alive. */
const STALLED_MS = 30_000;

export class Operator {
  readonly metrics: OperatorMetrics;
  readonly #options: OperatorOptions;
  readonly #api: KubeApi;
  readonly #electionApi: KubeApi;
  readonly #world: World;
  readonly #runs: Runs;
  readonly #gangs: Gangs;
  readonly #controller: Controller;
  readonly #leader: Leader | undefined;
  readonly #recorder: EventRecorder;
  readonly #servers: Server[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #ready = false;
  #beatMs = performance.now();

  constructor(options: OperatorOptions) {
    const { config, kubeConfig, log } = options;
    this.#options = options;
    const connection = {
      config: kubeConfig,
      userAgent: `${USER_AGENT}/${options.version}`,
      observe: (call: Parameters<OperatorMetrics['request']>[0]) => this.metrics.request(call),
    };
    // A process that stood still may go on when another leads: then it writes nothing but its share of the election.
    const mayWrite = (): boolean => this.#leader?.leads ?? true;
    this.#api = new KubeApi(new KubeClient({ ...connection, mayWrite }));
    const queue = new WorkQueue({
      nowMs: () => performance.now(),
      observe: {
        added: () => this.metrics.queue.added(),
        waited: (seconds) => this.metrics.queue.waited(seconds),
        worked: (seconds) => this.metrics.queue.worked(seconds),
        retried: () => this.metrics.queue.retried(),
      },
    });
    this.#recorder = new EventRecorder({
      api: this.#api,
      controller: 'lepton.ai/leptonjob-controller',
      instance: options.identity,
      nowMs: Date.now,
    });
    this.#world = new World({
      api: this.#api,
      config,
      onChange: (key, inMs) => this.#enqueue(key, inMs),
      onError: (kind, error) =>
        log('warning', 'watch failed, trying again', { kind, error: messageOf(error) }),
    });
    this.#gangs = new Gangs({
      api: this.#api,
      config,
      onChange: (key) => this.#enqueue(key),
      onServed: () => this.#enqueueAll(),
      onError: (kind, error) =>
        log('warning', 'watch failed, trying again', { kind, error: messageOf(error) }),
    });
    this.#runs = new Runs({
      api: this.#api,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      addressOf: options.addressOf ?? addressOf,
      onReport: (job, before, report) => this.#heard(job, before, report),
      patienceMs: (job) => patienceOf(job, config.times).heartbeatMs,
      onSilent: (job) => this.#controller.add(keyOf(job)),
    });
    this.metrics = new OperatorMetrics({
      version: options.version,
      perJob: config.perJobMetrics,
      jobs: () => this.#world.jobs.all(),
      phases: (job) => this.#runs.phasesOf(job),
      queueDepth: () => queue.depth,
      unfinishedSeconds: () => queue.unfinishedSeconds,
      passes: () => ({ active: this.#controller.active, most: config.concurrency }),
      leads: () => this.#leader?.leads ?? this.#ready,
      reflectors: () => this.#world.counts,
    });
    this.#controller = new Controller({
      queue,
      concurrency: config.concurrency,
      reconcile: leptonJobReconciler({
        api: this.#api,
        world: this.#world,
        runs: this.#runs,
        gangs: this.#gangs,
        config,
        nowMs: Date.now,
        monotonicMs: () => performance.now(),
        announce: (job, event) => this.#announce(job, event),
        onWritten: (job, before, plan) => this.metrics.written(job, before, plan),
        onPlanned: (seconds) => this.metrics.planned(seconds),
      }),
      onError: (key, error, retryInMs) => this.#passFailed(key, error, retryInMs),
      observe: (pass) => this.metrics.pass(pass),
    });
    const { enabled, namespace, name } = config.leaderElection;
    this.#electionApi = new KubeApi(new KubeClient(connection));
    if (enabled)
      this.#leader = new Leader({
        api: this.#electionApi,
        namespace,
        name,
        identity: options.identity,
        onLost: options.onLost,
        onError: (error) =>
          log('warning', 'asking for leadership failed, trying again', { error: messageOf(error) }),
        ...options.lease,
      });
  }

  /** Resolves when it leads and has seen everything. */
  async start(): Promise<void> {
    const { ports } = this.#options.config;
    const health = (request: IncomingMessage, response: ServerResponse): void =>
      this.#health(request, response);
    await Promise.all([
      this.#listen(ports.health, health),
      this.#listen(ports.metrics, (request, response) => void this.#scrape(request, response)),
    ]);
    this.#every(1000, () => (this.#beatMs = performance.now()));
    this.#world.start();
    await Promise.all([this.#world.synced(), this.#gangs.start()]);
    this.#options.log('info', 'caches are filled');
    if (this.#leader) {
      void this.#leader.run();
      await this.#leader.elected;
      this.#options.log('info', 'leading', { identity: this.#options.identity });
    }
    this.#every(1000, () => this.#runs.tick());
    this.#ready = true;
    this.#enqueueAll();
    this.#every(RESYNC_MS, () => this.#resync());
  }

  /** Ends passes under way, within limits, then gives the lease away. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#world.stop();
    this.#gangs.stop();
    // A pass that waits for an answer is not waited for much longer: from the release of the lease on it cannot write.
    const stopped = new AbortController();
    const passes = this.#controller.stop().then(() => stopped.abort());
    await Promise.race([passes, pause(STOP_MS, stopped.signal)]);
    this.#runs.close();
    await this.#leader?.release();
    for (const server of this.#servers) server.close();
    this.#api.client.close();
    this.#electionApi.client.close();
  }

  get addresses(): { readonly health: number; readonly metrics: number } {
    const [health, metrics] = this.#servers.map((server) => (server.address() as AddressInfo).port);
    return { health: health!, metrics: metrics! };
  }

  #enqueue(key: string, inMs = 0): void {
    // Before leadership the stores fill; every job is enqueued when it begins.
    if (this.#ready) this.#controller.addAfter(key, inMs);
  }

  #resync(): void {
    const known = new Set([...this.#world.jobs.all()].map(({ metadata }) => metadata.uid));
    for (const uid of [...this.#runs.uids]) if (!known.has(uid)) this.#runs.forget(uid);
    this.#enqueueAll();
  }

  #enqueueAll(): void {
    for (const job of this.#world.jobs.all()) this.#enqueue(keyOf(job));
  }

  /** A change of phase is news at once; progress, and that there is none, is looked at in intervals. */
  #heard(job: LeptonJobObject, before: Report | undefined, report: Report): void {
    const news =
      Boolean(before?.checkpoint?.failing) !== Boolean(report.checkpoint?.failing) ||
      before?.workerCount !== report.workerCount;
    if (before?.phase !== report.phase || news || complete(before) !== complete(report))
      this.#controller.add(keyOf(job));
    else if (before.step !== report.step || lags(report))
      this.#controller.addAfter(keyOf(job), this.#options.config.times.progressSeconds * 1000);
  }

  #announce(job: LeptonJobObject, { type, reason, message }: JobEvent): void {
    this.#recorder.announce(job, LEPTON_JOBS, { type, reason, action: reason, message });
    this.#options.log(type === 'Normal' ? 'info' : 'warning', 'event', { job: keyOf(job), reason, message });
  }

  #passFailed(key: string, error: unknown, retryInMs: number): void {
    if (isStatus(error, 409)) return; // somebody was faster: the next pass sees it
    this.#options.log('warning', 'pass failed, trying again', {
      job: key,
      retryInMs,
      error: messageOf(error),
    });
  }

  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms));
  }

  async #listen(
    port: number,
    handle: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<void> {
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, handle);
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, resolve);
    });
  }

  #health({ url }: IncomingMessage, response: ServerResponse): void {
    const alive = performance.now() - this.#beatMs < STALLED_MS;
    const well = url === '/readyz' ? this.#ready || this.#leader !== undefined : alive;
    const known = url === '/healthz' || url === '/livez' || url === '/readyz';
    response.writeHead(known ? (well ? 200 : 503) : 404).end(known && well ? 'ok' : '');
  }

  async #scrape({ url }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    const { registry } = this.metrics;
    const text = await registry.metrics();
    response.writeHead(200, { 'Content-Type': registry.contentType }).end(text);
  }
}

/** Everybody has joined. */
function complete({ waits }: Report): boolean {
  return (waits?.absent.length ?? 0) === 0;
}

/** Somebody is waited for. */
function lags({ waits }: Report): boolean {
  if (!waits) return false;
  return waits.silent.length > 0 || waits.absent.length > 0 || waits.standingSeconds >= LONG_STEP_S;
}

function addressOf({ status }: Pod): string | undefined {
  const ip = status?.podIP;
  if (ip === undefined || ip === '') return undefined;
  return ip.includes(':') ? `[${ip}]:${SERVER_PORT}` : `${ip}:${SERVER_PORT}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
