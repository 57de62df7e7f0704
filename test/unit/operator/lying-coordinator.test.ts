// A coordinator that lies: whatever it says, the status is one that the API server takes, decisions go on, and nothing is written
// at rest. A wall clock that jumps does as little harm.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { statusSchema } from '../../../crds/status.ts';
import type { Plan } from '../../../operator/leptonjob/job.ts';
import { type Heard, reportOf } from '../../../operator/leptonjob/report.ts';
import { BOUNDS } from '../../../protos/phases.ts';
import { SmallCluster } from './small-cluster.ts';

const TRUTH: Heard = {
  phase: 'Running',
  step: 5,
  steps: 10,
  epoch: 1,
  workerCount: 2,
  samplesPerSecond: 1,
  metrics: {},
  evaluation: {},
  checkpoint: { step: 4, uri: '/output/checkpoints/4', failing: '' },
  waits: { silent: [], absent: [], awaited: [], standingSeconds: 0 },
  checkpointSeconds: 0,
};
const HOUR_MS = 3_600_000;
const FAILED = { reason: 'Error', message: 'failed', exitCode: 1 } as const;

/** All that is written passes through here. */
class Judged extends SmallCluster {
  override pass(crashAfter?: number): Plan {
    const plan = super.pass(crashAfter);
    const { success, error } = statusSchema.safeParse(JSON.parse(JSON.stringify(plan.status)));
    assert.ok(success, `the API server refuses it: ${error?.message}`);
    if (plan.kind === 'act' && plan.wakeInMs !== undefined) assert.ok(plan.wakeInMs > 0, `${plan.wakeInMs}`);
    return plan;
  }

  hear(lie: Partial<Record<keyof Heard, unknown>>): void {
    this.report = reportOf({ ...TRUTH, ...lie } as Heard, this.nowMs);
    this.silenceMs = 0;
  }
}

function training(spec: Record<string, unknown> = {}): Judged {
  const cluster = new Judged(spec);
  cluster.settle();
  cluster.run();
  cluster.hear({});
  cluster.settle();
  assert.equal(cluster.status?.phase, 'Running');
  return cluster;
}

const numbers = [Number.NaN, 1e300, -1e300, -1, Number.POSITIVE_INFINITY, 2 ** 64, 0.5, 1e9];
const fields = [
  'step',
  'steps',
  'epoch',
  'workerCount',
  'samplesPerSecond',
  'remainingSeconds',
  'loss',
] as const;
const waits = { silent: [], absent: [], awaited: [], standingSeconds: 0 };
const long = `${'x'.repeat(4095)}😀${'y'.repeat(100_000)}`;

const LIES: readonly (readonly [name: string, lie: Partial<Record<keyof Heard, unknown>>])[] = [
  ...[...fields, 'checkpointSeconds' as const].flatMap((field) =>
    numbers.map((value) => [`${field} ${value}`, { [field]: value }] as const),
  ),
  ...numbers.flatMap((value): [string, object][] => [
    [`metrics of ${value}`, { metrics: { loss: value }, evaluation: { loss: value } }],
    [`a checkpoint of step ${value}`, { checkpoint: { step: value, uri: '' } }],
    [`a step that stands for ${value} s`, { waits: { ...waits, standingSeconds: value } }],
  ]),
  ['a step back', { step: 1 }],
  ['a step beyond the last', { step: 1000 }],
  ['a phase that there is not', { phase: 'Dreaming' }],
  ['no phase', { phase: '' }],
  [
    'a thousand metrics',
    { metrics: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`m${i}`, i])) },
  ],
  [
    'a name of a metric that is one of JavaScript',
    { metrics: JSON.parse('{"__proto__": 1, "constructor": 2}') },
  ],
  ['words without end', { message: long, errorCode: long, waits: { ...waits, absent: [0] } }],
  [
    'words without end while it starts',
    { phase: 'Starting', message: long, waits: { ...waits, absent: [0] } },
  ],
  ['a failure without end', { checkpoint: { step: 4, uri: long, failing: long } }],
  ['ranks that there are not', { waits: { ...waits, absent: [7, 4_294_967_295] } }],
  ...numbers.map(
    (value) =>
      [
        `phases of ${value}`,
        { workerPhases: [{ phase: 'compute', counts: BOUNDS.map(() => value), seconds: value }] },
      ] as const,
  ),
  [
    'phases without end',
    { workerPhases: Array.from({ length: 50_000 }, (_, at) => ({ phase: `${at}`, counts: [], seconds: 1 })) },
  ],
  [
    'a crowd that is waited for',
    {
      waits: {
        ...waits,
        awaited: Array.from({ length: 50_000 }, (_, rank) => ({ rank, attempt: 0, waiting: true })),
      },
    },
  ],
  [
    'a worker that is silent for no number of seconds',
    { waits: { ...waits, silent: [{ rank: 0, attempt: 0, seconds: Number.NaN }] } },
  ],
];

