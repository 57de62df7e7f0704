// Whether a pod template asks for more than its author may have: the Pod Security Standards, and what would break the job.
// Pure; gives every objection, never changes a template.
import { CONTAINER } from './names.ts';

type Json = Readonly<Record<string, unknown>>;

export interface PolicyOptions {
  readonly podSecurity: 'restricted' | 'baseline' | 'off';
  readonly serviceAccounts: readonly string[];
}

export interface Template {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Json;
}

/** What the controller alone decides. */
const RESERVED = [
  'restartPolicy',
  'hostname',
  'subdomain',
  'ephemeralContainers',
  'setHostnameAsFQDN',
  'hostnameOverride',
  'schedulingGroup',
  'workloadRef',
];
const RESERVED_LABELS = /^(lepton\.ai|app\.kubernetes\.io)\//;
/** Kinds of volume that the restricted standard allows. */
const VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
  'image',
]);
/** The old way to choose an AppArmor profile, which kubelets still read. */
const APP_ARMOR = 'container.apparmor.security.beta.kubernetes.io/';
const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'];
const HOOKS = ['postStart', 'preStop'];
/** Projections that are credentials of the cluster. */
const CREDENTIALS = ['serviceAccountToken', 'podCertificate'];
const MAX_ENVIRONMENT_BYTES = 64 * 1024;
const MAX_CONTAINERS = 8;

export function objectionsTo(template: Template, options: PolicyOptions, where: string): string[] {
  const objections: string[] = [];
  const object = (what: string): void => void objections.push(`${where}.${what}`);
  const spec = template.spec ?? {};
  objectToShape(spec, object);
  if (objections.length > 0) return objections;
  for (const key of Object.keys(template.metadata?.labels ?? {}))
    if (RESERVED_LABELS.test(key)) object(`metadata.labels: ${key} belongs to the controller`);
  for (const key of RESERVED) if (spec[key] !== undefined) object(`spec.${key}: belongs to the controller`);
  objectToIdentity(spec, options, object);
  const containers = [...listOf(spec, 'containers'), ...listOf(spec, 'initContainers')];
  if (containers.length > MAX_CONTAINERS) object(`spec.containers: expected at most ${MAX_CONTAINERS}`);
  for (const container of containers) objectToContainer(container, object);
  if (options.podSecurity === 'off') return objections;
  const { podSecurity } = options;
  objectToProfiles(template.metadata?.annotations ?? {}, object);
  objectToHost(spec, object);
  for (const volume of listOf(spec, 'volumes')) objectToVolume(volume, podSecurity, object);
  for (const container of containers) {
    const name = nameOf(container);
    objectToSecurity(mapOf(container['securityContext']), podSecurity, `${name}.securityContext`, object);
    objectToHostOf(container, name, object);
  }
  objectToSecurity(mapOf(spec['securityContext']), podSecurity, 'spec.securityContext', object);
  return objections;
}

/** For messages: names are the author's words, of any length. */
function nameOf(container: Json): string {
  return `spec.containers[${String(container['name']).slice(0, 63)}]`;
}

type Object_ = (what: string) => void;

/** Whoever picks the account or the node of a pod picks up rights of others. */
function objectToIdentity(spec: Json, { serviceAccounts }: PolicyOptions, object: Object_): void {
  for (const key of ['serviceAccountName', 'serviceAccount']) {
    const account = spec[key];
    if (account !== undefined && !serviceAccounts.includes(String(account)))
      object(
        `spec.${key}: expected one of ${serviceAccounts.join(', ')}, got ${String(account).slice(0, 100)}`,
      );
  }
  if (spec['automountServiceAccountToken'] === true)
    object('spec.automountServiceAccountToken: training pods hold no credentials of the cluster');
  if (spec['nodeName'] !== undefined) object('spec.nodeName: nodes are chosen by the scheduler');
}

/** Pods are put together from these: they must be what they are taken for. The rest is the API server's to judge. */
function objectToShape(spec: Json, object: Object_): void {
  const lists = (parent: Json, where: string, keys: readonly string[]): void => {
    for (const key of keys) {
      const value = parent[key];
      if (value === undefined) continue;
      if (!Array.isArray(value)) object(`${where}.${key}: expected a list`);
      else if (!value.every(isMap)) object(`${where}.${key}: expected a list of objects`);
    }
  };
  const maps = (parent: Json, where: string, keys: readonly string[]): void => {
    for (const key of keys)
      if (parent[key] !== undefined && !isMap(parent[key])) object(`${where}.${key}: expected an object`);
  };
  lists(spec, 'spec', ['containers', 'initContainers', 'volumes', 'tolerations']);
  maps(spec, 'spec', ['securityContext', 'affinity']);
  for (const container of [...listOf(spec, 'containers'), ...listOf(spec, 'initContainers')]) {
    lists(container, nameOf(container), ['env', 'ports', 'volumeMounts']);
    maps(container, nameOf(container), ['securityContext', 'resources']);
  }
  const { requiredDuringSchedulingIgnoredDuringExecution: required } = mapOf(
    mapOf(spec['affinity'])['nodeAffinity'],
  );
  const terms = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution';
  lists(mapOf(required), terms, ['nodeSelectorTerms']);
  for (const term of listOf(mapOf(required), 'nodeSelectorTerms'))
    lists(term, `${terms}.nodeSelectorTerms`, ['matchFields']);
}

