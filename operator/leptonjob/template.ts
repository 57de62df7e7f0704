// The pod template that an author gave for a role, and what the restricted Pod Security Standard asks of each container and an
// author left out. Pure; what a template may ask for is template-policy.ts.
import type { OperatorConfig } from '../config.ts';
import type { LeptonJobObject } from './job.ts';
import type { Role } from './names.ts';
import type { Template } from './template-policy.ts';

type Json = Record<string, unknown>;

/** The workers' template serves the servers as well, unless they have their own. */
export function templateOf({ spec }: LeptonJobObject, role: Role): Template {
  const { template } =
    role === 'worker' ? spec.worker : { template: spec.parameterServer.template ?? spec.worker.template };
  return withoutNulls(template ?? {}) as Template;
}

/** A null means "not given", as everywhere in Kubernetes: it must not stand where a default would protect. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const given = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(given.map(([key, field]) => [key, withoutNulls(field)]));
}

/** A container beside the role's own, with the defaults of the standard that the operator enforces. */
export function hardened(container: Json, { podSecurity }: Pick<OperatorConfig, 'podSecurity'>): Json {
  if (podSecurity !== 'restricted') return container;
  return { ...container, securityContext: restricted(container['securityContext'] as Json | undefined) };
}

export function restricted(given: Json = {}): Json {
  const capabilities = given['capabilities'] as Json | undefined;
  return { allowPrivilegeEscalation: false, ...given, capabilities: { drop: ['ALL'], ...capabilities } };
}
