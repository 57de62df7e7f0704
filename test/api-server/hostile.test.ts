// Authors and strangers who mean no good, on a real API server, in a namespace without Pod Security labels: the operator alone
// contains them. The server's own Pod Security admission is the judge of what it lets through.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { operatorConfigSchema } from '../../operator/config.ts';
import {
  CONFIG_MAPS,
  type KubeObject,
  NETWORK_POLICIES,
  PODS,
  pathOf,
  type Resource,
  SECRETS,
  SERVICES,
  type Stored,
} from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { jobConfigOf } from '../../operator/leptonjob/job-config.ts';
import { configName, LABELS } from '../../operator/leptonjob/names.ts';
import { podOf } from '../../operator/leptonjob/pod.ts';
import { templateOf } from '../../operator/leptonjob/template.ts';
import { objectionsTo, type Template } from '../../operator/leptonjob/template-policy.ts';
import { HOSTILE } from '../unit/operator/hostile-templates.ts';
import { Fleet, makeNamespace, RESTRICTED } from './fleet.ts';

/** A namespace whose admission refuses what the restricted standard forbids. */
const STRICT = 'strict';
const CONFIG = operatorConfigSchema.parse({ image: 'lepton/worker:test' });

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager'] });
  await makeNamespace(fleet.plane, STRICT, RESTRICTED);
});
after(() => fleet?.[Symbol.asyncDispose]());

const conditionOf = ({ status }: LeptonJobObject, type: string) =>
  status?.conditions?.find((condition) => condition.type === type);

const podsOf = async (name: string): Promise<string[]> =>
  (await fleet.pods(name)).map(({ metadata }) => metadata.name);

test(`${HOSTILE.length} hostile templates: each refused by name, no pod is made`, async () => {
  const submitted = await Promise.all(
    HOSTILE.map(async ([title, template, names], i) => {
      // Either role's own template.
      const role = i % 2 === 0 ? 'worker' : 'parameterServer';
      const job = await fleet.submit(`hostile-${i}`, { [role]: { replicas: 1, template } });
      return { title, names, name: job.metadata.name };
    }),
  );
  for (const { title, names, name } of submitted) {
    const refused = (seen: LeptonJobObject) => conditionOf(seen, 'Accepted')?.status === 'False';
    const job = await fleet.expect(name, title, refused, 30_000);
    assert.equal(conditionOf(job, 'Accepted')?.reason, 'Refused', title);
    assert.match(conditionOf(job, 'Accepted')?.message ?? '', names, title);
  }
  const { items } = await fleet.plane.api.list<Stored>(PODS, { namespace: fleet.namespace });
  assert.deepEqual(items, []);
});

/** What the policy leaves to the API server. */
const IMPOSSIBLE: readonly (readonly [title: string, template: Template])[] = [
  ['a container’s name of 253 characters', { spec: { containers: [{ name: 'x'.repeat(253), image: 'x' }] } }],
  ['a container’s name in Greek', { spec: { containers: [{ name: 'λεπτόν', image: 'x' }] } }],
  ['a label of 253 characters', { metadata: { labels: { team: 'x'.repeat(253) } } }],
  ['a label of emoji', { metadata: { labels: { team: '🦑' } } }],
  [
    'annotations of 300 KiB',
    {
      metadata: {
        annotations: {
          a: 'x'.repeat(60_000),
          b: 'x'.repeat(60_000),
          c: 'x'.repeat(60_000),
          d: 'x'.repeat(60_000),
          e: 'x'.repeat(60_000),
        },
      },
    },
  ],
  [
    'a volume under the name of the certificates',
    { spec: { volumes: [{ name: 'lepton-tls', emptyDir: {} }] } },
  ],
  [
    'a mount over the certificates',
    {
      spec: {
        containers: [
          { name: 'lepton', volumeMounts: [{ name: 'lepton-tmp', mountPath: '/etc/lepton/tls' }] },
        ],
      },
    },
  ],
  ['a second container of the same name', { spec: { initContainers: [{ name: 'lepton', image: 'x' }] } }],
  [
    'a volume that is two at once',
    { spec: { volumes: [{ name: 'v', emptyDir: {}, secret: { secretName: 'x' } }] } },
  ],
  ['a priority of its own', { spec: { priority: 2_000_000_000 } }],
  ['a node selector that is a text', { spec: { nodeSelector: 'x' } }],
];

