// Where parameter servers live: by manifest, and which process has which of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostOf, serverCount, serverIn, serverPlacesOf } from '../../../crds/server-places.ts';

test('servers live where the manifest says, and never in workers that may leave', () => {
  const placesOf = (replicas: number, placement: 'servers' | 'mixed', minReplicas?: number) => {
    const worker = { replicas: 5, ...(minReplicas === undefined ? {} : { minReplicas }) };
    return serverPlacesOf({ worker, parameterServer: { replicas, placement } });
  };
  assert.deepEqual(placesOf(2, 'servers', 3), { dedicated: 2, hosted: 0 });
  assert.deepEqual(placesOf(0, 'servers'), { dedicated: 0, hosted: 5 });
  assert.deepEqual(placesOf(0, 'servers', 3), { dedicated: 0, hosted: 3 });
  assert.deepEqual(placesOf(2, 'mixed'), { dedicated: 2, hosted: 5 });
  assert.deepEqual(placesOf(2, 'mixed', 3), { dedicated: 2, hosted: 3 });
});

test('every server has a process, dedicated ones first, and no other process has one', () => {
  const count = fc.integer({ min: 0, max: 8 });
  fc.assert(
    fc.property(fc.record({ dedicated: count, hosted: count }), (places) => {
      const servers = Array.from({ length: serverCount(places) }, (_, server) => server);
      for (const server of servers) {
        const process = hostOf(places, server);
        assert.equal(process.role, server < places.dedicated ? 'server' : 'worker');
        assert.equal(serverIn(places, process), server);
      }
      const processes = (['server', 'worker'] as const).flatMap((role) =>
        Array.from({ length: 20 }, (_, rank) => serverIn(places, { role, rank })),
      );
      assert.deepEqual(
        processes.filter((server) => server !== undefined),
        servers,
      );
    }),
  );
});
