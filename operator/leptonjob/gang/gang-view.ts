// What stands between a job and a start of all its pods together: the objects of its gang scheduler as they are and as they should
// be, and what is to be done about the difference. Pure.
import type { OperatorConfig } from '../../config.ts';
import type { Resource } from '../../kube/objects.ts';
import type { LeptonJobObject } from '../job.ts';
import { workersOf } from '../job-config.ts';
import { LEPTON_JOBS } from '../names.ts';
import { podOf } from '../pod.ts';
import { agrees, type Gang, type GangBackend, type GangKind, type GangObject } from './backend.ts';
import type { GangRef, GangTask, GangView } from './gang.ts';
import { quantityOf, requestsOf } from './quantities.ts';

/** One object of a gang scheduler, whosever it is. */
export interface Found {
  readonly resource: Resource;
  readonly object: GangObject;
}

/** `backend`: what the pods of the present run are started with. */
export function viewGang(
  job: LeptonJobObject,
  config: OperatorConfig,
  backend: GangBackend | undefined,
  found: readonly Found[],
): Omit<GangView, 'choice' | 'lack'> {
  const staying = found.filter(({ object }) => object.metadata.deletionTimestamp === undefined);
  const present = staying.map(refOf).toReversed();
  const leaving = staying.length < found.length;
  if (!backend) return { tasks: [], present, outdated: present, leaving };
  const gang = gangOf(job, config);
  const tasks: GangTask[] = [];
  const outdated: GangRef[] = [];
  for (const kind of backend.kinds) {
    const known = found.find(({ resource }) => sameKind(resource, kind.resource));
    const task = taskFor(kind, gang, known?.object);
    if (task === 'replace') outdated.unshift(refOf(known!));
    else if (task && known?.object.metadata.deletionTimestamp === undefined) tasks.push(task);
  }
  const foreign = staying.filter(
    ({ resource }) => !backend.kinds.some((kind) => sameKind(resource, kind.resource)),
  );
  outdated.push(...foreign.map(refOf));
  const group = found.find(({ resource }) => sameKind(resource, backend.kinds.at(-1)!.resource))?.object;
  return { tasks, present, outdated, leaving, ...(group ? wordsOf(backend, group) : {}) };
}

function taskFor(
  { resource, specOf, changeOf }: GangKind,
  gang: Gang,
  object: GangObject | undefined,
): GangTask | 'replace' | undefined {
  const wanted = specOf(gang);
  if (!object) return { kind: 'create', resource, spec: wanted };
  const spec = object.spec ?? {};
  if (object.metadata.deletionTimestamp !== undefined || agrees(spec, wanted)) return undefined;
  const change = changeOf(spec, wanted);
  if (!change) return 'replace';
  return { kind: 'change', resource, resourceVersion: object.metadata.resourceVersion, spec: change };
}

function wordsOf(
  { wordsOf: said, heldOf }: GangBackend,
  group: GangObject,
): Pick<GangView, 'minimum' | 'held' | 'words'> {
  const [minimum, held, words] = [minimumOf(group), heldOf?.(group), said(group)];
  return {
    ...(minimum === undefined ? {} : { minimum }),
    ...(held === undefined ? {} : { held: `PodGroup ${group.metadata.name}: ${held}` }),
    ...(words === undefined ? {} : { words: `PodGroup ${group.metadata.name}: ${words}` }),
  };
}

interface Policy {
  readonly gang?: { readonly minCount?: number };
}

/** Whichever field it stands in. */
function minimumOf({ spec = {} }: GangObject): number | undefined {
  const [first] = (spec['podGroups'] ?? []) as { readonly policy?: Policy }[];
  const policy = (spec['schedulingPolicy'] ?? first?.policy) as Policy | undefined;
  return policy?.gang?.minCount ?? (spec['minMember'] as number | undefined);
}

function refOf({ resource, object }: Found): GangRef {
  return { resource, uid: object.metadata.uid };
}

function sameKind(a: Resource, b: Resource): boolean {
  return a.apiVersion === b.apiVersion && a.plural === b.plural;
}

/** A job as the server gave it never changes: one gang each, however many passes ask. */
const gangs = new WeakMap<LeptonJobObject, Gang>();

function gangOf(job: LeptonJobObject, config: OperatorConfig): Gang {
  const known = gangs.get(job);
  if (known) return known;
  const { spec, metadata } = job;
  const counts = { server: spec.parameterServer.replicas, worker: workersOf(job) };
  const [server, worker] = (['server', 'worker'] as const).map(
    (role) => (podOf(job, { role, rank: 0, attempt: 0 }, config) as { spec?: PodSpec }).spec ?? {},
  ) as [PodSpec, PodSpec];
  const made: Gang = {
    name: metadata.name,
    kind: LEPTON_JOBS.kind,
    apiGroup: LEPTON_JOBS.apiVersion.split('/')[0]!,
    minimum: counts.server + counts.worker,
    minResources: sumOf([server, counts.server], [worker, counts.worker]),
    queue: spec.scheduling.queue,
    // Schedulers want a group to have the priority of its pods, which their template may give as well.
    priorityClassName: worker.priorityClassName,
  };
  gangs.set(job, made);
  return made;
}

type PodSpec = Parameters<typeof requestsOf>[0] & { readonly priorityClassName?: string };

function sumOf(...parts: readonly [PodSpec, number][]): Record<string, string> {
  const sums = new Map<string, bigint>();
  for (const [spec, count] of parts)
    for (const [name, amount] of requestsOf(spec))
      sums.set(name, (sums.get(name) ?? 0n) + amount * BigInt(count));
  return Object.fromEntries([...sums].sort().map(([name, amount]) => [name, quantityOf(amount)]));
}
