// One parameter server process: listener, shard, link to the coordinator; server 0 hosts the coordinator itself.
import { availableParallelism } from 'node:os';
import type { Engine } from '../../native/engine.ts';
import { type LastWords, type RoleConfig, serverPlacesIn } from '../../protos/role-config.ts';
import { Checkpoints } from '../checkpoint/checkpoints.ts';
import { openStore } from '../checkpoint/store.ts';
import { CHUNK_LENGTH } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Begun } from '../protocol/gather.ts';
import { openTrace } from '../trace/open.ts';
import type { PhaseClock } from '../trace/phase-times.ts';
import { CoordinationClient } from '../transport/clients.ts';
import { type Listener, listen } from '../transport/listener.ts';
import type { ServerCommand, ShardReport } from '../transport/messages.ts';
import type { Security } from '../transport/security.ts';
import { writeResults } from './artefacts.ts';
import { Coordinator, type Outcome } from './coordinator.ts';
import { LedgerSnapshot } from './ledger-snapshot.ts';
import type { Log } from './log.ts';
import { openSecurity, refusalsIn } from './open-security.ts';
import { ParameterServer } from './parameter-server.ts';
import { workersIn } from './plan.ts';

const TIMES_INTERVAL_MS = 1000;
/** A few reach the limits of the memory. */
const MOST_THREADS = 4;

/** What is done when the process is asked to end; a role sets it once it has something to lose. */
export interface Leaving {
  prepare: () => Promise<void>;
}

/** Serves until the job ends; the coordinating server knows how. Throws what ended it, when it failed. */
export async function runServer(
  config: RoleConfig,
  engine: Engine,
  log: Log,
  leaving: Leaving = { prepare: async () => {} },
): Promise<LastWords | undefined> {
  if (config.rank === 0) return await runCoordinatingServer(config, engine, log, leaving);
  await runPlainServer(config, engine, log);
  return undefined;
}

async function runCoordinatingServer(
  given: RoleConfig,
  engine: Engine,
  log: Log,
  leaving: Leaving,
): Promise<LastWords> {
  using kept = openKept(given, log);
  // Whoever starts a process again in its place tells it what the one before was told.
  const present = kept?.identity === undefined ? undefined : workersIn(kept.identity, given.job.run);
  const config = { ...given, workers: present ?? given.workers };
  const checkpoints = new Checkpoints(openStore(config.checkpointUri));
  using trace = openTrace(config, log);
  const local = {
    command: (command: ServerCommand) => server.command(command),
    announce: (begun: Begun) => server.announce(begun),
    tell: (rank: number, begun: Begun) => server.tell(rank, begun),
    hears: (rank: number) => server.hears(rank),
  };
  const coordinator = new Coordinator({
    config,
    checkpoints,
    kept,
    log,
    nowMs: () => performance.now(),
    trace,
    local,
    finish: (plan, folder, progress) => writeResults({ config, checkpoints, plan, folder, progress, log }),
  });
  const server = new ParameterServer({
    ...serverOptions(config, engine, checkpoints, log, trace),
    report: (report) => coordinator.reportShard(report),
    ledger: {
      record: (message) => coordinator.record(message),
      begun: () => coordinator.begun(),
      listens: (rank) => coordinator.workerListens(rank),
      left: (rank) => coordinator.workerLeft(rank),
    },
  });
  leaving.prepare = () => coordinator.hold();
  const security = openSecurity(config.security, log);
  const listener = await listenFor(config, security, log, server, coordinator);
  log('info', 'listening', { port: listener.port });
  coordinator.enlistLocal();
  const outcome = await coordinator.ended;
  if (!outcome.error) server.finish();
  await coordinator.drained(config.deadlines.lingerSeconds * 1000);
  await listener.close();
  if (outcome.error) throw outcome.error;
  return lastWordsOf(outcome);
}

/** What the coordinator before has left in memory. Without it the job goes on from checkpoints. */
function openKept({ snapshotFiles }: RoleConfig, log: Log): LedgerSnapshot | undefined {
  if (!snapshotFiles) return undefined;
  try {
    return new LedgerSnapshot(snapshotFiles.ledger);
  } catch (error) {
    log('warning', 'nothing is kept in memory for the next process', { error: (error as Error).message });
    return undefined;
  }
}

