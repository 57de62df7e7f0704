// Who was last, who waited for whom, who is slower than the rest: told by steps on a clock of the test's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stragglers, type StragglerTick } from '../../../worker/protocol/stragglers.ts';

class Job {
  readonly stragglers = new Stragglers();
  nowMs = 5000;
  nextStep = 0;

  /** One step in which rank r takes tookMs[r]; the coordinator looks at its end. */
  step(...tookMs: number[]): StragglerTick {
    const step = this.nextStep++;
    const begunMs = this.nowMs;
    this.stragglers.begun(step, tookMs.length, begunMs);
    const order = tookMs.map((ms, rank) => ({ ms, rank })).sort((a, b) => a.ms - b.ms);
    for (const { ms, rank } of order) this.stragglers.recorded(rank, step, begunMs + ms);
    this.nowMs = begunMs + Math.max(...tookMs);
    return this.stragglers.tick(this.nowMs);
  }

  /** Steps until so much time has passed; all that was told. */
  steps(seconds: number, ...tookMs: number[]): { begun: number[]; ended: number[]; slow: number[] } {
    const told = { begun: [] as number[], ended: [] as number[], slow: [] as number[] };
    for (const endMs = this.nowMs + seconds * 1000; this.nowMs < endMs; ) {
      const tick = this.step(...tookMs);
      told.begun.push(...tick.begun.map(({ rank }) => rank));
      told.ended.push(...tick.ended);
      told.slow = tick.slow.map(({ rank }) => rank);
    }
    return told;
  }
}

test('everybody waits for the last one, from the moment when the own share was there', () => {
  const job = new Job();
  job.step(100, 250, 400);
  job.step(100, 300, 200);
  assert.deepEqual(job.stragglers.waits(0), {
    steps: 2,
    lastSteps: 0,
    waitedSeconds: 0.5,
    longestFor: 2,
    longestForSeconds: 0.3,
  });
  assert.deepEqual(job.stragglers.waits(1), {
    steps: 2,
    lastSteps: 1,
    waitedSeconds: 0.15,
    longestFor: 2,
    longestForSeconds: 0.15,
  });
  assert.deepEqual(job.stragglers.waits(2), {
    steps: 2,
    lastSteps: 1,
    waitedSeconds: 0.1,
    longestFor: 1,
    longestForSeconds: 0.1,
  });
});

test('one worker alone is never last and waits for nobody', () => {
  const job = new Job();
  job.steps(5, 50);
  const { lastSteps, waitedSeconds, longestFor } = job.stragglers.waits(0);
  assert.deepEqual([lastSteps, waitedSeconds, longestFor], [0, 0, undefined]);
});

test('repeated, late and foreign shares are counted once or not at all; the last one of a step is told', () => {
  const stragglers = new Stragglers();
  stragglers.begun(7, 2, 1000);
  assert.equal(stragglers.recorded(0, 7, 1100), undefined);
  assert.equal(stragglers.recorded(0, 7, 1900), undefined, 'repeated');
  assert.equal(stragglers.recorded(2, 7, 1900), undefined, 'no such rank');
  assert.equal(stragglers.recorded(1, 6, 1900), undefined, 'late');
  assert.equal(stragglers.recorded(1, 8, 1900), undefined, 'ahead');
  assert.deepEqual(stragglers.recorded(1, 7, 1300), { last: 1, begunMs: 1000 });
  assert.equal(stragglers.recorded(1, 7, 1900), undefined, 'repeated after the end');
  assert.equal(stragglers.waits(0).waitedSeconds, 0.2);
  assert.equal(stragglers.waits(1).steps, 1);
});

test('a step that begins again after everybody went back counts from its second begin', () => {
  const stragglers = new Stragglers();
  stragglers.begun(7, 2, 1000);
  stragglers.recorded(0, 7, 1100);
  stragglers.begun(5, 2, 60_000);
  stragglers.recorded(0, 5, 60_010);
  stragglers.recorded(1, 5, 60_030);
  assert.deepEqual([stragglers.waits(0).steps, stragglers.waits(0).waitedSeconds], [1, 0.02]);
});

test('a worker whose share nobody waits for any more leaves the step to those that had come', () => {
  const stragglers = new Stragglers();
  stragglers.begun(0, 3, 0);
  stragglers.recorded(2, 0, 100);
  stragglers.recorded(0, 0, 150);
  stragglers.begun(1, 3, 150);
  assert.deepEqual(
    [0, 1, 2].map((rank) => stragglers.waits(rank).steps),
    [1, 0, 1],
  );
  assert.deepEqual([stragglers.waits(0).lastSteps, stragglers.waits(2).waitedSeconds], [1, 0.05]);
});

test('slow is who takes half as long again as the others in the middle, for some seconds; once told, once taken back', () => {
  const job = new Job();
  assert.deepEqual(job.steps(10, 100, 110, 90), { begun: [], ended: [], slow: [] });
  assert.deepEqual(job.steps(10, 100, 110, 200), { begun: [2], ended: [], slow: [2] });
  // Between both limits it stays what it was.
  assert.deepEqual(job.steps(10, 100, 110, 135), { begun: [], ended: [], slow: [2] });
  assert.deepEqual(job.steps(10, 100, 110, 105), { begun: [], ended: [2], slow: [] });
  assert.deepEqual(job.steps(10, 100, 110, 135), { begun: [], ended: [], slow: [] });
});

test('of two workers the slower one is named, with how many times as long it takes', () => {
  const job = new Job();
  job.steps(6, 300, 100);
  assert.deepEqual(job.step(300, 100).slow, [{ rank: 0, times: 3 }]);
});

test('a pause of one step is no slowness, nor are differences below a millisecond', () => {
  const job = new Job();
  job.steps(2, 100, 100);
  assert.deepEqual(job.step(100, 9000).begun, []);
  assert.deepEqual(job.steps(5, 100, 100), { begun: [], ended: [], slow: [] });
  assert.deepEqual(new Job().steps(5, 0.2, 0.9), { begun: [], ended: [], slow: [] });
});

test('workers that the job goes on without are forgotten', () => {
  const job = new Job();
  job.steps(6, 100, 100, 300);
  assert.deepEqual(job.step(100, 100).slow, []);
  assert.equal(job.stragglers.waits(2).steps, 0);
});
