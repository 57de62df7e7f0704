// What all processes of a job are told, and its digest. One config per number of workers; which pod has which is said here as well,
// how it comes into the pod is not. Pure.
import { createHash } from 'node:crypto';
import { serverPlacesOf } from '../../crds/server-places.ts';
import type { JobConfigInput } from '../../protos/role-config.ts';
import { hostNames, restartsInPlace } from './hosting.ts';
import type { LeptonJobObject } from './job.ts';
import { DEFAULT_OUTPUT, type Role, SERVER_PORT, serviceName } from './names.ts';

/** Where a pod has its certificates. */
export const TLS_FOLDER = '/etc/lepton/tls';
/** Where a pod has the memory that outlives its containers. */
export const MEMORY_FOLDER = '/run/lepton/memory';
const GIVE_UP_SECONDS = 3600;

/** What all processes of a job are told, and the digest that names it. */
export interface JobConfig {
  readonly content: JobConfigInput;
  readonly digest: string;
}

/** A job as the server gave it never changes: one config each per number of workers, however many pods ask. */
const configs = new WeakMap<LeptonJobObject, Map<number, JobConfig>>();

export function jobConfigOf(job: LeptonJobObject, workers: number = workersOf(job)): JobConfig {
  const ofJob = configs.get(job) ?? new Map<number, JobConfig>();
  configs.set(job, ofJob);
  const known = ofJob.get(workers);
  if (known) return known;
  const content = contentOf(job, workers);
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 8);
  const made = { content, digest };
  ofJob.set(workers, made);
  return made;
}

/** Those that are to come are told the number with which they will train. */
export function configFor(
  job: LeptonJobObject,
  { role, rank }: { readonly role: Role; readonly rank: number },
): JobConfig {
  const present = workersOf(job);
  return jobConfigOf(job, role === 'worker' && rank >= present ? nextWorkersOf(job) : present);
}

/** Of the present run. */
export function workersOf({ spec, status }: LeptonJobObject): number {
  return status?.worker?.replicas ?? spec.worker.replicas;
}

/** Of the run as it is to go on where workers are to come: those are told this number, everybody else the present one. */
export function nextWorkersOf(job: LeptonJobObject): number {
  return Math.max(workersOf(job), job.status?.resizing?.to ?? 0);
}

function contentOf(job: LeptonJobObject, workers: number): JobConfigInput {
  const { name, namespace, uid } = job.metadata;
  const { spec } = job;
  const directory = outputFolderOf(job);
  const servers = hostNames(job).map((pod) => `${pod}.${serviceName(name)}.${namespace}.svc:${SERVER_PORT}`);
  const { template: _, ...worker } = spec.worker;
  const { template: _2, ...parameterServer } = spec.parameterServer;
  return {
    job: { name, run: job.status?.run ?? '' },
    workers,
    servers,
    hostedServers: serverPlacesOf(spec).hosted,
    listen: `0.0.0.0:${SERVER_PORT}`,
    security: { kind: 'mutualTls', jobUid: uid, directory: TLS_FOLDER },
    spec: { ...spec, worker: { ...worker, replicas: workers }, parameterServer, suspend: false },
    seed: spec.training.seed,
    directory,
    checkpointUri: spec.checkpoint.uri ?? `${directory.replace(/\/$/, '')}/checkpoints`,
    lastWordsFile: '/dev/termination-log',
    ...(restartsInPlace(job)
      ? { snapshotFiles: { shard: `${MEMORY_FOLDER}/shard`, ledger: `${MEMORY_FOLDER}/ledger` } }
      : {}),
    // The operator knows whom everybody waits for; those who only wait must not give up before it has acted.
    deadlines: { stallSeconds: Math.max(GIVE_UP_SECONDS, 2 * (spec.failurePolicy.stallSeconds ?? 0)) },
  };
}

export function outputFolderOf({ spec }: LeptonJobObject): string {
  return (spec.output.uri ?? DEFAULT_OUTPUT).replace(/^file:\/\//, '');
}
