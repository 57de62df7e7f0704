// Where a job's parameter servers live: in processes of their own, in those of workers, or in both. Which has how much of the parameters is
// not said here. Pure.

/** No job has more servers, wherever they live. */
export const MOST_SERVERS = 64;

/** Servers with processes of their own come first, so that server 0, the coordinator's, is one of them; the others live in workers. */
export interface ServerPlaces {
  readonly dedicated: number;
  readonly hosted: number;
}

/** A process of a job. */
export interface ProcessPlace {
  readonly role: 'server' | 'worker';
  readonly rank: number;
}

interface Spec {
  readonly worker: { readonly replicas: number; readonly minReplicas?: number };
  readonly parameterServer: { readonly replicas: number; readonly placement: 'servers' | 'mixed' };
}

export function serverPlacesOf(spec: Spec): ServerPlaces {
  const { replicas: dedicated, placement } = spec.parameterServer;
  const inWorkers = dedicated === 0 || placement === 'mixed';
  return { dedicated, hosted: inWorkers ? Math.min(lastingWorkers(spec), MOST_SERVERS) : 0 };
}

/** Workers that may leave hold no parameters. */
export function lastingWorkers({ worker }: Pick<Spec, 'worker'>): number {
  return worker.minReplicas ?? worker.replicas;
}

export function serverCount({ dedicated, hosted }: ServerPlaces): number {
  return dedicated + hosted;
}

/** Index of the server that lives in a process; undefined where none does. */
export function serverIn(
  { dedicated, hosted }: ServerPlaces,
  { role, rank }: ProcessPlace,
): number | undefined {
  if (role === 'server') return rank < dedicated ? rank : undefined;
  return rank < hosted ? dedicated + rank : undefined;
}

/** The process that a server lives in. */
export function hostOf({ dedicated }: ServerPlaces, server: number): ProcessPlace {
  return server < dedicated ? { role: 'server', rank: server } : { role: 'worker', rank: server - dedicated };
}
