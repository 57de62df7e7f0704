// Random schedules of a whole job against the plain implementation: whatever the network and the processes do, the job ends
// with the same bits and every sample counted once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Job, train } from './plain.ts';
import { type Faults, System } from './system.ts';

const NO_FAULTS: Faults = {
  repeat: 0,
  breakSession: 0,
  killWorker: 0,
  killServer: 0,
  killCoordinator: 0,
  loseMemory: 0,
  fullDisk: 0,
  resize: 0,
};

const jobs: fc.Arbitrary<Job> = fc
  .record({
    workers: fc.integer({ min: 1, max: 4 }),
    epochs: fc.integer({ min: 1, max: 3 }),
    stepsPerEpoch: fc.integer({ min: 1, max: 4 }),
    trainable: fc.integer({ min: 1, max: 5 }),
    state: fc.integer({ min: 0, max: 2 }),
    clipNorm: fc.option(fc.constantFrom(0.5, 100), { nil: undefined }),
  })
  .map(({ epochs, trainable, clipNorm, ...job }) => ({
    ...job,
    chunks: trainable + job.state,
    steps: epochs * job.stepsPerEpoch,
    ...(clipNorm === undefined ? {} : { clipNorm }),
  }));

const seeds = fc.integer({ min: 0, max: 2 ** 31 });
const serverCounts = fc.integer({ min: 1, max: 3 });

function changesIn(trail: readonly number[]): number {
  return trail.filter((workers, step) => step > 0 && workers !== trail[step - 1]).length;
}

interface Checked {
  readonly troubles: number;
  readonly changes: number;
  readonly returns: { toMemory: number; toCheckpoint: number };
}

function check(faults: Faults, runs: number): Checked {
  let [troubles, changes] = [0, 0];
  const returns = { toMemory: 0, toCheckpoint: 0 };
  fc.assert(
    fc.property(jobs, serverCounts, seeds, (job, servers, seed) => {
      const system = new System(job, servers, seed);
      const result = system.run(faults, 20);
      assert.deepEqual(result, train(job, system.checkpoints.at(-1)!.trail));
      changes += changesIn([job.workers, ...system.checkpoints.at(-1)!.trail]);
      assert.equal(system.ended, 'finish');
      troubles += system.troubles;
      returns.toMemory += system.returns.toMemory;
      returns.toCheckpoint += system.returns.toCheckpoint;
      assert.ok(system.returns.lostSteps <= 1, `${system.returns.lostSteps} steps lost`);
    }),
    { numRuns: runs },
  );
  return { troubles, changes, returns };
}

test('without faults, messages in any order', () => {
  check(NO_FAULTS, 400);
});

test('messages repeated and late', () => {
  check({ ...NO_FAULTS, repeat: 0.2 }, 400);
});

test('sessions break', (context) => {
  const { troubles } = check({ ...NO_FAULTS, repeat: 0.1, breakSession: 0.02 }, 400);
  context.diagnostic(`${troubles} sessions broken in 400 jobs`);
});

test('workers die', (context) => {
  const { troubles } = check({ ...NO_FAULTS, repeat: 0.1, killWorker: 0.03 }, 400);
  context.diagnostic(`${troubles} workers killed in 400 jobs`);
});

test('servers and coordinators die: their memory is enough, with one lost step at most', (context) => {
  const faults = { ...NO_FAULTS, repeat: 0.1, killServer: 0.01, killCoordinator: 0.003 };
  const { troubles, returns } = check(faults, 400);
  assert.ok(returns.toMemory > troubles / 4, `${returns.toMemory} of ${troubles} deaths`);
  assert.equal(returns.toCheckpoint, 0);
  context.diagnostic(`${troubles} killed in 400 jobs, ${returns.toMemory} times all went back to memory`);
});

test('servers die, and their memory with some', (context) => {
  const faults = { ...NO_FAULTS, repeat: 0.1, killServer: 0.01, killCoordinator: 0.003, loseMemory: 0.3 };
  const { troubles, returns } = check(faults, 400);
  assert.ok(returns.toMemory > 50 && returns.toCheckpoint > 50, JSON.stringify(returns));
  context.diagnostic(`${troubles} killed in 400 jobs; ${JSON.stringify(returns)}`);
});

const EVERYTHING: Faults = {
  repeat: 0.1,
  breakSession: 0.01,
  killWorker: 0.01,
  killServer: 0.01,
  killCoordinator: 0.005,
  loseMemory: 0.3,
  fullDisk: 0.1,
  resize: 0.01,
};

test('disks are full', (context) => {
  const { troubles } = check({ ...NO_FAULTS, repeat: 0.1, killServer: 0.003, fullDisk: 0.3 }, 400);
  context.diagnostic(`${troubles} faults in 400 jobs`);
});

test('workers come and go', (context) => {
  const { changes } = check({ ...NO_FAULTS, repeat: 0.1, resize: 0.03 }, 400);
  assert.ok(changes > 100, `${changes} changes`);
  context.diagnostic(`their number changed ${changes} times in 400 jobs`);
});

test('workers come and go while everything dies', (context) => {
  const { troubles, changes } = check(EVERYTHING, 600);
  assert.ok(changes > 100, `${changes} changes`);
  context.diagnostic(`${changes} changes of their number among ${troubles} faults in 600 jobs`);
});

test('everything dies', (context) => {
  const { troubles } = check({ ...EVERYTHING, resize: 0 }, 600);
  context.diagnostic(`${troubles} faults in 600 jobs`);
});
