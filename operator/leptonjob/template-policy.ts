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
  'schedulingGroup',
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
const MAX_ENVIRONMENT_BYTES = 64 * 1024;
const MAX_CONTAINERS = 8;

export function objectionsTo(template: Template, options: PolicyOptions, where: string): string[] {
  const objections: string[] = [];
  const object = (what: string): void => void objections.push(`${where}.${what}`);
  const spec = template.spec ?? {};
  for (const key of Object.keys(template.metadata?.labels ?? {}))
    if (RESERVED_LABELS.test(key)) object(`metadata.labels: ${key} belongs to the controller`);
  for (const key of RESERVED) if (spec[key] !== undefined) object(`spec.${key}: belongs to the controller`);
  objectToIdentity(spec, options, object);
  const containers = [...listOf(spec, 'containers', object), ...listOf(spec, 'initContainers', object)];
  if (containers.length > MAX_CONTAINERS) object(`spec.containers: expected at most ${MAX_CONTAINERS}`);
  for (const container of containers) objectToContainer(container, object);
  if (options.podSecurity === 'off') return objections;
  objectToHost(spec, object);
  for (const volume of listOf(spec, 'volumes', object)) objectToVolume(volume, options.podSecurity, object);
  for (const container of containers) {
    const name = `spec.containers[${String(container['name'])}]`;
    objectToSecurity(
      mapOf(container['securityContext']),
      options.podSecurity,
      `${name}.securityContext`,
      object,
    );
    for (const port of listOf(container, 'ports', object))
      if (port['hostPort'] !== undefined && port['hostPort'] !== 0)
        object(`${name}.ports: hostPort is not allowed`);
  }
  objectToSecurity(mapOf(spec['securityContext']), options.podSecurity, 'spec.securityContext', object);
  return objections;
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
  if (Array.isArray(sources) && sources.some((source) => mapOf(source)['serviceAccountToken'] !== undefined))
    object(`spec.volumes[${name}]: training pods hold no credentials of the cluster`);
}

function objectToContainer(container: Json, object: Object_): void {
  const name = String(container['name']).slice(0, 63);
  if (name === CONTAINER)
    for (const key of ['command', 'args', 'lifecycle', 'terminationMessagePath', 'restartPolicy'])
      if (container[key] !== undefined) object(`spec.containers[${name}].${key}: belongs to the controller`);
  const environment = JSON.stringify(container['env'] ?? []).length;
  if (environment > MAX_ENVIRONMENT_BYTES)
    object(
      `spec.containers[${name}].env: expected at most ${MAX_ENVIRONMENT_BYTES} bytes, got ${environment}`,
    );
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
  const added = mapOf(context['capabilities'])['add'];
  if (Array.isArray(added) && added.length > 0) object(`${where}.capabilities.add: is not allowed`);
  if (context['seLinuxOptions'] !== undefined) object(`${where}.seLinuxOptions: is not allowed`);
  if (level === 'baseline') return;
  if (allowPrivilegeEscalation === true) object(`${where}.allowPrivilegeEscalation: is not allowed`);
  if (runAsUser === 0) object(`${where}.runAsUser: root is not allowed`);
  if (runAsNonRoot === false) object(`${where}.runAsNonRoot: root is not allowed`);
}

function mapOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function listOf(parent: Json, key: string, object: Object_): Json[] {
  const value = parent[key];
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map(mapOf);
  object(`spec.${key}: expected a list`);
  return [];
}