test('what no pod can be made of shows as a wait, in the words of the API server', async () => {
  for (const [i, [, template]] of IMPOSSIBLE.entries())
    await fleet.submit(`impossible-${i}`, { worker: { replicas: 1, template } });
  for (const [i, [title]] of IMPOSSIBLE.entries()) {
    const name = `impossible-${i}`;
    const job = await fleet.expect(name, title, ({ status }) => status?.waiting?.on === 'Admission', 30_000);
    assert.ok((job.status?.waiting?.message.length ?? 0) > 20, title);
    assert.equal(conditionOf(job, 'Running')?.message, job.status?.waiting?.message, title);
    assert.deepEqual(await podsOf(name), [], title);
  }
});

test('names that no job can have are refused by the API server', async () => {
  for (const name of ['x'.repeat(253), 'x'.repeat(51), 'λεπτόν', 'Upper', 'a.b', '-a', '../default', '0day'])
    await assert.rejects(fleet.submit(name), /metadata\.name|Invalid value/, name);
});

test('what the operator lets through, Pod Security admission lets through', {
  timeout: 120_000,
}, async () => {
  const { job } = await jobFor({});
  let accepted = 0;
  const admit = async (template: Template): Promise<string> => {
    const asked = withTemplate(job, template);
    const pod = podOf(asked, { role: 'worker', rank: 0, attempt: 0 }, CONFIG);
    return await dryRun({ ...pod, metadata: { ...pod.metadata, namespace: STRICT } });
  };
  await fc.assert(
    fc.asyncProperty(anyTemplate, async (template) => {
      if (objectionsTo(templateOf(withTemplate(job, template), 'worker'), CONFIG, 't').length > 0) return;
      accepted++;
      assert.equal(await admit(template), '');
    }),
    { numRuns: 400, seed: 7 },
  );
  assert.ok(accepted > 100, `only ${accepted} got past the policy`);
  // The judge is awake: raw templates of the list are refused by it as well.
  const verdicts = await Promise.all(HOSTILE.map(([, template]) => admit(template).catch(() => '')));
  const violating = verdicts.filter((verdict) => /violates PodSecurity/.test(verdict)).length;
  assert.ok(violating >= 20, `only ${violating} were refused by Pod Security admission`);
});

/** Parts of templates put together at random: mostly what looks harmless, now and then what is not. */
const mostly = (harmless: readonly unknown[], evil: readonly unknown[] = []) =>
  fc.oneof(
    { weight: 24, arbitrary: fc.constantFrom(undefined, null, ...harmless) },
    ...(evil.length > 0 ? [{ weight: 1, arbitrary: fc.constantFrom(...evil) }] : []),
  );
const HANDLERS = [{ httpGet: { port: 80 } }, { httpGet: { port: 80, host: '' } }, { tcpSocket: { port: 1 } }];
const securityContext = fc.record({
  runAsUser: mostly([1000], [0]),
  runAsNonRoot: mostly([true], [false]),
  privileged: mostly([false], [true]),
  allowPrivilegeEscalation: mostly([false], [true]),
  capabilities: mostly(
    [{ drop: ['ALL'] }, { drop: ['KILL', 'ALL'] }, {}, { drop: null }, { add: null }, { add: [] }],
    [{ drop: [] }, { drop: ['KILL'] }, { add: ['NET_RAW'] }],
  ),
  seccompProfile: mostly([{ type: 'RuntimeDefault' }], [{ type: 'Unconfined' }]),
  procMount: mostly(['Default'], ['Unmasked']),
  seLinuxOptions: mostly([], [{ type: 'spc_t' }, {}]),
});
const podSecurityContext = fc.record({
  runAsUser: mostly([1000], [0]),
  runAsNonRoot: mostly([true], [false]),
  seccompProfile: mostly([{ type: 'Localhost', localhostProfile: 'x' }], [{ type: 'Unconfined' }]),
  sysctls: mostly([[]], [[{ name: 'kernel.msgmax', value: '1' }]]),
});
const anyContainer = (name: string, probed: boolean) =>
  fc.record({
    name: fc.constant(name),
    image: fc.constant('x'),
    securityContext: fc.option(securityContext, { nil: null }),
    livenessProbe: probed
      ? mostly(HANDLERS, [{ httpGet: { port: 80, host: '10.0.0.1' } }])
      : fc.constant(null),
    ports: mostly(
      [[{ containerPort: 1 }], [{ containerPort: 2, hostPort: 0 }]],
      [[{ containerPort: 1, hostPort: 1 }]],
    ),
  });
