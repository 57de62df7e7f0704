// The work queue: one pass per key, nothing lost, back-off, turns between namespaces; by cases and against random schedules.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WorkQueue } from '../../../operator/controller/work-queue.ts';

function queueAt(): { queue: WorkQueue; pass: (ms: number) => void } {
  let now = 0;
  const queue = new WorkQueue({ nowMs: () => now });
  return {
    queue,
    pass: (ms) => {
      now += ms;
    },
  };
}

test('a key added twice is taken once; added while it runs it comes again afterwards', () => {
  const { queue } = queueAt();
  queue.add('a/x');
  queue.add('a/x');
  assert.equal(queue.depth, 1);
  assert.equal(queue.take(), 'a/x');
  assert.equal(queue.take(), undefined);
  queue.add('a/x');
  queue.add('a/x');
  assert.equal(queue.take(), undefined);
  queue.done('a/x');
  assert.equal(queue.take(), 'a/x');
  queue.done('a/x');
  assert.equal(queue.take(), undefined);
});

test('failures back off from 5 ms by doubling; a good pass starts anew', () => {
  const { queue, pass } = queueAt();
  queue.add('a/x');
  for (const expected of [5, 10, 20, 40]) {
    assert.equal(queue.take(), 'a/x');
    assert.equal(queue.failed('a/x'), expected);
    pass(expected - 1);
    assert.equal(queue.take(), undefined);
    assert.equal(queue.nextDueMs, 1);
    pass(1);
  }
  assert.equal(queue.take(), 'a/x');
  queue.done('a/x');
  queue.add('a/x');
  queue.take();
  assert.equal(queue.failed('a/x'), 5);
});

test('a change during a failing pass is not delayed by the back-off', () => {
  const { queue } = queueAt();
  queue.add('a/x');
  queue.take();
  queue.add('a/x');
  queue.failed('a/x');
  assert.equal(queue.take(), 'a/x');
});

test('the earliest of several times counts; an add overtakes them', () => {
  const { queue, pass } = queueAt();
  queue.addAfter('a/x', 100);
  queue.addAfter('a/x', 50);
  queue.addAfter('a/x', 200);
  pass(50);
  assert.equal(queue.take(), 'a/x');
  queue.done('a/x');
  assert.equal(queue.nextDueMs, undefined);
  queue.addAfter('a/x', 100);
  queue.add('a/x');
  assert.equal(queue.take(), 'a/x');
  queue.done('a/x');
  pass(100);
  assert.equal(queue.take(), undefined);
});

test('a namespace with a thousand keys does not keep another one waiting', () => {
  const { queue } = queueAt();
  for (let i = 0; i < 1000; i++) queue.add(`crowd/${i}`);
  queue.add('quiet/x');
  const first = [queue.take(), queue.take()];
  assert.ok(first.includes('quiet/x'), String(first));
});

test('random schedules: never two passes of a key, and every change is followed by a pass', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), key: fc.nat(5) }),
    fc.record({ kind: fc.constant('later' as const), key: fc.nat(5), ms: fc.nat(50) }),
    fc.record({ kind: fc.constant('take' as const) }),
    fc.record({ kind: fc.constant('end' as const), good: fc.boolean() }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(40) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { queue, pass } = queueAt();
      const running: string[] = [];
      const owed = new Set<string>(); // changed since their last pass began
      const take = (): boolean => {
        const key = queue.take();
        if (key === undefined) return false;
        assert.ok(!running.includes(key), `${key} has two passes`);
        running.push(key);
        owed.delete(key);
        return true;
      };
      for (const action of steps) {
        if (action.kind === 'add' || action.kind === 'later') {
          const key = `n${action.key % 2}/${action.key}`;
          owed.add(key);
          if (action.kind === 'add') queue.add(key);
          else queue.addAfter(key, action.ms);
        } else if (action.kind === 'take') take();
        else if (action.kind === 'pass') pass(action.ms);
        else {
          const key = running.shift();
          if (key !== undefined && action.good) queue.done(key);
          else if (key !== undefined) queue.failed(key);
        }
      }
      for (const key of running.splice(0)) queue.done(key);
      pass(2_000_000);
      while (take()) for (const key of running.splice(0)) queue.done(key);
      assert.deepEqual([...owed], []);
      assert.equal(queue.depth, 0);
      assert.equal(queue.nextDueMs, undefined);
    }),
    { numRuns: 2000 },
  );
});

test('what is counted: adds that make a key ready, waits, lengths of passes, retries', () => {
  let now = 0;
  const told: string[] = [];
  const queue = new WorkQueue({
    nowMs: () => now,
    observe: {
      added: () => void told.push('added'),
      waited: (seconds) => void told.push(`waited ${seconds}`),
      worked: (seconds) => void told.push(`worked ${seconds}`),
      retried: () => void told.push('retried'),
    },
  });
  queue.add('a/x');
  queue.add('a/x'); // is ready already
  now = 1000;
  queue.take();
  queue.add('a/x'); // waits for the end of its own pass
  now = 3000;
  assert.deepEqual(queue.unfinishedSeconds, [2]);
  queue.done('a/x');
  now = 4000;
  queue.take();
  queue.failed('a/x');
  assert.deepEqual(told, ['added', 'waited 1', 'added', 'worked 2', 'waited 3', 'retried', 'worked 0']);
  assert.deepEqual(queue.unfinishedSeconds, []);
});
