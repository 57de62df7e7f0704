// What is left of a job on every way to its end, and what counts as its time.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { until } from '../cluster/daemon.ts';
import { Fleet } from './fleet.ts';

let fleet: Fleet;
before(async () => {
  fleet = await Fleet.alone({ with: ['kube-controller-manager'] });
});
after(() => fleet?.[Symbol.asyncDispose]());

const namesOf = (pods: { metadata: { name: string } }[]) => pods.map(({ metadata }) => metadata.name);

type Policy = 'All' | 'Running' | 'None';

/** Ways to the end, with the pods that each policy leaves. */
const WAYS: readonly {
  readonly way: string;
  readonly reason: string;
  readonly spec: Record<string, unknown>;
  readonly end: (name: string) => Promise<unknown>;
  readonly left: Readonly<Record<Policy, readonly string[]>>;
}[] = [
  {
    way: 'limit',
    reason: 'RestartLimit',
    spec: { maxRestarts: 0 },
    end: async (name) => await fleet.end((await fleet.pods(name))[1]!, 1),
    left: { All: [], Running: ['worker-0'], None: ['server-0', 'worker-0', 'worker-1'] },
  },
  {
    way: 'hopeless',
    reason: 'MISSING_FILE',
    spec: {},
    end: async (name) => {
      const words = { phase: 'Failed', code: 'MISSING_FILE', message: '/data: expected a file' };
      await fleet.end((await fleet.pods(name))[1]!, 3, words);
    },
    left: { All: [], Running: ['worker-0'], None: ['server-0', 'worker-0', 'worker-1'] },
  },
  {
    way: 'deadline',
    reason: 'DeadlineExceeded',
    spec: { activeDeadlineSeconds: 5 },
    // Its pods have stopped with a checkpoint by then, whatever the policy.
    end: () => Promise.resolve(),
    left: { All: [], Running: [], None: [] },
  },
];

describe('the end', { concurrency: 8 }, () => {
  for (const { way, reason, spec, end, left } of WAYS)
    for (const policy of ['All', 'Running', 'None'] as const)
      test(`cleanPodPolicy ${policy}, the way ${way}`, { timeout: 60_000 }, async () => {
        const name = `${way}-${policy.toLowerCase()}`;
        await fleet.submit(name, { ...spec, cleanPodPolicy: policy });
        await fleet.run(name);
        await end(name);
        const { status } = await fleet.expect(
          name,
          'Failed',
          (job) => job.status?.phase === 'Failed',
          30_000,
        );
        const failed = status?.conditions?.find(({ type }) => type === 'Failed');
        assert.deepEqual([failed?.status, failed?.reason], ['True', reason]);
        const expected = left[policy].map((place) => `${name}-${place}`);
        await until(`pods: ${expected.join(' ') || 'none'}`, 15_000, async () => {
          const names = namesOf(await fleet.pods(name));
          return JSON.stringify(names) === JSON.stringify(expected) || undefined;
        });
      });

  test('the clock of the deadline goes on after a suspension where it stood', {
    timeout: 90_000,
  }, async () => {
    await fleet.submit('paused', { activeDeadlineSeconds: 8 });
    await fleet.run('paused', { phase: 'Running', step: 1 });
    await fleet.phase('paused', 'Running');
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await fleet.change('paused', { suspend: true });
    const { coordinators } = fleet;
    await until('the coordinator is asked', 5000, () => coordinators.get('paused')!.stops > 0 || undefined);
    const [server, ...workers] = await fleet.pods('paused');
    for (const worker of workers) await fleet.end(worker, 0);
    await fleet.end(server!, 0, { phase: 'Stopped', step: 2 });
    const { status } = await fleet.phase('paused', 'Suspended');
    const spent = status?.activeSeconds ?? 0;
    assert.ok(spent >= 2 && spent < 8, `${spent} s were counted`);
    assert.equal(status?.activeSince, undefined);
    await new Promise((resolve) => setTimeout(resolve, (8 - spent) * 1000 + 500));
    const later = (await fleet.job('paused')).status;
    assert.deepEqual([later?.phase, later?.activeSeconds], ['Suspended', spent]);
    const resumedMs = Date.now();
    await fleet.change('paused', { suspend: false });
    const hasFailed = ({ status }: LeptonJobObject) => status?.phase === 'Failed';
    const failed = await fleet.expect('paused', 'Failed', hasFailed, 30_000);
    const reason = failed.status?.conditions?.find(({ type }) => type === 'Failed')?.reason;
    assert.equal(reason, 'DeadlineExceeded');
    const tookSeconds = (Date.parse(failed.status!.completionTime!) - resumedMs) / 1000;
    assert.ok(tookSeconds > 8 - spent - 0.5, `${tookSeconds} s after ${spent} s of 8`);
  });

  test('a job with a time to live goes also when it failed, and nobody touches it', {
    timeout: 60_000,
  }, async () => {
    await fleet.submit('ended', { ttlSecondsAfterFinished: 2, maxRestarts: 0, cleanPodPolicy: 'None' });
    await fleet.run('ended');
    await fleet.end((await fleet.pods('ended'))[1]!, 1);
    const { status } = await fleet.phase('ended', 'Failed');
    await until('the job is gone', 30_000, async () =>
      (await fleet.job('ended').catch(() => undefined)) === undefined ? true : undefined,
    );
    assert.ok(Date.now() - Date.parse(status!.completionTime!) >= 1500, 'not before its time');
  });
});