const anyTemplate = fc
  .record({
    securityContext: fc.option(podSecurityContext, { nil: null }),
    containers: fc
      .subarray(['lepton', 'sidecar'])
      .chain((names) => fc.tuple(...names.map((name) => anyContainer(name, true)))),
    initContainers: fc.option(fc.tuple(anyContainer('init', false)), { nil: null }),
    hostNetwork: mostly([false], [true]),
    hostPID: mostly([false], [true]),
    volumes: mostly(
      [[], [{ name: 'v', emptyDir: {} }], [{ name: 'v', ephemeral: null, secret: { secretName: 's' } }]],
      [[{ name: 'v', hostPath: { path: '/' } }], [{ name: 'v', nfs: { server: 'x', path: '/' } }]],
    ),
  })
  .map((spec) => JSON.parse(JSON.stringify({ spec })) as Template);

async function jobFor(spec: Record<string, unknown>): Promise<{ job: LeptonJobObject }> {
  await fleet.submit('plain', { suspend: true, ...spec });
  return { job: await fleet.phase('plain', 'Suspended') };
}

function withTemplate(job: LeptonJobObject, template: Template): LeptonJobObject {
  return { ...job, spec: { ...job.spec, worker: { ...job.spec.worker, template } } } as LeptonJobObject;
}

/** What the server says against it; empty where it would take it. */
async function dryRun(pod: KubeObject): Promise<string> {
  const body = { apiVersion: 'v1', kind: 'Pod', ...pod };
  const path = pathOf(PODS, { namespace: STRICT });
  return await fleet.plane.api.client.call({ method: 'POST', path, body, query: { dryRun: 'All' } }).then(
    () => '',
    (error: Error) => error.message,
  );
}

/** Somebody else's object under the name of a child, of a kind that a job makes. */
const TAKEN: readonly (readonly [
  resource: Resource,
  name: (job: LeptonJobObject) => string,
  more: object,
])[] = [
  [SERVICES, ({ metadata }) => metadata.name, { spec: { ports: [{ port: 1 }] } }],
  [NETWORK_POLICIES, ({ metadata }) => metadata.name, { spec: { podSelector: {} } }],
  [SECRETS, ({ metadata }) => `${metadata.name}-tls`, { stringData: { 'ca.crt': 'mine' } }],
  [
    CONFIG_MAPS,
    (job) => configName(job.metadata.name, jobConfigOf(job).digest),
    { data: { 'job.json': '{}' } },
  ],
  [
    PODS,
    ({ metadata }) => `${metadata.name}-worker-0`,
    { spec: { containers: [{ name: 'x', image: 'x' }] } },
  ],
];

for (const [resource, nameOf, more] of TAKEN)
  test(`somebody else’s ${resource.kind} under the name of a child is left as it is and reported`, async () => {
    const job = `taken-${resource.kind.toLowerCase()}`;
    await fleet.submit(job, { suspend: true });
    const suspended = await fleet.phase(job, 'Suspended');
    // As it will be named once the job goes on, and dressed up as one of its own.
    const name = nameOf({ ...suspended, spec: { ...suspended.spec, suspend: false } });
    const labels = { 'app.kubernetes.io/managed-by': 'lepton-operator', [LABELS.jobName]: job };
    const foreign = await fleet.plane.api.create<Stored>(resource, {
      metadata: { name, namespace: fleet.namespace, labels },
      ...more,
    });
    await fleet.change(job, { suspend: false });
    const { status } = await fleet.expect(
      job,
      'a conflict',
      (seen) => seen.status?.waiting?.on === 'NameConflict',
    );
    assert.match(
      status?.waiting?.message ?? '',
      new RegExp(`${resource.kind} ${name} exists and does not belong to this job`),
    );
    await fleet.plane.api.client.call({
      method: 'DELETE',
      path: `/apis/lepton.ai/v1alpha1/namespaces/${fleet.namespace}/leptonjobs/${job}`,
    });
    const now = await fleet.plane.api.get<Stored>(resource, { namespace: fleet.namespace, name });
    assert.deepEqual(
      [now.metadata.uid, now.metadata.resourceVersion, now.metadata.deletionTimestamp],
      [foreign.metadata.uid, foreign.metadata.resourceVersion, undefined],
    );
  });
