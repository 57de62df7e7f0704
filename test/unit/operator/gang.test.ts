// What each gang scheduler is told, and what a pass does about it: golden objects, the planner's stories with a group in them, and the
// controller dying after any step.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Gang, GangBackend, GangObject, Json } from '../../../operator/leptonjob/gang/backend.ts';
import { agrees } from '../../../operator/leptonjob/gang/backend.ts';
import { choiceOf } from '../../../operator/leptonjob/gang/gangs.ts';
import { KUBERNETES } from '../../../operator/leptonjob/gang/kubernetes.ts';
import { quantityOf, requestsOf, thousandthsOf } from '../../../operator/leptonjob/gang/quantities.ts';
import { SCHEDULER_PLUGINS } from '../../../operator/leptonjob/gang/scheduler-plugins.ts';
import { VOLCANO } from '../../../operator/leptonjob/gang/volcano.ts';
import { SmallCluster } from './small-cluster.ts';

const [V1BETA1, V1ALPHA3, V1ALPHA2, V1ALPHA1] = KUBERNETES as [
  GangBackend,
  GangBackend,
  GangBackend,
  GangBackend,
];

const GANG: Gang = {
  name: 'job',
  kind: 'LeptonJob',
  apiGroup: 'lepton.ai',
  minimum: 3,
  minResources: { cpu: '3' },
  queue: 'team-a',
  priorityClassName: 'high',
};

const POLICY = { gang: { minCount: 3 } };
const CONTROLLER = { apiGroup: 'lepton.ai', kind: 'LeptonJob', name: 'job' };
const TEMPLATE = { name: 'pods', schedulingPolicy: POLICY, priorityClassName: 'high' };
const WORKLOAD = { controllerRef: CONTROLLER, podGroupTemplates: [TEMPLATE] };
const IN_GROUP = { spec: { schedulingGroup: { podGroupName: 'job' } } };
const SINCE_137 = {
  specs: [
    WORKLOAD,
    {
      workloadRef: { workloadName: 'job', templateName: 'pods' },
      schedulingPolicy: POLICY,
      priorityClassName: 'high',
    },
  ],
  member: IN_GROUP,
};

const GOLDEN: readonly [GangBackend, { specs: Json[]; member: object }][] = [
  [V1BETA1, SINCE_137],
  [V1ALPHA3, SINCE_137],
  [
    V1ALPHA2,
    {
      specs: [
        WORKLOAD,
        {
          podGroupTemplateRef: { workload: { workloadName: 'job', podGroupTemplateName: 'pods' } },
          schedulingPolicy: POLICY,
          priorityClassName: 'high',
        },
      ],
      member: IN_GROUP,
    },
  ],
  [
    V1ALPHA1,
    {
      specs: [{ controllerRef: CONTROLLER, podGroups: [{ name: 'pods', policy: POLICY }] }],
      member: { spec: { workloadRef: { name: 'job', podGroup: 'pods' } } },
    },
  ],
  [
    VOLCANO,
    {
      specs: [{ minMember: 3, minResources: { cpu: '3' }, queue: 'team-a', priorityClassName: 'high' }],
      member: {
        annotations: { 'scheduling.k8s.io/group-name': 'job' },
        defaults: { schedulerName: 'volcano' },
      },
    },
  ],
  [
    SCHEDULER_PLUGINS,
    {
      specs: [{ minMember: 3, minResources: { cpu: '3' } }],
      member: { labels: { 'scheduling.x-k8s.io/pod-group': 'job' } },
    },
  ],
];

for (const [backend, { specs, member }] of GOLDEN)
  test(`${backend.apiVersion}: its objects, and what makes a pod a member`, () => {
    assert.deepEqual(
      backend.kinds.map(({ specOf }) => specOf(GANG)),
      specs,
    );
    assert.deepEqual(backend.memberOf('job'), member);
  });

/** As a server keeps it: with fields of its own. */
const filledIn = ({ specOf }: GangBackend['kinds'][number], gang = GANG): Json => {
  const spec = specOf(gang) as { podGroupTemplates?: Json[] };
  const podGroupTemplates = spec.podGroupTemplates?.map((template) => ({ ...template, priority: 7 }));
  return { ...spec, ...(podGroupTemplates ? { podGroupTemplates } : {}), disruptionMode: { single: {} } };
};

