// When a process that ended is started again: a table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXIT } from '../../../protos/exit-codes.ts';
import type { ChildEnd } from '../../../worker/launch/child.ts';
import { Restarts } from '../../../worker/launch/restarts.ts';

const killed: ChildEnd = { code: null, signal: 'SIGKILL', lastLines: [] };
const crashed: ChildEnd = { code: EXIT.failed, signal: null, lastLines: ['a', 'b'] };
const wrong: ChildEnd = {
  code: EXIT.hopeless,
  signal: null,
  error: { code: 'MISSING_FILE', message: 'train.npy: expected a file, got none' },
  lastLines: [],
};

test('a finished process is done', () => {
  const restarts = new Restarts({ maxRestarts: 0 });
  assert.equal(restarts.decide('worker-0', { code: EXIT.done, signal: null, lastLines: [] }).kind, 'done');
});

test('what a restart would meet again is not started again, and says its own error', () => {
  const decision = new Restarts({ maxRestarts: 100 }).decide('worker-0', wrong);
  assert.deepEqual(decision, { kind: 'fail', ...wrong.error });
});

test('killed processes are started again up to maxRestarts', () => {
  const restarts = new Restarts({ maxRestarts: 20 });
  for (let kill = 0; kill < 20; kill++) {
    assert.equal(restarts.decide(`worker-${kill % 2}`, killed).kind, 'restart');
    restarts.progressed();
  }
  const last = restarts.decide('worker-0', killed);
  assert.equal(last.kind === 'fail' && last.code, 'RESTART_LIMIT');
});

test('a crash loop ends with the words of the process, long before maxRestarts', () => {
  const restarts = new Restarts({ maxRestarts: 1000 });
  const kinds = Array.from({ length: 4 }, () => restarts.decide('worker-1', crashed).kind);
  assert.deepEqual(kinds, ['restart', 'restart', 'restart', 'fail']);
  const decision = restarts.decide('worker-1', crashed);
  assert.ok(decision.kind === 'fail' && /worker-1 ended 5 times.*exit code 1: a \| b/.test(decision.message));
});

test('steps in between make it no loop, and the wait grows only within a loop', () => {
  const restarts = new Restarts({ maxRestarts: 1000 });
  const delays = Array.from({ length: 10 }, () => {
    const decision = restarts.decide('server-0', crashed);
    restarts.progressed();
    return decision.kind === 'restart' ? decision.delayMs : 'fail';
  });
  assert.deepEqual(new Set(delays), new Set([50]));
  restarts.decide('server-0', crashed);
  assert.deepEqual(restarts.decide('server-0', crashed), { kind: 'restart', delayMs: 100 });
});
