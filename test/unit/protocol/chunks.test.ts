// Which server has which part of the parameters: all of them once, in whole chunks, by the formula of the placement, and that formula
// against what every network interface carries.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ServerPlaces } from '../../../crds/server-places.ts';
import {
  NORM_BLOCK,
  PAGE_LENGTH,
  planChunks,
  planShards,
  proportionsOf,
} from '../../../worker/protocol/chunks.ts';

const count = (max: number) => fc.integer({ min: 0, max });
const places = fc
  .record({ dedicated: count(12), hosted: count(24) })
  .filter(({ dedicated, hosted }) => dedicated + hosted > 0);
const arenas = fc
  .record({ pages: count(400), state: count(2 * NORM_BLOCK), blocks: fc.integer({ min: 1, max: 3 }) })
  .map(({ pages, state, blocks }) => {
    const trainableLength = pages * PAGE_LENGTH;
    const chunkLength = blocks * NORM_BLOCK;
    return {
      chunkLength,
      chunks: planChunks({ trainableLength, length: trainableLength + state }, chunkLength),
    };
  });
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const sharesOf = (where: ServerPlaces): number[] => {
  const proportions = proportionsOf(where);
  return proportions.map((proportion) => proportion / sum(proportions));
};

test('every chunk has one server, shards follow each other without a gap', () => {
  fc.assert(
    fc.property(arenas, places, ({ chunks }, where) => {
      const shards = planShards(chunks, where);
      assert.equal(shards.length, where.dedicated + where.hosted);
      assert.deepEqual(
        shards.flatMap((shard) => shard.chunks),
        chunks,
      );
      let end = 0;
      for (const [server, shard] of shards.entries()) {
        assert.deepEqual([shard.server, shard.from], [server, end]);
        assert.equal(shard.to - shard.from, sum(shard.chunks.map(({ from, to }) => to - from)));
        end = shard.to;
      }
    }),
  );
});

test('shards have the shares of the formula, to within a chunk', () => {
  fc.assert(
    fc.property(arenas, places, ({ chunks, chunkLength }, where) => {
      const { dedicated: k, hosted: n } = where;
      const total = chunks.at(-1)?.to ?? 0;
      const whole = n * n + k * n - 2 * k;
      for (const { server, from, to } of planShards(chunks, where)) {
        const even = server < k ? 1 / k : 0;
        const share = k >= n ? even : (server < k ? 2 * (n - 1) : n - k) / whole;
        assert.ok(
          Math.abs(to - from - share * total) <= chunkLength,
          `server ${server}: ${to - from} elements`,
        );
      }
    }),
  );
});

test('of 10 chunks, 1 server has 4 and 3 workers have 2 each', () => {
  const chunks = planChunks({ trainableLength: 10 * NORM_BLOCK, length: 10 * NORM_BLOCK }, NORM_BLOCK);
  const sizes = planShards(chunks, { dedicated: 1, hosted: 3 }).map((shard) => shard.chunks.length);
  assert.deepEqual(sizes, [4, 2, 2, 2]);
});

test('without dedicated servers, without hosted ones and with one for each worker the split is even', () => {
  fc.assert(
    fc.property(arenas, fc.integer({ min: 1, max: 24 }), count(24), ({ chunks }, servers, workers) => {
      const even = planShards(chunks, { dedicated: servers, hosted: 0 });
      assert.deepEqual(planShards(chunks, { dedicated: 0, hosted: servers }), even);
      const hosted = Math.min(workers, servers);
      assert.deepEqual(planShards(chunks, { dedicated: servers, hosted }).slice(0, servers), even);
    }),
  );
});

/** What each interface sends, of all bytes: a server its part to every worker, a worker also what is not its own to the others. */
function loadsOf(shares: readonly number[], { dedicated: k, hosted: n }: ServerPlaces): number[] {
  return shares.map((share, at) => (at < k ? n * share : (n - 1) * share + 1 - share));
}

test('all network interfaces carry the same, and with any other parts one of them carries more', () => {
  const mixed = places.filter(({ dedicated, hosted }) => dedicated < hosted);
  const parts = fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 36, maxLength: 36 });
  fc.assert(
    fc.property(mixed, parts, (where, values) => {
      const best = sharesOf(where);
      const loads = loadsOf(best, where);
      assert.ok(Math.max(...loads) - Math.min(...loads) < 1e-12);
      const others = values.slice(0, best.length);
      const other = others.map((part) => part / sum(others));
      assert.ok(Math.max(...loadsOf(other, where)) >= loads[0]! - 1e-12);
    }),
  );
});
