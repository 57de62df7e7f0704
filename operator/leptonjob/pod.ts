// The pod of one place in a job: the user's template, with what the role needs merged in. Pure.
import { createHash } from 'node:crypto';
import type { JobConfigInput } from '../../protos/role-config.ts';
import type { OperatorConfig } from '../config.ts';
import type { KubeObject, OwnerReference } from '../kube/objects.ts';
import { DEFAULT_OUTPUT } from './describe.ts';
import type { Membership } from './gang/backend.ts';
import type { LeptonJobObject } from './job.ts';
import {
  CONTAINER,
  certificatesName,
  configName,
  LABELS,
  LEPTON_JOBS,
  podName,
  type Role,
  SERVER_PORT,
  serviceName,
} from './names.ts';
import { hardened, restricted, templateOf } from './template.ts';

type Json = Record<string, unknown>;

export interface Place {
  readonly role: Role;
  readonly rank: number;
  readonly attempt: number;
}

const CONFIG_FOLDER = '/etc/lepton/job';
const TLS_FOLDER = '/etc/lepton/tls';
const GRACE_SECONDS = 30;
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
  const servers = Array.from(
    { length: spec.parameterServer.replicas },
    (_, rank) => `${podName(name, 'server', rank)}.${serviceName(name)}.${namespace}.svc:${SERVER_PORT}`,
  );
  const { template: _, ...worker } = spec.worker;
  const { template: _2, ...parameterServer } = spec.parameterServer;
  return {
    job: { name, run: job.status?.run ?? '' },
    workers,
    servers,
    listen: `0.0.0.0:${SERVER_PORT}`,
    security: { kind: 'mutualTls', jobUid: uid, directory: TLS_FOLDER },
    spec: { ...spec, worker: { ...worker, replicas: workers }, parameterServer, suspend: false },
    seed: spec.training.seed,
    directory,
    checkpointUri: spec.checkpoint.uri ?? `${directory.replace(/\/$/, '')}/checkpoints`,
    lastWordsFile: '/dev/termination-log',
    // The operator knows whom everybody waits for; those who only wait must not give up before it has acted.
    deadlines: { stallSeconds: Math.max(GIVE_UP_SECONDS, 2 * (spec.failurePolicy.stallSeconds ?? 0)) },
  };
}