function objectToProfiles(annotations: Readonly<Record<string, string>>, object: Object_): void {
  for (const [key, profile] of Object.entries(annotations))
    if (key.startsWith(APP_ARMOR) && !/^(runtime\/default|localhost\/.*)?$/.test(profile))
      object(`metadata.annotations: ${key.slice(0, 120)}: the profile is not allowed`);
}

/** Ports of the node, and requests that the kubelet makes from there to a host of the author's choice. */
function objectToHostOf(container: Json, name: string, object: Object_): void {
  for (const port of listOf(container, 'ports'))
    if (port['hostPort'] !== undefined && port['hostPort'] !== 0)
      object(`${name}.ports: hostPort is not allowed`);
  const lifecycle = mapOf(container['lifecycle']);
  const handlers: readonly [string, unknown][] = [
    ...PROBES.map((key): [string, unknown] => [key, container[key]]),
    ...HOOKS.map((key): [string, unknown] => [`lifecycle.${key}`, lifecycle[key]]),
  ];
  for (const [key, handler] of handlers)
    for (const kind of ['httpGet', 'tcpSocket'])
      if (mapOf(mapOf(handler)[kind])['host']) object(`${name}.${key}.${kind}.host: is not allowed`);
}

function objectToHost(spec: Json, object: Object_): void {
  for (const key of ['hostNetwork', 'hostPID', 'hostIPC'])
    if (spec[key] === true) object(`spec.${key}: is not allowed`);
  if (spec['hostUsers'] === true) object('spec.hostUsers: is not allowed');
  const { sysctls } = mapOf(spec['securityContext']);
  if (Array.isArray(sysctls) && sysctls.length > 0) object('spec.securityContext.sysctls: are not allowed');
}

function objectToVolume(volume: Json, level: 'restricted' | 'baseline', object: Object_): void {
  const name = String(volume['name']).slice(0, 63);
  for (const kind of Object.keys(volume).filter((key) => key !== 'name')) {
    const allowed = level === 'restricted' ? VOLUMES.has(kind) : kind !== 'hostPath';
    if (!allowed) object(`spec.volumes[${name}]: ${kind} is not allowed`);
  }
  const sources = mapOf(volume['projected'])['sources'];
  const isCredential = (source: unknown): boolean =>
    CREDENTIALS.some((kind) => mapOf(source)[kind] !== undefined);
  if (Array.isArray(sources) && sources.some(isCredential))
    object(`spec.volumes[${name}]: training pods hold no credentials of the cluster`);
}

function objectToContainer(container: Json, object: Object_): void {
  const name = nameOf(container);
  if (container['name'] === CONTAINER)
    for (const key of ['command', 'args', 'lifecycle', 'terminationMessagePath', 'restartPolicy'])
      if (container[key] !== undefined) object(`${name}.${key}: belongs to the controller`);
  const environment = JSON.stringify(container['env'] ?? []).length;
  if (environment > MAX_ENVIRONMENT_BYTES)
    object(`${name}.env: expected at most ${MAX_ENVIRONMENT_BYTES} bytes, got ${environment}`);
}

function objectToSecurity(
  context: Json,
  level: 'restricted' | 'baseline',
  where: string,
  object: Object_,
): void {
  const { privileged, allowPrivilegeEscalation, runAsUser, runAsNonRoot, procMount } = context;
  if (privileged === true) object(`${where}.privileged: is not allowed`);
  if (procMount !== undefined && procMount !== 'Default') object(`${where}.procMount: is not allowed`);
  if (mapOf(context['windowsOptions'])['hostProcess'] === true)
    object(`${where}.windowsOptions: is not allowed`);
  if (mapOf(context['appArmorProfile'])['type'] === 'Unconfined')
    object(`${where}.appArmorProfile: is not allowed`);
  if (mapOf(context['seccompProfile'])['type'] === 'Unconfined')
    object(`${where}.seccompProfile: is not allowed`);
  const { add: added, drop: dropped } = mapOf(context['capabilities']);
  if (Array.isArray(added) && added.length > 0) object(`${where}.capabilities.add: is not allowed`);
  if (context['seLinuxOptions'] !== undefined) object(`${where}.seLinuxOptions: is not allowed`);
  if (level === 'baseline') return;
  if (allowPrivilegeEscalation === true) object(`${where}.allowPrivilegeEscalation: is not allowed`);
  if (dropped !== undefined && !(Array.isArray(dropped) && dropped.includes('ALL')))
    object(`${where}.capabilities.drop: expected ALL among them`);
  if (runAsUser === 0) object(`${where}.runAsUser: root is not allowed`);
  if (runAsNonRoot === false) object(`${where}.runAsNonRoot: root is not allowed`);
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mapOf(value: unknown): Json {
  return isMap(value) ? value : {};
}

function listOf(parent: Json, key: string): Json[] {
  const value = parent[key];
  return Array.isArray(value) ? value.map(mapOf) : [];
}