const MORE: Gang = { ...GANG, minimum: 5, minResources: { cpu: '5' } };

for (const backend of [V1BETA1, V1ALPHA3, VOLCANO, SCHEDULER_PLUGINS])
  test(`${backend.apiVersion}: another minimum is a change that keeps what the server filled in`, () => {
    for (const kind of backend.kinds) {
      const change = kind.changeOf(filledIn(kind), kind.specOf(MORE));
      assert.ok(change);
      const changed = { ...filledIn(kind), ...change } as { podGroupTemplates?: { priority?: number }[] };
      assert.ok(agrees(changed, kind.specOf(MORE)));
      for (const template of changed.podGroupTemplates ?? []) assert.equal(template.priority, 7);
    }
  });

for (const backend of [V1BETA1, V1ALPHA3])
  test(`${backend.apiVersion}: anything but the minimum cannot be changed`, () => {
    for (const kind of backend.kinds)
      assert.equal(
        kind.changeOf(filledIn(kind), kind.specOf({ ...MORE, priorityClassName: 'low' })),
        undefined,
      );
  });

for (const backend of [V1ALPHA2, V1ALPHA1])
  test(`${backend.apiVersion}: nothing can be changed`, () => {
    for (const kind of backend.kinds)
      assert.equal(kind.changeOf(filledIn(kind), kind.specOf(MORE)), undefined);
  });

test('agrees: nothing that is there says otherwise', () => {
  assert.ok(agrees({ b: [{ d: 3 }] }, { a: 1, b: [{ c: 2 }] }));
  assert.ok(!agrees(null, { a: 1 }));
  assert.ok(!agrees({ a: 2 }, { a: 1 }));
  assert.ok(!agrees({ b: [1, 2] }, { b: [1] }));
  assert.ok(!agrees({ b: 1 }, { b: { c: 1 } }));
});

const groupWith = (status: Json): GangObject => ({
  metadata: { name: 'job', uid: 'u', resourceVersion: '1' },
  status,
});

test('words: Kubernetes says them until the group has been scheduled once', () => {
  const condition = { type: 'PodGroupInitiallyScheduled', status: 'False', reason: 'Unschedulable' };
  const told = { conditions: [{ ...condition, message: 'no room' }] };
  assert.equal(V1BETA1.wordsOf(groupWith(told)), 'no room');
  assert.equal(V1BETA1.wordsOf(groupWith({ conditions: [condition] })), 'Unschedulable');
  assert.equal(V1BETA1.wordsOf(groupWith({ conditions: [{ ...condition, status: 'True' }] })), undefined);
  assert.equal(V1BETA1.wordsOf(groupWith({})), undefined);
  const older = { conditions: [{ ...condition, type: 'PodGroupScheduled', message: 'no room' }] };
  assert.equal(V1ALPHA2.wordsOf(groupWith(older)), 'no room');
});

test('words: of Volcano the last condition holds; no pod before the group is in the queue', () => {
  const full = { type: 'Unschedulable', status: 'True', message: 'full' };
  const scheduled = { type: 'Scheduled', status: 'True' };
  assert.equal(VOLCANO.wordsOf(groupWith({ conditions: [scheduled, full] })), 'full');
  assert.equal(VOLCANO.wordsOf(groupWith({ conditions: [full, scheduled] })), undefined);
  assert.equal(VOLCANO.heldOf?.(groupWith({ phase: 'Pending', conditions: [full] })), 'full');
  assert.ok(VOLCANO.heldOf?.(groupWith({})));
  for (const phase of ['Inqueue', 'Running', 'Unknown', 'Completed'])
    assert.equal(VOLCANO.heldOf?.(groupWith({ phase })), undefined);
});

