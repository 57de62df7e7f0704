// What a leader that cannot ask for its Lease says, and how often.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Leader } from '../../../operator/controller/leader.ts';
import type { KubeApi } from '../../../operator/kube/api.ts';
import { ApiError } from '../../../operator/kube/errors.ts';
import type { KubeObject } from '../../../operator/kube/objects.ts';

test('a failure is told when its words change, not every time', { timeout: 10_000 }, async () => {
  const words = ['forbidden', 'forbidden', 'forbidden', 'out of reach', 'out of reach', 'forbidden'];
  const told: string[] = [];
  const all = Promise.withResolvers<void>();
  let asked = 0;
  const get = async (): Promise<never> => {
    if (asked === words.length) all.resolve();
    throw new Error(words[Math.min(asked++, words.length - 1)]);
  };
  const leader = new Leader({
    api: { get } as unknown as KubeApi,
    namespace: 'ns',
    name: 'lease',
    identity: 'me',
    retryMs: 1,
    onLost: () => {},
    onError: (error) => told.push((error as Error).message),
  });
  const run = leader.run();
  await all.promise;
  await leader.release();
  await run;
  assert.deepEqual(told, ['forbidden', 'out of reach', 'forbidden']);
});

/** A Lease that only its own writer changes, as a server keeps it. */
function aLease() {
  let lease: KubeObject | undefined;
  let version = 0;
  const write = async (_: unknown, object: KubeObject) => {
    lease = { ...object, metadata: { ...object.metadata, uid: 'u', resourceVersion: String(++version) } };
    return lease;
  };
  const get = async () => lease ?? Promise.reject(new ApiError('none', { status: 404, reason: 'NotFound' }));
  return { api: { get, create: write, replace: write } as unknown as KubeApi, versions: () => version };
}

for (const jumpMs of [3_600_000, -3_600_000])
  test(`a wall clock that jumps by ${jumpMs / 3_600_000} h: the leader leads on, the other waits on`, {
    timeout: 30_000,
  }, async (context) => {
    const { api, versions } = aLease();
    const lost: string[] = [];
    const times = { leaseMs: 5000, renewDeadlineMs: 4000, retryMs: 10 };
    const start = (identity: string) => {
      const onLost = (reason: string): void => void lost.push(`${identity}: ${reason}`);
      const leader = new Leader({ api, namespace: 'ns', name: 'lease', identity, onLost, ...times });
      return { leader, run: leader.run() };
    };
    const first = start('first');
    await first.leader.elected;
    const second = start('second');
    const { now } = Date;
    context.mock.method(Date, 'now', () => now() + jumpMs);
    const before = versions();
    while (versions() < before + 20) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual([first.leader.leads, second.leader.leads, lost], [true, false, []]);
    await first.leader.release();
    await second.leader.elected;
    await second.leader.release();
    await Promise.all([first.run, second.run]);
  });
