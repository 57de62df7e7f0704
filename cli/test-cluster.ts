// Starts and ends the test cluster of a checkout (test/cluster/keep.ts) as a process in the background; what was started is known by
// its process id and the time of its start.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, EXIT } from './errors.ts';
import { watchInterrupts } from './interrupt.ts';

const ROOT = join(import.meta.dirname, '..');
const SCRIPTS = join(ROOT, 'test/cluster');
const STATE = join(ROOT, 'build/cluster');
export const MINORS = ['1.35', '1.36', '1.37'] as const;

export interface UpOptions {
  readonly nodes: number;
  readonly kubernetes: string;
  readonly operator: boolean;
}

type Say = (line: string) => void;

/** A process id is given to others later; with the time of its start it is not. */
interface Identity {
  readonly pid: number;
  readonly started: string;
}

interface Keeper extends Identity {
  /** Of the cluster's namespaces, once they are made. */
  readonly cluster?: Identity;
  /** Everything of the cluster lies below it. */
  readonly folder: string;
}

const START_MS = 10 * 60_000;
const END_MS = 90_000;

/** Resolves with the exit code. Throws CommandError NO_TEST_CLUSTER, TEST_CLUSTER_FAILED. */
export async function clusterUp(options: UpOptions, say: Say): Promise<number> {
  mustBePossible();
  if (runningKeeper())
    throw new CommandError('NO_TEST_CLUSTER', 'a cluster is up already; `lepton cluster down` ends it');
  await forget();
  let keeper: ChildProcess | undefined;
  using interrupts = watchInterrupts(
    () => keeper?.kill('SIGTERM'),
    () => {},
  );
  const interrupted = (): boolean => interrupts.signal !== undefined;
  const prepared = spawnSync(join(SCRIPTS, 'prepare.sh'), [options.kubernetes], { stdio: 'inherit' });
  await turn(); // a signal that came meanwhile is heard now
  if (interrupted() || prepared.signal === 'SIGINT') return EXIT.interrupted;
  if (prepared.status !== 0)
    throw new CommandError('TEST_CLUSTER_FAILED', 'what the cluster needs cannot be got: see above');
  await mkdir(STATE, { recursive: true });
  await using log = await open(join(STATE, 'keeper.log'), 'w+');
  keeper = startKeeper(options, log);
  const lines = await follow(keeper, log, say, interrupted);
  if (interrupted()) return EXIT.interrupted;
  if (!existsSync(join(STATE, 'ready.json')))
    throw new CommandError(
      'TEST_CLUSTER_FAILED',
      `the cluster did not start:\n${lines.slice(-15).join('\n')}`,
    );
  keeper.unref();
  for (const line of howToGoOn(options)) say(line);
  return EXIT.done;
}

/** Ends exactly what `clusterUp` started, also where it did not come to its end. */
export async function clusterDown(say: Say): Promise<number> {
  mustBePossible();
  const keeper = runningKeeper();
  if (keeper && isRunning(keeper)) process.kill(keeper.pid, 'SIGTERM');
  const endMs = performance.now() + END_MS;
  // Without its keeper the cluster ends by itself.
  while (keeper && runningKeeper()) {
    const late = performance.now() > endMs;
    for (const process_ of [keeper, keeper.cluster])
      if (late && process_ && isRunning(process_)) process.kill(process_.pid, 'SIGTERM');
    if (performance.now() > endMs + END_MS)
      throw new CommandError('TEST_CLUSTER_FAILED', `process ${keeper.pid} does not end the cluster`);
    await turn(100);
  }
  await forget(keeper);
  say(keeper ? 'the cluster is down' : 'no cluster is up');
  return EXIT.done;
}

