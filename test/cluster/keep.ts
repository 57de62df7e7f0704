// Keeps a test cluster in the background: the outside of `lepton cluster up`. Starts stand.ts inside cluster.sh, lets the rest of the
// machine in to its API server, and ends everything that it started on SIGTERM, or when the cluster ends by itself.
//   keep.ts '{"state": FOLDER, "nodes": 2, "minor": "1.37", ...}'
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { doorOf, lifelineOf, type Said, type StandOptions, splice } from './stand.ts';

export interface KeepOptions extends Pick<StandOptions, 'nodes' | 'operator' | 'data' | 'results'> {
  /** Where keeper.json, ready.json and the kubeconfig are written. */
  readonly state: string;
}

/** For the nodes to end in order; then they are ended with their namespaces. */
const GRACE_MS = 60_000;

async function keep(options: KeepOptions): Promise<number> {
  const told = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => told.resolve());
  const folder = await mkdtemp(join(tmpdir(), 'lepton-cluster-'));
  const keeper = { ...(await identityOf(process.pid)), folder };
  await record(join(options.state, 'keeper.json'), keeper);
  const sockets = new Set<Socket>();
  const door = await listen(
    createServer((socket) => splice(socket, connect(doorOf(folder)))),
    0,
  );
  const { port } = door.address() as AddressInfo;
  let ready = false;
  const lifeline = await listen(
    createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      createInterface({ input: socket }).on('line', (line) => {
        const said = JSON.parse(line) as Said;
        if (said.kind === 'doing') console.log(`cluster: ${said.what}`);
        if (said.kind === 'failed') console.log(`cluster: failed: ${said.message}`);
        if (said.kind === 'failed') told.resolve();
        if (said.kind !== 'ready') return;
        ready = true;
        announce(options, said, port).catch((error: Error) => {
          console.log(`cluster: failed: ${error.message}`);
          told.resolve();
        });
      });
    }),
    lifelineOf(folder),
  );
  const { state: _, ...more } = options;
  const standing: StandOptions = { ...more, folder, server: `https://localhost:${port}` };
  const cluster = start(standing);
  const ended = once(cluster, 'exit');
  const known = { ...keeper, cluster: await identityOf(cluster.pid!) };
  await record(join(options.state, 'keeper.json'), known);
  await Promise.race([told.promise, ended]);
  for (const socket of sockets) socket.end();
  await endOf(cluster, ended);
  lifeline.close();
  door.close();
  await rm(folder, { recursive: true, force: true });
  await rm(options.state, { recursive: true, force: true });
  return ready ? 0 : 1;
}

function start(standing: StandOptions): ChildProcess {
  const command = [process.execPath, join(import.meta.dirname, 'stand.ts'), JSON.stringify(standing)];
  return spawn(join(import.meta.dirname, 'cluster.sh'), command, {
    stdio: ['ignore', 'inherit', 'inherit'],
    // What the cluster makes in the folder for temporary files goes with it.
    env: { ...process.env, TMPDIR: standing.folder },
  });
}

async function endOf(cluster: ChildProcess, ended: Promise<unknown>): Promise<void> {
  const timer = setTimeout(() => cluster.kill('SIGTERM'), GRACE_MS);
  if (cluster.exitCode === null && cluster.signalCode === null) await ended;
  clearTimeout(timer);
}

async function announce(
  { state }: KeepOptions,
  { kubeconfig, programs }: Extract<Said, { kind: 'ready' }>,
  port: number,
): Promise<void> {
  const own = join(state, 'kubeconfig');
  await copyFile(kubeconfig, own);
  await record(join(state, 'ready.json'), { kubeconfig: own, programs, port });
}

/** A process id is given to others later; with the time of its start it is not. */
async function identityOf(pid: number): Promise<{ pid: number; started: string }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return { pid, started: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]! };
}

async function record(path: string, content: unknown): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(content), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

async function listen(server: Server, at: number | string): Promise<Server> {
  if (typeof at === 'string') server.listen(at);
  else server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

process.exit(await keep(JSON.parse(process.argv[2]!) as KeepOptions));