test('auto takes the first of the three that there is; what is asked for by name is that or nothing', () => {
  const served =
    (...families: string[]) =>
    (family: string) =>
      families.includes(family);
  assert.equal(choiceOf('auto', served('schedulerPlugins', 'volcano', 'kubernetes')), 'kubernetes');
  assert.equal(choiceOf('auto', served('schedulerPlugins', 'volcano')), 'volcano');
  assert.equal(choiceOf('auto', served('schedulerPlugins')), 'schedulerPlugins');
  assert.equal(choiceOf('auto', served()), 'none');
  assert.equal(choiceOf('none', served('kubernetes')), 'none');
  assert.equal(choiceOf('volcano', served('kubernetes')), undefined);
  assert.equal(choiceOf('volcano', served('volcano')), 'volcano');
});

test('quantities', () => {
  const rows: readonly [unknown, string | undefined][] = [
    ['1', '1'],
    [2, '2'],
    ['500m', '500m'],
    ['1500m', '1500m'],
    ['0.1', '100m'],
    ['1e3', '1000'],
    ['1.5Gi', '1610612736'],
    ['2Ki', '2048'],
    ['3k', '3000'],
    ['100u', '1m'], // rounded up
    ['64Ti', '70368744177664'],
    ['one', undefined],
    ['1 Gi', undefined],
    ['', undefined],
  ];
  for (const [given, expected] of rows) {
    const thousandths = thousandthsOf(given);
    assert.equal(thousandths === undefined ? undefined : quantityOf(thousandths), expected, String(given));
  }
});

test('what a pod asks for: its containers together, or the largest that runs before them; limits where no request is', () => {
  type Amounts = Record<string, unknown>;
  const container = (requests: Amounts, limits: Amounts = {}) => ({ resources: { requests, limits } });
  const sums = requestsOf({
    containers: [container({ cpu: '1' }, { cpu: '2', 'nvidia.com/gpu': 1 }), container({ cpu: '500m' }), {}],
    initContainers: [container({ cpu: '1', memory: '1Ki' }), container({ memory: '2Ki' })],
  });
  assert.deepEqual(Object.fromEntries([...sums].map(([name, amount]) => [name, quantityOf(amount)])), {
    cpu: '1500m',
    'nvidia.com/gpu': '1',
    memory: '2048',
  });
});

const ERROR = { reason: 'Error', exitCode: 1, message: 'died' } as const;
type Act = (cluster: SmallCluster) => void;
const STORIES: Readonly<Record<string, readonly Act[]>> = {
  create: [(c) => c.run(), (c) => c.say('Running')],
  'a worker dies': [(c) => c.run(), (c) => c.end('job-worker-1', ERROR), (c) => c.run()],
  'everybody dies': [
    (c) => c.run(),
    (c) => {
      for (const name of ['job-server-0', 'job-worker-0', 'job-worker-1']) c.end(name, ERROR);
    },
    (c) => c.run(),
  ],
  'scale up': [(c) => c.run(), (c) => c.change({ worker: { replicas: 4 } }), (c) => c.run()],
  'scale down': [(c) => c.run(), (c) => c.change({ worker: { replicas: 1 } }), (c) => c.run()],
  suspend: [(c) => c.run(), (c) => c.change({ suspend: true })],
  'suspend and resume with other pods': [
    (c) => c.run(),
    (c) =>
      c.change({
        suspend: true,
        worker: { replicas: 3 },
        scheduling: { gang: 'auto', priorityClassName: 'low' },
      }),
    (c) => c.change({ suspend: false }),
    (c) => c.run(),
  ],
  succeed: [(c) => c.run(), (c) => c.say('Succeeded', 10)],
};
const ENDED = new Set(['suspend', 'succeed']);
/** That of Volcano is held until somebody lets it in: as every other here. */
const EAGER: GangBackend = { ...SCHEDULER_PLUGINS };

for (const backend of [V1BETA1, V1ALPHA2, V1ALPHA1, EAGER])
  describe(backend.apiVersion, () => {
    for (const [name, story] of Object.entries(STORIES)) {
      test(`${name}: the group is there before the pods, as large as they are many, and stays`, () => {
        const cluster = tell(new SmallCluster({}, backend), story);
        assert.equal(cluster.gangObjects.length, ENDED.has(name) ? 0 : backend.kinds.length);
        const writes = cluster.writes;
        for (let again = 0; again < 5; again++) cluster.pass();
        assert.equal(cluster.writes, writes, 'a status was written without need');
      });

      test(`${name}: dying after any step ends in the same state`, () => {
        const undisturbed = essence(tell(new SmallCluster({}, backend), story));
        for (let crashAt = 0; crashAt < 30; crashAt++)
          assert.deepEqual(essence(tellDying(new SmallCluster({}, backend), story, crashAt)), undisturbed);
      });
    }
  });

