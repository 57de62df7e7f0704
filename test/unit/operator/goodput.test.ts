// What became of the time of a job, told step by step from status to status.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeptonJobStatus } from '../../../crds/status.ts';
import { goodputOf, type Moment } from '../../../operator/leptonjob/goodput.ts';
import type { Report } from '../../../operator/leptonjob/job.ts';

/** A job whose status is written at every step of the story. */
class Story {
  nowMs = Date.parse('2026-01-01T00:00:00Z');
  status: LeptonJobStatus = {};

  /** Time passes under the last status; then this is seen. */
  after(seconds: number, phase: Moment['phase'], more: Partial<Moment> = {}): this {
    this.nowMs += seconds * 1000;
    const progress = more.progress ?? this.status.progress;
    const moment: Moment = {
      phase,
      waiting: undefined,
      report: undefined,
      nowMs: this.nowMs,
      ...more,
      progress,
    };
    this.status = {
      phase,
      goodput: goodputOf(this.status, moment),
      ...(progress ? { progress } : {}),
      ...(moment.waiting ? { waiting: { ...moment.waiting, since: '' } } : {}),
    };
    return this;
  }

  get told() {
    const { ratio, productiveSeconds, lostSeconds } = this.status.goodput!;
    return { ratio, productiveSeconds, lostSeconds };
  }
}

const at = (step: number, checkpointSeconds = 0, steps = 1000) => ({
  progress: { step, steps, epoch: 1, checkpointSeconds },
});
const standing = (standingSeconds: number): Partial<Moment> => ({
  waiting: { on: 'Stall', message: '' },
  report: { waits: { silent: [], absent: [], awaited: [], standingSeconds } } as unknown as Report,
});

test('from the phases: schedule, init, restart; the rest is training', () => {
  const story = new Story()
    .after(0, 'Pending')
    .after(20, 'Starting')
    .after(10, 'Running')
    .after(60, 'Restarting')
    .after(10, 'Running')
    .after(100, 'Succeeded')
    .after(1000, 'Succeeded');
  assert.deepEqual(story.told, {
    ratio: 0.8,
    productiveSeconds: 160,
    lostSeconds: { schedule: 20, init: 10, restart: 10 },
  });
});

test('waits for a queue or a quota are told, and are not of the active time', () => {
  const queue = { waiting: { on: 'Queue', message: '' } } as const;
  const quota = { waiting: { on: 'Quota', message: '' } } as const;
  const story = new Story()
    .after(0, 'Suspended', queue)
    .after(3600, 'Pending', quota)
    .after(60, 'Pending')
    .after(25, 'Running')
    .after(75, 'Suspended')
    .after(500, 'Suspended');
  assert.deepEqual(story.told, {
    ratio: 0.75,
    productiveSeconds: 75,
    lostSeconds: { queue: 3660, schedule: 25 },
  });
});

test('steps that are done again were lost, at what a step took', () => {
  const story = new Story()
    .after(0, 'Running', at(0))
    .after(200, 'Running', at(400))
    .after(0, 'Restarting')
    .after(20, 'Running', at(300));
  assert.deepEqual(story.told, {
    ratio: 0.6818,
    productiveSeconds: 150,
    lostSeconds: { restart: 20, rollback: 50 },
  });
  story.after(50, 'Running', at(400));
  assert.equal(story.told.productiveSeconds, 200);
});

test('steps that another number of workers counts anew are no step back', () => {
  const story = new Story()
    .after(0, 'Running', at(0))
    .after(200, 'Running', at(400, 0, 1000))
    .after(0, 'Running', at(200, 0, 500));
  assert.deepEqual(story.told, { ratio: 1, productiveSeconds: 200, lostSeconds: {} });
});

test('checkpoints that held training up, also over a coordinator that counts from nothing', () => {
  const story = new Story()
    .after(0, 'Running', at(0))
    .after(100, 'Running', at(100, 4))
    .after(100, 'Running', at(200, 10))
    .after(100, 'Running', at(300, 2));
  assert.deepEqual(story.told, { ratio: 0.96, productiveSeconds: 288, lostSeconds: { checkpoint: 12 } });
});

test('a step that stands: from its beginning, though that is said only after a while', () => {
  const story = new Story()
    .after(0, 'Running')
    .after(300, 'Running', standing(200))
    .after(500, 'Running', standing(700))
    .after(100, 'Running')
    .after(200, 'Running');
  assert.deepEqual(story.told, { ratio: 0.2727, productiveSeconds: 300, lostSeconds: { stall: 800 } });
});
