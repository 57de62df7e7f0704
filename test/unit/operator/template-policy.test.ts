// Pod templates that ask for more than their author may have: each refused, by the field that asks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { operatorConfigSchema } from '../../../operator/config.ts';
import { podOf } from '../../../operator/leptonjob/pod.ts';
import { templateOf } from '../../../operator/leptonjob/template.ts';
import { objectionsTo, type Template } from '../../../operator/leptonjob/template-policy.ts';
import { HOSTILE, volume } from './hostile-templates.ts';
import { SmallCluster } from './small-cluster.ts';

const RESTRICTED = { podSecurity: 'restricted', serviceAccounts: ['default'] } as const;
for (const [title, template, names] of HOSTILE)
  test(`${title} is refused`, () => {
    const objections = objectionsTo(template, RESTRICTED, 'spec.worker.template');
    assert.ok(objections.length > 0, 'nothing was said');
    assert.match(objections.join('\n'), names);
    for (const objection of objections)
      assert.ok(objection.startsWith('spec.worker.template.') && objection.length < 500);
  });

test('what an ordinary job asks for is allowed', () => {
  const template: Template = {
    metadata: { labels: { team: 'a' }, annotations: { 'sidecar.istio.io/inject': 'false' } },
    spec: {
      serviceAccountName: 'default',
      nodeSelector: { disk: 'ssd' },
      containers: [
        {
          name: 'lepton',
          image: 'mine:1',
          env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
          resources: { requests: { cpu: '2' } },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
          securityContext: { runAsUser: 1000, capabilities: { drop: ['ALL'] } },
        },
      ],
      volumes: [
        { name: 'data', persistentVolumeClaim: { claimName: 'data' } },
        { name: 'x', emptyDir: { medium: 'Memory' } },
      ],
      tolerations: [{ operator: 'Exists' }],
    },
  };
  assert.deepEqual(objectionsTo(template, RESTRICTED, 'spec.worker.template'), []);
});

test('an administrator may allow more', () => {
  const open = { podSecurity: 'off', serviceAccounts: ['default', 'trainer'] } as const;
  assert.deepEqual(
    objectionsTo({ spec: { hostNetwork: true, serviceAccountName: 'trainer' } }, open, 't'),
    [],
  );
  const baseline = { ...RESTRICTED, podSecurity: 'baseline' } as const;
  assert.deepEqual(objectionsTo(volume('nfs'), baseline, 't'), []);
  assert.equal(objectionsTo(volume('hostPath'), baseline, 't').length, 1);
});

const CONFIG = operatorConfigSchema.parse({ image: 'worker:test' });

function podFrom(template: Template): { objections: string[]; spec: Record<string, unknown> } {
  const { job } = new SmallCluster({ worker: { replicas: 1, template } });
  const objections = objectionsTo(templateOf(job, 'worker'), RESTRICTED, 't');
  const pod = podOf(job, { role: 'worker', rank: 0, attempt: 0 }, CONFIG) as { spec?: unknown };
  return { objections, spec: pod.spec as Record<string, unknown> };
}

test('a null stands in the way of no default', () => {
  const nothing = { runAsNonRoot: null, runAsUser: null, seccompProfile: null };
  const { objections, spec } = podFrom({
    spec: {
      securityContext: nothing,
      containers: [
        { name: 'lepton', securityContext: { allowPrivilegeEscalation: null, capabilities: { drop: null } } },
        { name: 'sidecar', securityContext: null },
      ],
      initContainers: [{ name: 'init' }],
    },
  });
  assert.deepEqual(objections, []);
  const pod = spec['securityContext'] as Record<string, unknown>;
  assert.deepEqual([pod['runAsNonRoot'], pod['runAsUser']], [true, 65_532]);
  assert.deepEqual(pod['seccompProfile'], { type: 'RuntimeDefault' });
  for (const list of ['containers', 'initContainers'])
    for (const made of spec[list] as { securityContext: Record<string, unknown> }[]) {
      assert.equal(made.securityContext['allowPrivilegeEscalation'], false);
      assert.deepEqual(made.securityContext['capabilities'], { drop: ['ALL'] });
    }
});

test('of any template there is an objection or a pod', () => {
  const junk = fc.anything({ maxDepth: 3, withNullPrototype: false });
  const fields = ['containers', 'initContainers', 'volumes', 'tolerations', 'securityContext', 'affinity'];
  const ofContainer = ['name', 'env', 'ports', 'volumeMounts', 'securityContext', 'resources', 'lifecycle'];
  const dictionary = (keys: readonly string[], value: fc.Arbitrary<unknown>) =>
    fc.dictionary(fc.constantFrom(...keys), value, { noNullPrototype: true });
  const containers = fc.array(fc.oneof(dictionary(ofContainer, junk), junk), { maxLength: 3 });
  const template = fc.tuple(dictionary(fields, junk), fc.option(containers));
  fc.assert(
    fc.property(template, ([spec, given]) => {
      const made = given === null ? spec : { ...spec, containers: given };
      const text = JSON.stringify({ spec: made }, (_, value) => (typeof value === 'bigint' ? 1 : value));
      const read = JSON.parse(text) as Template;
      const { job } = new SmallCluster({});
      const asked = {
        ...job,
        spec: { ...job.spec, worker: { ...job.spec.worker, template: read } },
      } as typeof job;
      if (objectionsTo(templateOf(asked, 'worker'), RESTRICTED, 't').length > 0) return;
      for (const role of ['worker', 'server'] as const)
        JSON.stringify(podOf(asked, { role, rank: 0, attempt: 0 }, CONFIG));
    }),
    { numRuns: 2000 },
  );
});
