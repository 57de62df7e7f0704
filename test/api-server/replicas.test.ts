// Two replicas of the operator over one Lease: the leader is cut off, or stands still with a write on its way, and the other goes on.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LEASES, type Stored } from '../../operator/kube/objects.ts';
import { until } from '../cluster/daemon.ts';
import { type Arena, podsOf, startArena, twinsIn } from './arena.ts';
import { FaultProxy } from './fault-proxy.ts';
import { Fleet } from './fleet.ts';
import { startProcess } from './life.ts';
import { QUICK_TIMES, rest } from './rest.ts';

let arena: Arena;
before(async () => {
  arena = await startArena();
});
after(() => arena?.[Symbol.asyncDispose]());

interface Lease extends Stored {
  readonly spec: { readonly holderIdentity?: string };
}

describe('two replicas', { concurrency: 2 }, () => {
  test('the leader is cut off: it gives up, the other replica goes on, nothing is written twice', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.withoutOperator(arena.plane);
    await using first = await FaultProxy.start(arena.plane);
    await using second = await FaultProxy.start(arena.plane);
    const config = {
      times: QUICK_TIMES,
      leaderElection: { enabled: true, namespace: fleet.namespace, name: 'lease' },
    };
    const lease = { leaseMs: 3000, renewDeadlineMs: 2000, retryMs: 300 };
    const lost = Promise.withResolvers<string>();
    const leader = fleet.makeOperator(config, first.kubeConfig, {
      identity: 'first',
      lease,
      onLost: lost.resolve,
    });
    await leader.start();
    const standby = fleet.makeOperator(config, second.kubeConfig, { identity: 'second', lease });
    const leads = standby.start();
    await fleet.submit('job');
    const pods = await podsOf(fleet, 3, 0);
    assert.equal(second.writes, 0, 'the standby writes nothing');
    first.rule = () => ({ kind: 'drop' });
    assert.match(await lost.promise, /could not renew the lease/);
    await leader.stop(); // its process ends
    first.rule = () => ({ kind: 'pass' });
    const written = first.writes;
    await leads;
    await fleet.end(pods.find(({ metadata }) => metadata.name === 'job-worker-0')!, 1);
    await podsOf(fleet, 3, 1);
    await rest(fleet, [first, second], 3000);
    assert.equal(first.writes, written);
    await standby.stop();
  });

  test('the leader stands still with a write on its way, and goes on when another leads: nothing happens twice', {
    timeout: 240_000,
  }, async () => {
    await using fleet = await Fleet.withoutOperator(arena.plane);
    const leaderElection = { enabled: true, namespace: fleet.namespace, name: 'lease' };
    const config = { times: QUICK_TIMES, leaderElection };
    const holder = async () =>
      (await arena.plane.api.get<Lease>(LEASES, { namespace: fleet.namespace, name: 'lease' })).spec
        .holderIdentity;
    const first = await startProcess(fleet, config);
    const leader = await until('a leader', 30_000, holder);
    const second = await startProcess(fleet, config);
    try {
      await fleet.submit('job');
      const pods = await podsOf(fleet, 3, 0);
      assert.equal(second.proxy.writes, 0, 'the standby writes nothing');
      const onItsWay = Promise.withResolvers<void>();
      const queued = Promise.withResolvers<void>();
      let stood = false;
      first.proxy.rule = ({ isWrite }) => {
        if (!isWrite || stood) return { kind: 'pass' };
        stood = true;
        first.signal('SIGSTOP');
        queued.resolve();
        return { kind: 'queue', until: onItsWay.promise };
      };
      await fleet.end(pods.find(({ metadata }) => metadata.name === 'job-worker-0')!, 1);
      await queued.promise;
      await until('another leads', 60_000, async () => (await holder()) !== leader || undefined);
      await podsOf(fleet, 3, 1);
      const written = first.proxy.writes;
      onItsWay.resolve();
      first.signal('SIGCONT');
      await until('the first has ended', 60_000, () => first.ended() || undefined);
      await rest(fleet, [second.proxy], 5000);
      assert.ok(
        first.proxy.writes <= written + 1,
        `${first.proxy.writes - written} writes of a leader of the past`,
      );
      assert.deepEqual(await twinsIn(arena, fleet), []);
      const { status } = await fleet.job('job');
      assert.deepEqual([status?.attempt, status?.restarts, (await fleet.pods('job')).length], [1, 1, 3]);
    } finally {
      await first.stop();
      await second.stop();
    }
  });
});