for (const [name, lie] of LIES)
  test(`${name}: a status that the API server takes, no pod touched, nothing more at rest`, () => {
    const cluster = training();
    const pods = cluster.pods.map(({ uid }) => uid);
    cluster.hear(lie);
    // Of workers that are more or fewer it is asked to go on with the right number: no rest until it does.
    if (!('workerCount' in lie)) {
      cluster.settle();
      const { writes } = cluster;
      cluster.wait(HOUR_MS);
      cluster.pass();
      assert.equal(cluster.writes, writes);
    }
    for (let passes = 0; passes < 5; passes++) cluster.pass();
    assert.deepEqual(
      cluster.pods.map(({ uid }) => uid),
      pods,
    );
    assert.equal(cluster.status?.restarts ?? 0, 0);
    cluster.hear({ step: 6 });
    cluster.settle();
    assert.deepEqual([cluster.status?.phase, cluster.status?.progress?.step], ['Running', 6]);
  });

/** As many as it takes where nobody has to wait for the clock. */
function passes(cluster: Judged): void {
  for (let count = 0; count < 6; count++) cluster.pass();
}

for (const jumpMs of [HOUR_MS, -HOUR_MS])
  describe(`a wall clock that jumps by ${jumpMs / HOUR_MS} h`, () => {
    test('while it trains towards a deadline: goes on, and the time that is told is none below zero', () => {
      const cluster = training();
      cluster.change({ activeDeadlineSeconds: 86_400 });
      passes(cluster);
      cluster.wait(jumpMs);
      cluster.hear({ step: 6 });
      passes(cluster);
      assert.equal(cluster.status?.phase, 'Running');
      cluster.hear({ phase: 'Succeeded', step: 10 });
      passes(cluster);
      assert.equal(cluster.status?.phase, 'Succeeded');
      assert.equal(cluster.status?.activeSeconds, Math.max(0, jumpMs / 1000));
    });

    test('while it backs off: no longer than without', () => {
      const cluster = training();
      cluster.end('job-worker-0', FAILED);
      passes(cluster);
      assert.equal(cluster.pods.length, 3, 'the first failure is made good at once');
      cluster.end('job-worker-0', FAILED);
      passes(cluster);
      assert.equal(cluster.pods.length, 2, 'the second is not');
      cluster.wait(jumpMs);
      const beforeMs = cluster.nowMs;
      cluster.settle();
      assert.equal(cluster.pods.length, 3);
      assert.ok(cluster.nowMs - beforeMs <= 60_000, `${cluster.nowMs - beforeMs} ms`);
    });

    test('while a finished job lives on: it goes, an hour sooner or later', () => {
      const cluster = training();
      cluster.change({ ttlSecondsAfterFinished: 7200 });
      cluster.hear({ phase: 'Succeeded', step: 10 });
      passes(cluster);
      cluster.wait(jumpMs);
      passes(cluster);
      assert.ok(!cluster.deleted);
      const beforeMs = cluster.nowMs;
      while (!cluster.deleted && cluster.nowMs - beforeMs < 4 * HOUR_MS) {
        cluster.wait(60_000);
        cluster.pass();
      }
      assert.equal(cluster.nowMs - beforeMs, 2 * HOUR_MS - jumpMs);
    });
  });