async function runPlainServer(config: RoleConfig, engine: Engine, log: Log): Promise<void> {
  const checkpoints = new Checkpoints(openStore(config.checkpointUri));
  const security = openSecurity(config.security, log);
  const coordinator = new CoordinationClient({
    address: config.servers[0]!,
    security,
    chunkBytes: chunkBytesOf(config),
  });
  const callMs = config.deadlines.callSeconds * 1000;
  using trace = openTrace(config, log);
  const server = new ParameterServer({
    ...serverOptions(config, engine, checkpoints, log, trace),
    report: (report: ShardReport) => {
      // A lost report is as a lost link: the coordinator sends everybody back when the link is made anew.
      coordinator.reportShard(report, callMs).catch((error: unknown) => link.lose(error));
    },
  });
  const link = new Link(coordinator, config, server, log);
  const listener = await listenFor(config, security, log, server);
  log('info', 'listening', { port: listener.port });
  const timer = setInterval(() => {
    // The next one tells the same and more.
    const report = { server: config.rank, epoch: 0, timed: { phases: trace.times() } };
    coordinator.reportShard(report, callMs).catch(() => {});
  }, TIMES_INTERVAL_MS);
  try {
    await link.run();
  } finally {
    clearInterval(timer);
    coordinator.close();
    await listener.close();
  }
}

/** A server's membership: lives as long as the command stream, and is made anew when that breaks. */
class Link {
  readonly #coordinator: CoordinationClient;
  readonly #config: RoleConfig;
  readonly #server: ParameterServer;
  readonly #log: Log;
  #lose: (error: unknown) => void = () => {};

  constructor(coordinator: CoordinationClient, config: RoleConfig, server: ParameterServer, log: Log) {
    this.#coordinator = coordinator;
    this.#config = config;
    this.#server = server;
    this.#log = log;
  }

  lose(error: unknown): void {
    this.#lose(error);
  }

  /** Until the coordinator ends the job, or cannot be found for too long. */
  async run(): Promise<void> {
    const stallMs = this.#config.deadlines.stallSeconds * 1000;
    let lastLinkMs = performance.now();
    for (;;) {
      let linked = false;
      const error = await this.#once(() => {
        linked = true;
      });
      if (!error) return;
      // Commands are rare: a link that had any lived until now.
      if (linked) lastLinkMs = performance.now();
      const named = error instanceof RuntimeError;
      if (!named || !error.retryable || performance.now() - lastLinkMs > stallMs) throw error;
      this.#log('info', 'coordinator lost, enlisting again', { reason: error.message });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** One stream: undefined when the job has ended. */
  #once(onCommand: () => void): Promise<Error | undefined> {
    const { rank: server, attempt, snapshotFiles } = this.#config;
    return new Promise((resolve) => {
      const commands = this.#coordinator.enlist({ server, attempt, recalls: snapshotFiles !== undefined });
      this.#lose = (error) => {
        commands.cancel();
        resolve(error instanceof Error ? error : new RuntimeError('PEER_LOST', String(error)));
      };
      commands.onMessage((command) => {
        onCommand();
        this.#server.command(command);
      });
      commands.onEnd(resolve);
    });
  }
}

function serverOptions(
  config: RoleConfig,
  engine: Engine,
  checkpoints: Checkpoints,
  log: Log,
  trace: PhaseClock,
) {
  const places = serverPlacesIn(config);
  return {
    engine,
    index: config.rank,
    places,
    chunkLength: config.testing.chunkLength,
    sharedMemory: config.testing.sharedMemory,
    // Servers inside workers are as many as have to share the processors.
    threads: config.rank >= places.dedicated ? 1 : Math.min(availableParallelism(), MOST_THREADS),
    run: config.job.run,
    snapshotFile: config.snapshotFiles?.shard,
    checkpoints,
    log,
    trace,
  };
}

function listenFor(
  config: RoleConfig,
  security: Security,
  log: Log,
  exchange: ParameterServer,
  coordination?: Coordinator,
): Promise<Listener> {
  return listen({
    address: config.listen ?? config.servers[config.rank]!,
    security,
    chunkBytes: chunkBytesOf(config),
    peers: config.workers + config.servers.length,
    onRefused: refusalsIn(log),
    exchange,
    ...(coordination ? { coordination } : {}),
  });
}

function chunkBytesOf(config: RoleConfig): number {
  return 4 * Math.max(CHUNK_LENGTH, config.testing.chunkLength);
}

function lastWordsOf({ phase, progress }: Outcome): LastWords {
  const { step, steps, evaluation } = progress;
  return { phase, step, steps, metrics: { ...evaluation } };
}
