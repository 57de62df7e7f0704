// Who may do what, as tables, and the question to the server that `kubectl auth can-i` asks.
import assert from 'node:assert/strict';
import { KubeApi } from '../../operator/kube/api.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import type { Release } from './chart.ts';

export interface Scope extends Release {
  /** Where jobs are. */
  readonly jobs: string;
  readonly values: unknown;
}

/** A release for all namespaces, and one for some. */
export const EVERYWHERE: Scope = {
  name: 'lepton-wide',
  namespace: 'wide-system',
  jobs: 'wide-jobs',
  values: {},
};
export const LISTED: Scope = {
  name: 'lepton-listed',
  namespace: 'listed-system',
  jobs: 'listed-jobs',
  values: { config: { namespaces: ['listed-jobs'] } },
};
/** Where neither has a job. */
export const OTHER = 'other';

export type Row = readonly [
  may: boolean,
  verb: string,
  resource: string,
  namespace?: string | undefined,
  name?: string,
];

export function operatorRows({ jobs, namespace, name }: Scope): Row[] {
  const wide = jobs === EVERYWHERE.jobs;
  return [
    [true, 'watch', 'leptonjobs.lepton.ai', jobs],
    [true, 'update', 'leptonjobs.lepton.ai/status', jobs],
    [true, 'create', 'pods', jobs],
    [true, 'delete', 'pods', jobs],
    [true, 'get', 'secrets', jobs, 'job-tls'],
    [true, 'create', 'secrets', jobs],
    [true, 'create', 'podgroups.scheduling.k8s.io', jobs],
    [true, 'delete', 'podgroups.scheduling.volcano.sh', jobs],
    [true, 'list', 'nodes'],
    [true, 'update', 'leases.coordination.k8s.io', namespace, name],
    // Only where it works.
    [wide, 'watch', 'leptonjobs.lepton.ai', OTHER],
    [wide, 'create', 'pods', OTHER],
    [wide, 'create', 'podgroups.scheduling.k8s.io', OTHER],
    [wide, 'get', 'secrets', OTHER, 'job-tls'],
    [wide, 'create', 'pods', namespace],
    [wide, 'watch', 'leptonjobs.lepton.ai'],
    [wide, 'list', 'pods'],
    [wide, 'create', 'pods', 'kube-system'],
    [false, 'update', 'leases.coordination.k8s.io', namespace, 'somebody-else'],
    [false, 'update', 'leases.coordination.k8s.io', 'kube-system', name],
  ];
}

/** What no operator and no training pod may do, anywhere. */
export const NEVER: readonly Row[] = [
  ...[undefined, EVERYWHERE.jobs, LISTED.jobs, 'kube-system'].flatMap((namespace): Row[] => [
    [false, 'list', 'secrets', namespace],
    [false, 'watch', 'secrets', namespace],
    [false, 'update', 'secrets', namespace],
    [false, 'patch', 'secrets', namespace],
    [false, 'delete', 'secrets', namespace],
    [false, 'create', 'pods/exec', namespace],
    [false, 'get', 'pods/exec', namespace],
    [false, 'create', 'pods/attach', namespace],
    [false, 'create', 'pods/portforward', namespace],
    [false, 'get', 'pods/log', namespace],
    [false, 'create', 'pods/binding', namespace],
    [false, 'create', 'pods/eviction', namespace],
    [false, 'patch', 'pods/ephemeralcontainers', namespace],
    [false, 'update', 'pods/status', namespace],
    [false, 'create', 'leptonjobs.lepton.ai', namespace],
    [false, 'update', 'leptonjobs.lepton.ai', namespace],
    [false, 'deletecollection', 'pods', namespace],
    [false, 'create', 'serviceaccounts', namespace],
    [false, 'create', 'serviceaccounts/token', namespace],
    [false, 'impersonate', 'serviceaccounts', namespace],
    [false, 'create', 'deployments.apps', namespace],
    [false, 'create', 'roles.rbac.authorization.k8s.io', namespace],
    [false, 'escalate', 'roles.rbac.authorization.k8s.io', namespace],
    [false, 'bind', 'roles.rbac.authorization.k8s.io', namespace],
    [false, 'create', 'rolebindings.rbac.authorization.k8s.io', namespace],
    [false, '*', '*.*', namespace],
  ]),
  [false, 'update', 'nodes'],
  [false, 'patch', 'nodes'],
  [false, 'patch', 'nodes/status'],
  [false, 'get', 'nodes/proxy'],
  [false, 'delete', 'nodes'],
  [false, 'impersonate', 'users'],
  [false, 'impersonate', 'groups'],
  [false, 'escalate', 'clusterroles.rbac.authorization.k8s.io'],
  [false, 'bind', 'clusterroles.rbac.authorization.k8s.io'],
  [false, 'create', 'clusterrolebindings.rbac.authorization.k8s.io'],
  [false, 'update', 'customresourcedefinitions.apiextensions.k8s.io'],
  [false, 'create', 'namespaces'],
  [false, 'delete', 'namespaces'],
  [false, 'create', 'persistentvolumes'],
  [false, 'create', 'mutatingwebhookconfigurations.admissionregistration.k8s.io'],
  [false, 'approve', 'signers.certificates.k8s.io'],
];

/** A token of a service account, as its pods get one. */
export async function tokenOf(plane: ControlPlane, namespace: string, name: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  };
  const answer = await until(`token of ${namespace}/${name}`, 30_000, () =>
    plane.api.client.call<{ status: { token: string } }>({ method: 'POST', path, body }),
  );
  return answer.status.token;
}

/** As `kubectl auth can-i` asks: the server is asked with the token itself. */
export async function expectRights(plane: ControlPlane, token: string, rows: readonly Row[]): Promise<void> {
  const client = new KubeClient({ config: plane.kubeConfig(token), userAgent: 'lepton-test/1' });
  const api = new KubeApi(client);
  try {
    const answers = await Promise.all(
      rows.map(async ([may, verb, what, namespace, name]) => {
        const [place = '', subresource] = what.split('/');
        const [resource = '', ...group] = place.split('.');
        const resourceAttributes = {
          verb,
          group: group.join('.'),
          resource,
          ...(subresource === undefined ? {} : { subresource }),
          ...(namespace === undefined ? {} : { namespace }),
          ...(name === undefined ? {} : { name }),
        };
        const { status } = await api.client.call<{ status: { allowed: boolean } }>({
          method: 'POST',
          path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
          body: {
            apiVersion: 'authorization.k8s.io/v1',
            kind: 'SelfSubjectAccessReview',
            spec: { resourceAttributes },
          },
        });
        return {
          right: `${verb} ${what} ${namespace ?? '(cluster)'} ${name ?? ''}`,
          may,
          allowed: status.allowed,
        };
      }),
    );
    assert.deepEqual(
      answers.filter(({ may, allowed }) => may !== allowed),
      [],
    );
  } finally {
    client.close();
  }
}
