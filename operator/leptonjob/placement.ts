// What of a job decides on which nodes its pods may run: accelerators, the taints of their nodes, nodes that are left. Pure; whether
// any node could take a worker is accelerators.ts.
import type { LeptonJobObject } from './job.ts';
import type { Role } from './names.ts';

type Json = Record<string, unknown>;

/** Extended resources cannot be overcommitted: requests follow from the limits. */
export function resourcesOf({ spec }: LeptonJobObject, role: Role, given: Json): Json {
  if (role !== 'worker' || !spec.worker.accelerators) return given;
  return { ...given, limits: { ...(given['limits'] as Json | undefined), ...spec.worker.accelerators } };
}

/** Nodes with accelerators are by convention tainted with the name of the resource. */
export function tolerationsOf({ spec }: LeptonJobObject, role: Role): Json[] {
  if (role !== 'worker') return [];
  return Object.keys(spec.worker.accelerators ?? {}).map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoSchedule',
  }));
}

/** Nodes that the failure policy excludes, on top of what the template asks for. */
export function affinityOf({ status }: LeptonJobObject, template: Json): Json {
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
