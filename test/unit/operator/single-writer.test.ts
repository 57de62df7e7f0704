// Who else writes a status, and how long the answer waits.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeptonJobStatus } from '../../../crds/status.ts';
import { SingleWriter } from '../../../operator/leptonjob/single-writer.ts';

const own: LeptonJobStatus = { phase: 'Running', restarts: 1 };
const foreign = (count: number): LeptonJobStatus => ({ phase: 'Failed', restarts: count });

test('own statuses, also those whose answer was lost, are answered at once', () => {
  const writer = new SingleWriter();
  assert.equal(writer.delayMs(foreign(0), '1', 0), 0, 'of an earlier process');
  writer.written(own);
  writer.sent({ ...own, restarts: 2 });
  assert.equal(writer.delayMs({ ...own, restarts: 2 }, '2', 0), 0);
  assert.equal(writer.delayMs({ restarts: 1, phase: 'Running' }, '3', 0), 0, 'fields in another order');
  assert.equal(writer.foreign, 0);
});

test('another writer is answered ever more slowly, each of its statuses counted once, and forgiven in time', () => {
  const writer = new SingleWriter();
  let nowMs = 0;
  const delays: number[] = [];
  for (let count = 1; count <= 10; count++) {
    writer.written(own);
    const delayMs = writer.delayMs(foreign(count), String(count), nowMs);
    assert.equal(writer.delayMs(foreign(count), String(count), nowMs), delayMs);
    delays.push(delayMs);
    nowMs += delayMs;
  }
  assert.deepEqual(delays, [0, 0, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  writer.written(own);
  assert.equal(writer.delayMs(foreign(11), '11', nowMs + 600_001), 0);
});
