// A test cluster that stands until it is told to go: the inside of `lepton cluster up`. Runs inside cluster.sh, which has no network
// but the cluster's own; what it says, and when it has to go, goes through a socket in the file system. Started by keep.ts.
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Cluster, startCluster } from './cluster.ts';
import { API_ADDRESS } from './nodes.ts';
import { makeOutput, makeVolume } from './volume.ts';

export interface StandOptions {
  /** For sockets and images; everything of the cluster is below it. */
  readonly folder: string;
  readonly nodes: number;
  readonly operator: boolean;
  /** What the claim `datasets` holds. */
  readonly data: string;
  /** Results of the example, under the claim `fashion-mnist`. */
  readonly results: string;
  /** Where the API server is reached from outside. */
  readonly server: string;
}

export type Said =
  | { readonly kind: 'doing'; readonly what: string }
  | { readonly kind: 'ready'; readonly kubeconfig: string; readonly programs: string }
  | { readonly kind: 'failed'; readonly message: string };

export const lifelineOf = (folder: string): string => join(folder, 'lifeline.sock');
export const doorOf = (folder: string): string => join(folder, 'api.sock');

async function stand(options: StandOptions): Promise<void> {
  const lifeline = connect(lifelineOf(options.folder));
  // Whoever keeps the cluster is gone, or lets it go.
  const over = new Promise<void>((resolve) => {
    lifeline.on('close', () => resolve());
    lifeline.on('error', () => resolve());
  });
  const say = (said: Said): void => void lifeline.write(`${JSON.stringify(said)}\n`);
  let cluster: Cluster | undefined;
  const started = (async () => {
    cluster = await startCluster({ ...options, say: (what) => say({ kind: 'doing', what }) });
    await furnish(cluster, options, say);
    const kubeconfig = await cluster.plane.kubeConfigFile('outside', undefined, options.server);
    say({ kind: 'ready', kubeconfig, programs: cluster.plane.programs });
  })().catch((error: Error) => say({ kind: 'failed', message: error.message }));
  await Promise.race([over, started]);
  await over;
  await cluster?.[Symbol.asyncDispose]();
}

async function furnish(
  cluster: Cluster,
  { folder, operator, data, results }: StandOptions,
  say: (said: Said) => void,
): Promise<void> {
  openDoor(doorOf(folder));
  await makeVolume(cluster.plane, 'datasets', { path: data, readOnly: true });
  await makeVolume(cluster.plane, 'fashion-mnist', { path: await makeOutput(results) });
  if (!operator) return;
  say({ kind: 'doing', what: 'installing the operator: helm install lepton charts/lepton' });
  await cluster.installOperator();
}

/** Connections to the socket are connections to the API server. */
function openDoor(path: string): void {
  createServer((from) => splice(from, connect(443, API_ADDRESS))).listen(path);
}

/** Two ends become one connection; either end ends both. */
export function splice(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}

if (import.meta.main) {
  await stand(JSON.parse(process.argv[2]!) as StandOptions);
  process.exit(0);
}