function outputFolderOf({ spec }: LeptonJobObject): string {
  return (spec.output.uri ?? DEFAULT_OUTPUT).replace(/^file:\/\//, '');
}

function configFor(job: LeptonJobObject, { role, rank }: Place): JobConfig {
  const present = workersOf(job);
  return jobConfigOf(job, role === 'worker' && rank >= present ? nextWorkersOf(job) : present);
}

export function ownerOf({ metadata }: LeptonJobObject): OwnerReference {
  const { apiVersion, kind } = LEPTON_JOBS;
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Labels of every object of a job. */
export function labelsOf({ metadata }: LeptonJobObject): Record<string, string> {
  return {
    'app.kubernetes.io/name': 'lepton',
    'app.kubernetes.io/instance': metadata.name,
    'app.kubernetes.io/managed-by': 'lepton-operator',
    [LABELS.jobName]: metadata.name,
    [LABELS.jobUid]: metadata.uid,
  };
}

export function childMetadata(job: LeptonJobObject, name: string): KubeObject['metadata'] {
  return {
    name,
    namespace: job.metadata.namespace ?? 'default',
    labels: labelsOf(job),
    ownerReferences: [ownerOf(job)],
  };
}

export function podOf(
  job: LeptonJobObject,
  place: Place,
  config: OperatorConfig,
  gang: Membership = {},
): KubeObject {
  const template = templateOf(job, place.role);
  const metadata = childMetadata(job, podName(job.metadata.name, place.role, place.rank));
  return {
    metadata: {
      ...metadata,
      labels: { ...template.metadata?.labels, ...podLabelsOf(job, place), ...gang.labels },
      annotations: {
        'cluster-autoscaler.kubernetes.io/safe-to-evict': String(place.role === 'worker'),
        ...template.metadata?.annotations,
        ...gang.annotations,
      },
    },
    spec: podSpecOf(job, place, config, { ...gang.defaults, ...template.spec, ...gang.spec }),
  } as KubeObject;
}

/** Labels of ours on a pod. */
export function podLabelsOf(job: LeptonJobObject, { role, rank, attempt }: Place): Record<string, string> {
  return {
    ...labelsOf(job),
    'app.kubernetes.io/component': role === 'worker' ? 'worker' : 'parameter-server',
    [LABELS.role]: role,
    [LABELS.rank]: String(rank),
    [LABELS.attempt]: String(attempt),
  };
}

function podSpecOf(job: LeptonJobObject, place: Place, config: OperatorConfig, template: Json): Json {
  const containers = (template['containers'] ?? []) as Json[];
  const own = containers.find(({ name }) => name === CONTAINER) ?? {};
  const mounted = ((own['volumeMounts'] ?? []) as { mountPath?: string }[]).map(({ mountPath }) => mountPath);
  const directory = outputFolderOf(job);
  const ownOutput = !mounted.some((path) => path !== undefined && isBelow(directory, path));
  const { priorityClassName } = job.spec.scheduling;
  return {
    ...template,
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    restartPolicy: 'Never',
    // DNS names of the pods: `<pod>.<service>`.
    hostname: podName(job.metadata.name, place.role, place.rank),
    subdomain: serviceName(job.metadata.name),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: template['terminationGracePeriodSeconds'] ?? GRACE_SECONDS,
    ...(config.imagePullSecrets.length > 0 && template['imagePullSecrets'] === undefined
      ? { imagePullSecrets: config.imagePullSecrets.map((name) => ({ name })) }
      : {}),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: config.runAsUser,
      runAsGroup: config.runAsUser,
      fsGroup: config.runAsUser,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
      ...(template['securityContext'] as Json | undefined),
    },
    tolerations: [...((template['tolerations'] ?? []) as Json[]), ...tolerationsOf(job, place.role)],
    ...affinityOf(job, template),
    containers: [
      containerOf(job, place, config, own, ownOutput ? directory : undefined),
      ...containers.filter(({ name }) => name !== CONTAINER).map((container) => hardened(container, config)),
    ],
    ...(template['initContainers'] === undefined
      ? {}
      : { initContainers: (template['initContainers'] as Json[]).map((given) => hardened(given, config)) }),
    volumes: [
      {
        name: 'lepton-job',
        configMap: { name: configName(job.metadata.name, configFor(job, place).digest) },
      },
      {
        name: 'lepton-tls',
        secret: {
          secretName: certificatesName(job.metadata.name),
          defaultMode: 0o440,
          items: tlsItems(place.role),
        },
      },
      { name: 'lepton-tmp', emptyDir: {} },
      ...(ownOutput ? [{ name: 'lepton-output', emptyDir: {} }] : []),
      ...((template['volumes'] ?? []) as Json[]),
    ],
  };
}

function containerOf(
  job: LeptonJobObject,
  { role, rank, attempt }: Place,
  config: OperatorConfig,
  own: Json,
  output: string | undefined,
): Json {
  const defaults = role === 'worker' ? config.resources.worker : config.resources.parameterServer;
  return {
    image: config.image,
    imagePullPolicy: config.imagePullPolicy,
    ...own,
    name: CONTAINER,
    args: [
      '--job',
      `${CONFIG_FOLDER}/job.json`,
      '--role',
      role,
      '--rank',
      String(rank),
      '--attempt',
      String(attempt),
    ],
    terminationMessagePath: '/dev/termination-log',
    resources: resourcesOf(job, role, (own['resources'] ?? defaults) as Json),
    securityContext: {
      readOnlyRootFilesystem: true,
      ...restricted(own['securityContext'] as Json | undefined),
    },
    ...(role === 'server'
      ? {
          ports: [{ name: 'grpc', containerPort: SERVER_PORT }, ...((own['ports'] ?? []) as Json[])],
          readinessProbe: { tcpSocket: { port: SERVER_PORT }, periodSeconds: 2 },
        }
      : {}),
    volumeMounts: [
      { name: 'lepton-job', mountPath: CONFIG_FOLDER, readOnly: true },
      { name: 'lepton-tls', mountPath: TLS_FOLDER, readOnly: true },
      { name: 'lepton-tmp', mountPath: '/tmp' },
      ...(output === undefined ? [] : [{ name: 'lepton-output', mountPath: output }]),
      ...((own['volumeMounts'] ?? []) as Json[]),
    ],
  };
}

/** Extended resources cannot be overcommitted: requests follow from the limits. */
function resourcesOf({ spec }: LeptonJobObject, role: Role, given: Json): Json {
  if (role !== 'worker' || !spec.worker.accelerators) return given;
  return { ...given, limits: { ...(given['limits'] as Json | undefined), ...spec.worker.accelerators } };
}

/** Nodes with accelerators are by convention tainted with the name of the resource. */
function tolerationsOf({ spec }: LeptonJobObject, role: Role): Json[] {
  if (role !== 'worker') return [];
  return Object.keys(spec.worker.accelerators ?? {}).map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoSchedule',
  }));
}

/** Nodes that the failure policy excludes, on top of what the template asks for. */
function affinityOf({ status }: LeptonJobObject, template: Json): Json {
  const excluded = status?.excludedNodes ?? [];
  const affinity = (template['affinity'] ?? {}) as {
    nodeAffinity?: {
      requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms?: { matchFields?: Json[] }[] };
    };
  };
  if (excluded.length === 0) return template['affinity'] === undefined ? {} : { affinity };
  const { nodeAffinity } = affinity;
  const required = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const away = excluded.map((name) => ({ key: 'metadata.name', operator: 'NotIn', values: [name] }));
  const terms = required?.nodeSelectorTerms ?? [{}];
  const nodeSelectorTerms = terms.map((term) => ({
    ...term,
    matchFields: [...(term.matchFields ?? []), ...away],
  }));
  return {
    affinity: {
      ...affinity,
      nodeAffinity: {
        ...nodeAffinity,
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms },
      },
    },
  };
}

function tlsItems(role: Role): Json[] {
  return [
    { key: 'ca.crt', path: 'ca.crt' },
    { key: `${role}.crt`, path: 'tls.crt' },
    { key: `${role}.key`, path: 'tls.key' },
  ];
}

function isBelow(path: string, parent: string): boolean {
  const folder = parent.replace(/\/$/, '');
  return path === folder || path.startsWith(`${folder}/`);
}