function mustBePossible(): void {
  const refuse = (message: string): never => {
    throw new CommandError('NO_TEST_CLUSTER', message);
  };
  if (process.platform !== 'linux') refuse(`expected Linux, got ${process.platform}`);
  if (process.getuid?.() !== 0)
    refuse(`expected root, who may make namespaces, got user ${process.getuid?.()}`);
  if (!existsSync(SCRIPTS)) refuse(`expected a checkout of Lepton, got ${ROOT} without test/cluster`);
  if (!existsSync(join(ROOT, 'build/native/lepton.node')))
    refuse('expected the compiled engine, of which images are made: `make setup` compiles it');
}

function startKeeper({ nodes, kubernetes, operator }: UpOptions, log: FileHandle): ChildProcess {
  const { stdout } = spawnSync(join(ROOT, 'scripts/datasets.sh'), { encoding: 'utf8' });
  const results = join(ROOT, 'runs/cluster/fashion-mnist');
  const options = { state: STATE, nodes, operator, data: stdout.trim(), results };
  return spawn(process.execPath, [join(SCRIPTS, 'keep.ts'), JSON.stringify(options)], {
    cwd: ROOT,
    env: { ...process.env, LEPTON_KUBERNETES: kubernetes },
    stdio: ['ignore', log.fd, log.fd],
    detached: true, // Ctrl-C comes to the command, which tells it
  });
}

/** Says what the keeper says until the cluster stands or the keeper has ended; gives all its lines. */
async function follow(
  keeper: ChildProcess,
  log: FileHandle,
  say: Say,
  interrupted: () => boolean,
): Promise<string[]> {
  const ended = once(keeper, 'exit').then(() => true);
  const endMs = performance.now() + START_MS;
  let told = 0;
  for (;;) {
    const over = await Promise.race([ended, turn(200).then(() => false)]);
    const { buffer, bytesRead } = await log.read(Buffer.alloc(2 ** 20), 0, 2 ** 20, 0);
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n').slice(0, -1);
    for (const line of lines.slice(told)) if (line.startsWith('cluster: ')) say(line);
    told = lines.length;
    if (over || (!interrupted() && existsSync(join(STATE, 'ready.json')))) return lines;
    if (performance.now() > endMs) keeper.kill('SIGTERM');
  }
}

function howToGoOn({ operator }: UpOptions): string[] {
  const { kubeconfig, programs } = JSON.parse(readFileSync(join(STATE, 'ready.json'), 'utf8')) as {
    kubeconfig: string;
    programs: string;
  };
  return [
    '',
    'The cluster is up. In your shell:',
    `  export KUBECONFIG=${kubeconfig} PATH=${programs}:$PATH`,
    '  kubectl get nodes',
    ...(operator
      ? [
          `  kubectl apply -f ${join(ROOT, 'examples/fashion-mnist/leptonjob.yaml')}`,
          '  lepton jobs',
          `Its results come to ${join(ROOT, 'runs/cluster/fashion-mnist')}.`,
        ]
      : ['  helm install lepton charts/lepton --set images.operator.tag=test --set images.worker.tag=test']),
    'It stays until `lepton cluster down`.',
  ];
}

function knownKeeper(): Keeper | undefined {
  try {
    return JSON.parse(readFileSync(join(STATE, 'keeper.json'), 'utf8')) as Keeper;
  } catch {
    return undefined;
  }
}

/** One that runs, or whose cluster does. */
function runningKeeper(): Keeper | undefined {
  const keeper = knownKeeper();
  const runs = keeper && (isRunning(keeper) || (keeper.cluster && isRunning(keeper.cluster)));
  return runs ? keeper : undefined;
}

function isRunning({ pid, started }: Identity): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state !== 'Z' && fields[18] === started;
  } catch {
    return false;
  }
}

/** What a keeper that was killed left behind. */
async function forget(known?: Keeper): Promise<void> {
  const keeper = known ?? knownKeeper();
  if (keeper) await rm(keeper.folder, { recursive: true, force: true });
  await rm(STATE, { recursive: true, force: true });
}

function turn(ms = 0): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
