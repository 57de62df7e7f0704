// Two thousand jobs are there when the operator begins: never more passes or requests at once than allowed, everybody's turn comes,
// and a namespace with one job does not wait for one with all the others.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { Controller } from '../../../operator/controller/controller.ts';
import { WorkQueue } from '../../../operator/controller/work-queue.ts';
import { KubeClient } from '../../../operator/kube/client.ts';

const JOBS = 2000;

test('2,000 requests at once: never more on their way than allowed, and all are answered', {
  timeout: 60_000,
}, async () => {
  const most = 8;
  let [open, highest] = [0, 0];
  const server = createServer((_, response) => {
    highest = Math.max(highest, ++open);
    setImmediate(() => {
      open--;
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const config = new KubeConfig();
  const cluster = { name: 'c', server: `http://127.0.0.1:${port}`, skipTLSVerify: true };
  config.loadFromClusterAndUser(cluster, { name: 'u' });
  const client = new KubeClient({ config, userAgent: 'test', maxInFlight: most });
  try {
    const calls = Array.from({ length: JOBS }, (_, i) => client.call({ method: 'GET', path: `/${i}` }));
    assert.equal((await Promise.all(calls)).length, JOBS);
    assert.ok(highest > 1 && highest <= most, `${highest} at once`);
  } finally {
    client.close();
    server.closeAllConnections();
    server.close();
  }
});

test('2,000 jobs of a namespace and one of another: passes within limits, the one comes at once', {
  timeout: 60_000,
}, async () => {
  const concurrency = 4;
  const passed: string[] = [];
  const all = Promise.withResolvers<void>();
  let [running, highest] = [0, 0];
  const controller = new Controller({
    queue: new WorkQueue({ nowMs: () => performance.now() }),
    concurrency,
    reconcile: async (key) => {
      highest = Math.max(highest, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      if (passed.push(key) === JOBS + 1) all.resolve();
      return {};
    },
    onError: (key, error) => all.reject(new Error(key, { cause: error })),
  });
  for (let i = 0; i < JOBS; i++) controller.add(`crowd/${i}`);
  controller.add('quiet/job');
  await all.promise;
  await controller.stop();
  assert.equal(highest, concurrency);
  assert.equal(new Set(passed).size, JOBS + 1);
  assert.ok(passed.indexOf('quiet/job') <= 2 * concurrency, `${passed.indexOf('quiet/job')} before it`);
});
