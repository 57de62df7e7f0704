// Who is waited for, told by real membership and ledger at ticks of a quarter of a second.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../../../worker/protocol/ledger.ts';
import { Membership } from '../../../worker/protocol/membership.ts';
import { type WaitReport, Waits } from '../../../worker/protocol/waits.ts';

const TICK_MS = 250;
const TOTALS = { samples: 1, sums: [1] };

/** Three workers that have joined; step 0 has begun. */
class Job {
  nowMs = 1_000_000;
  readonly membership = new Membership({ workers: 3, servers: 1, attempt: 0, silentMs: 120_000 });
  readonly ledger = new Ledger({
    workers: 3,
    steps: 100,
    stepsPerEpoch: 2,
    checkpointEvery: 3,
    evaluates: true,
  });
  readonly waits = new Waits();
  readonly epochs: number[] = [];
  /** Ranks that give signs of life. */
  alive = new Set([0, 1, 2]);
  states = ['running', 'running', 'running'];
  waiting = new Set<number>();

  constructor() {
    this.membership.step({ kind: 'enlist', server: 0 });
    for (const rank of [0, 1, 2]) this.join(rank, 0);
    this.ready(1);
    this.ledger.step({ kind: 'restore', state: undefined, nowMs: this.nowMs });
    this.ledger.step({ kind: 'cutTaken', step: 0 });
  }

  join(rank: number, attempt: number): void {
    const effects = this.membership.step({ kind: 'join', rank, attempt, digest: 'x', nowMs: this.nowMs });
    this.#admitted(effects);
  }

  /** The servers hold a checkpoint. */
  ready(epoch: number): void {
    this.membership.step({ kind: 'restorePoint', epoch, step: 0, foreign: false });
    this.#admitted(this.membership.step({ kind: 'loaded', server: 0, epoch }));
  }

  #admitted(effects: ReturnType<Membership['step']>): void {
    for (const effect of effects) if (effect.kind === 'admit') this.epochs[effect.rank] = effect.epoch;
  }

  done(rank: number): void {
    const step = this.ledger.position;
    this.ledger.step({ kind: 'record', rank, step, totals: TOTALS, nowMs: this.nowMs });
  }

  pass(seconds: number): WaitReport {
    let report: WaitReport | undefined;
    for (let ms = 0; ms < seconds * 1000; ms += TICK_MS) {
      this.nowMs += TICK_MS;
      if (this.nowMs % 1000 === 0) this.#beat();
      this.membership.step({ kind: 'tick', nowMs: this.nowMs });
      report = this.tick();
    }
    return report!;
  }

  tick(): WaitReport {
    return this.waits.tick(this.nowMs, this.membership, this.ledger);
  }

  #beat(): void {
    for (const rank of this.alive) {
      const beat = { rank, epoch: this.epochs[rank]!, nowMs: this.nowMs };
      const effects = this.membership.step({ kind: 'heartbeat', ...beat });
      if (effects.length === 0)
        this.waits.heard({ rank, state: this.states[rank]!, waiting: this.waiting.has(rank) });
    }
  }
}

const ranks = (report: WaitReport) => report.awaited.map(({ rank }) => rank);

test('a step stands: those whose share it lacks are named, and whether they wait themselves', () => {
  const job = new Job();
  job.done(0);
  job.done(2);
  assert.deepEqual(job.pass(0.5).awaited, []);
  const report = job.pass(60);
  assert.ok(Math.abs(report.standingSeconds - 60) < 1, String(report.standingSeconds));
  assert.deepEqual(report.awaited, [{ rank: 1, attempt: 0, waiting: false }]);
  job.waiting.add(1);
  assert.deepEqual(job.pass(2).awaited, [{ rank: 1, attempt: 0, waiting: true }]);
  job.done(1);
  assert.equal(job.tick().standingSeconds, 0);
});

test('a silent worker is named, and no step is said to stand meanwhile', () => {
  const job = new Job();
  job.alive.delete(1);
  assert.deepEqual(job.pass(4).silent, []);
  const report = job.pass(60);
  assert.deepEqual(
    report.silent.map(({ rank, attempt }) => [rank, attempt]),
    [[1, 0]],
  );
  assert.ok(report.silent[0]!.seconds > 60);
  assert.equal(report.standingSeconds, 0);
  assert.deepEqual(ranks(report), [0, 1, 2]);
  job.alive.add(1);
  assert.deepEqual(job.pass(1).silent, []);
});

test('the next process of a silent rank has a silence of its own', () => {
  const job = new Job();
  job.alive.delete(1);
  assert.equal(job.pass(30).silent[0]!.attempt, 0);
  job.join(1, 1);
  assert.deepEqual(job.pass(1).silent, []);
  job.alive.delete(1);
  assert.equal(job.pass(30).silent[0]!.attempt, 1);
});

for (const [what, disturb] of Object.entries<(job: Job) => void>({
  'somebody evaluates': (job) => {
    job.states[2] = 'evaluating';
  },
  'somebody has not joined': (job) => {
    job.membership.step({ kind: 'left', server: 0 });
    job.membership.step({ kind: 'enlist', server: 0 });
    job.ready(job.membership.baseEpoch);
    job.join(0, 0);
    job.join(1, 0);
  },
  'the servers load': (job) => {
    job.membership.step({ kind: 'left', server: 0 });
  },
  'a checkpoint is taken': (job) => {
    for (let step = 0; step < 3; step++) for (const rank of [0, 1, 2]) job.done(rank);
    assert.equal(job.ledger.position, 3);
  },
}))
  test(`no step stands while ${what}`, () => {
    const job = new Job();
    job.pass(30);
    disturb(job);
    assert.equal(job.pass(2000).standingSeconds, 0);
  });

test('who has not joined is named', () => {
  const job = new Job();
  assert.deepEqual(job.pass(1).absent, []);
  job.membership.step({ kind: 'left', server: 0 });
  assert.deepEqual(job.pass(1).absent, [0, 1, 2]);
  job.join(0, 0);
  assert.deepEqual(job.pass(1).absent, [1, 2]);
});

test('whoever evaluates through a rollback is alive', () => {
  const job = new Job();
  job.membership.step({ kind: 'left', server: 0 });
  job.membership.step({ kind: 'enlist', server: 0 });
  job.ready(job.membership.baseEpoch);
  job.join(0, 0);
  job.join(1, 0);
  // Rank 2 goes on under the epoch that it knows.
  const report = job.pass(300);
  assert.deepEqual([report.silent, report.absent], [[], [2]]);
});

test('a coordinator that stood still holds nobody silent', () => {
  const job = new Job();
  job.pass(10);
  job.nowMs += 600_000;
  job.membership.step({ kind: 'tick', nowMs: job.nowMs });
  const report = job.tick();
  assert.deepEqual(report.silent, []);
  assert.ok(report.standingSeconds < 15);
  assert.equal(job.membership.stateOf(1), 'present');
});