function tell(cluster: SmallCluster, story: readonly Act[]): SmallCluster {
  cluster.settle();
  for (const act of story) {
    act(cluster);
    cluster.settle();
  }
  return cluster;
}

/** One pass dies after each of its first steps in turn. */
function tellDying(cluster: SmallCluster, story: readonly Act[], crashAt: number): SmallCluster {
  let passes = 0;
  for (const act of [() => {}, ...story]) {
    act(cluster);
    for (let steps = 0; steps < 3; steps++) if (passes++ === crashAt) cluster.pass(steps);
    cluster.settle();
  }
  return cluster;
}

function essence({ status, pods, gangObjects }: SmallCluster): unknown {
  return [
    status?.phase,
    status?.gang,
    pods.map(({ name, attempt, phase }) => `${name}@${attempt} ${phase}`).sort(),
    gangObjects.map(({ resource, object }) => [resource.kind, object.spec]),
  ];
}

const uidsOf = ({ gangObjects }: SmallCluster) => gangObjects.map(({ object }) => object.metadata.uid);

test('a partial restart keeps the group; another number changes it where it can be changed', () => {
  for (const [backend, same] of [
    [V1BETA1, true],
    [V1ALPHA2, false],
    [EAGER, true],
  ] as const) {
    const cluster = tell(new SmallCluster({}, backend), [(c) => c.run()]);
    const uids = uidsOf(cluster);
    tell(cluster, STORIES['a worker dies']!);
    assert.deepEqual(uidsOf(cluster), uids);
    tell(cluster, STORIES['scale up']!);
    assert.equal(uidsOf(cluster).join() === uids.join(), same, backend.apiVersion);
  }
});

test('a run that grew before anybody had a place begins anew in a group of its size', () => {
  for (const [backend, again] of [
    [V1ALPHA2, true],
    [V1BETA1, false],
  ] as const) {
    const cluster = tell(new SmallCluster({}, backend), [(c) => c.change({ worker: { replicas: 3 } })]);
    assert.equal(cluster.events.includes('Regrouping'), again);
    assert.equal(cluster.seen().gang.minimum, 4);
    assert.equal(cluster.pods.length, 4);
  }
});

test('a field that the server does not keep is not asked for again and again', () => {
  for (const backend of [V1BETA1, V1ALPHA2]) {
    const cluster = new SmallCluster({ scheduling: { priorityClassName: 'high' } }, backend);
    cluster.drops = 'priorityClassName';
    tell(cluster, [(c) => c.run(), (c) => c.say('Running')]);
    assert.equal(cluster.pods.length, 3);
    assert.equal(cluster.gangObjects.length, backend.kinds.length);
    const uids = uidsOf(cluster);
    tell(cluster, STORIES['a worker dies']!);
    assert.deepEqual(uidsOf(cluster), uids);
  }
});

test('a run that shrank in a group that cannot be changed begins anew when a pod would wait for ever', () => {
  const cluster = tell(new SmallCluster({ worker: { replicas: 3 } }, V1ALPHA2), [(c) => c.run()]);
  // As if two workers had left a run that goes on.
  cluster.change({ worker: { replicas: 1 } });
  cluster.status = { ...cluster.status, worker: { ...cluster.status!.worker!, replicas: 1 } };
  cluster.pods = cluster.pods.filter(({ name }) => name !== 'job-worker-1' && name !== 'job-worker-2');
  cluster.pods = cluster.pods.map((pod) => ({ ...pod, node: 'n' }));
  const uids = uidsOf(cluster);
  cluster.settle();
  assert.deepEqual(uidsOf(cluster), uids, 'nobody waits yet');
  cluster.end('job-worker-0', ERROR);
  cluster.settle();
  assert.notDeepEqual(uidsOf(cluster), uids);
  assert.ok(cluster.events.includes('Regrouping'));
  assert.equal(cluster.pods.length, 2);
});
