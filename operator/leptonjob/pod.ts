// The pod of one place in a job: the user's template, with what the role needs merged in. Pure.
import { HOSTED_TLS_FOLDER } from '../../protos/role-config.ts';
import type { OperatorConfig } from '../config.ts';
import type { KubeObject } from '../kube/objects.ts';
import type { Membership } from './gang/backend.ts';
import { hostsServer, restartsInPlace } from './hosting.ts';
import type { LeptonJobObject } from './job.ts';
import { configFor, MEMORY_FOLDER, outputFolderOf, TLS_FOLDER } from './job-config.ts';
import {
  CONTAINER,
  certificatesName,
  configName,
  LATER_GENERATIONS,
  podName,
  type Role,
  SERVER_PORT,
  serviceName,
} from './names.ts';
import { childMetadata, type Place, podLabelsOf } from './ownership.ts';
import { affinityOf, resourcesOf, tolerationsOf } from './placement.ts';
import { hardened, restricted, templateOf } from './template.ts';

type Json = Record<string, unknown>;

const CONFIG_FOLDER = '/etc/lepton/job';
const GRACE_SECONDS = 30;
/** Of processes that crashed or were killed, as shells report it: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV. */
const KILLED = [132, 133, 134, 135, 136, 137, 139];

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
        'cluster-autoscaler.kubernetes.io/safe-to-evict': String(!hostsServer(job, place)),
        ...template.metadata?.annotations,
        ...gang.annotations,
      },
    },
    spec: podSpecOf(job, place, config, { ...gang.defaults, ...template.spec, ...gang.spec }),
  } as KubeObject;
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
    volumes: [...volumesOf(job, place, ownOutput), ...((template['volumes'] ?? []) as Json[])],
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
    ...(hostsServer(job, { role, rank })
      ? {
          ports: [{ name: 'grpc', containerPort: SERVER_PORT }, ...((own['ports'] ?? []) as Json[])],
          readinessProbe: { tcpSocket: { port: SERVER_PORT }, periodSeconds: 2 },
        }
      : {}),
    ...(keepsMemory(job, { role, rank })
      ? {
          restartPolicy: 'Never',
          restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: KILLED } }],
        }
      : {}),
    volumeMounts: [
      { name: 'lepton-job', mountPath: CONFIG_FOLDER, readOnly: true },
      { name: 'lepton-tls', mountPath: TLS_FOLDER, readOnly: true },
      { name: 'lepton-tmp', mountPath: '/tmp' },
      ...(output === undefined ? [] : [{ name: 'lepton-output', mountPath: output }]),
      ...(keepsMemory(job, { role, rank }) ? [{ name: 'lepton-memory', mountPath: MEMORY_FOLDER }] : []),
      ...((own['volumeMounts'] ?? []) as Json[]),
    ],
  };
}

/** `ownOutput`: nothing that the author mounts takes the results. */
function volumesOf(job: LeptonJobObject, place: Place, ownOutput: boolean): Json[] {
  return [
    {
      name: 'lepton-job',
      configMap: { name: configName(job.metadata.name, configFor(job, place).digest) },
    },
    { name: 'lepton-tls', projected: { defaultMode: 0o440, sources: tlsSources(job, place) } },
    { name: 'lepton-tmp', emptyDir: {} },
    ...(ownOutput ? [{ name: 'lepton-output', emptyDir: {} }] : []),
    ...(keepsMemory(job, place) ? [{ name: 'lepton-memory', emptyDir: { medium: 'Memory' } }] : []),
  ];
}

function keepsMemory(job: LeptonJobObject, place: Pick<Place, 'role' | 'rank'>): boolean {
  return hostsServer(job, place) && restartsInPlace(job);
}

/** As `worker/transport/certificates.ts` looks for them. Later generations come into the pod when they are made. */
function tlsSources(job: LeptonJobObject, place: Place): Json[] {
  const { role } = place;
  return Array.from({ length: 1 + LATER_GENERATIONS }, (_, generation) => {
    const folder = generation === 0 ? '' : `${generation}/`;
    const beside = role === 'worker' && hostsServer(job, place);
    return {
      secret: {
        name: certificatesName(job.metadata.name, generation),
        items: [
          ...tlsItems(role, folder),
          ...(beside ? tlsItems('server', `${HOSTED_TLS_FOLDER}/${folder}`) : []),
        ],
        ...(generation === 0 ? {} : { optional: true }),
      },
    };
  });
}

function tlsItems(role: Role, folder: string): Json[] {
  return [
    { key: 'ca.crt', path: `${folder}ca.crt` },
    { key: `${role}.crt`, path: `${folder}tls.crt` },
    { key: `${role}.key`, path: `${folder}tls.key` },
  ];
}

function isBelow(path: string, parent: string): boolean {
  const folder = parent.replace(/\/$/, '');
  return path === folder || path.startsWith(`${folder}/`);
}
