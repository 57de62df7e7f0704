// What a leader that cannot ask for its Lease says, and how often.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Leader } from '../../../operator/controller/leader.ts';
import type { KubeApi } from '../../../operator/kube/api.ts';

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
