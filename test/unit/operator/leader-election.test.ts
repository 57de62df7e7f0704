// Leader election: client-go's rules by cases, and never two leaders in random worlds with slow and lost calls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LeaderElection, type LeaseState } from '../../../operator/controller/leader-election.ts';

const RETRY = 2000;

/** A Lease as a server keeps it: writes need the newest resourceVersion. */
class Server {
  lease: LeaseState | undefined;
  #version = 0;

  write({
    holder,
    leaseTransitions,
    resourceVersion,
  }: {
    holder: string;
    leaseTransitions: number;
    resourceVersion?: string;
  }): LeaseState | undefined {
    if (this.lease?.resourceVersion !== resourceVersion) return undefined;
    this.lease = { holder, leaseTransitions, resourceVersion: String(++this.#version) };
    return this.lease;
  }
}

/** One read and, where asked for, one write that both get through. */
function turn(election: LeaderElection, server: Server, now: number): string {
  const action = election.observed(server.lease, now);
  if (action.kind !== 'write') return action.kind;
  const lease = server.write(action);
  if (lease) election.written(lease);
  else election.failed(now);
  return lease ? 'written' : 'conflict';
}

test('takes a free lease, renews it, and others wait', () => {
  const server = new Server();
  const [a, b] = [new LeaderElection({ identity: 'a' }), new LeaderElection({ identity: 'b' })];
  assert.equal(turn(a, server, 0), 'written');
  assert.ok(a.isLeader(0));
  for (let now = RETRY; now < 60_000; now += RETRY) {
    assert.equal(turn(b, server, now), 'wait');
    assert.equal(turn(a, server, now), 'written');
  }
  assert.deepEqual([server.lease?.holder, server.lease?.leaseTransitions], ['a', 0]);
});

test('an expired lease is taken after 15 s without a change, whatever it says', () => {
  const server = new Server();
  const [a, b] = [new LeaderElection({ identity: 'a' }), new LeaderElection({ identity: 'b' })];
  turn(a, server, 0);
  assert.equal(turn(b, server, 100_000), 'wait'); // seen for the first time only now
  assert.equal(turn(b, server, 114_999), 'wait');
  assert.equal(turn(b, server, 115_000), 'written');
  assert.deepEqual([server.lease?.holder, server.lease?.leaseTransitions], ['b', 1]);
  assert.equal(a.observed(server.lease, 115_001).kind, 'exit');
});

test('a leader that cannot renew for 10 s leads no more and must exit', () => {
  const server = new Server();
  const a = new LeaderElection({ identity: 'a' });
  turn(a, server, 0);
  assert.equal(a.failed(9999).kind, 'wait');
  assert.ok(a.isLeader(9999));
  assert.ok(!a.isLeader(10_000));
  assert.equal(a.failed(10_000).kind, 'exit');
});

test('a released lease is taken at once', () => {
  const server = new Server();
  const [a, b] = [new LeaderElection({ identity: 'a' }), new LeaderElection({ identity: 'b' })];
  turn(a, server, 0);
  turn(b, server, 1);
  const release = a.release();
  assert.ok(release);
  server.write(release);
  assert.ok(!a.isLeader(2));
  assert.equal(a.release(), undefined);
  assert.equal(turn(b, server, 3), 'written');
});

test('deadlines in the wrong order are refused', () => {
  assert.throws(
    () => new LeaderElection({ identity: 'a', leaseMs: 10, renewDeadlineMs: 10 }),
    /renewDeadlineMs/,
  );
});

test('random worlds: late answers, lost answers, pauses; never two leaders', () => {
  const step = fc.record({
    who: fc.nat(2),
    waitMs: fc.nat(6000),
    travelMs: fc.nat(9000),
    fate: fc.constantFrom('arrives', 'arrives', 'arrives', 'answer lost', 'lost'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const server = new Server();
      const elections = ['a', 'b', 'c'].map((identity) => new LeaderElection({ identity }));
      let now = 0;
      for (const { who, waitMs, travelMs, fate } of steps) {
        now += waitMs;
        const action = elections[who]!.observed(server.lease, now);
        if (action.kind !== 'write') continue;
        now += travelMs; // the write travels; the world goes on
        const lease = fate === 'lost' ? undefined : server.write(action);
        if (lease && fate === 'arrives') elections[who]!.written(lease);
        else elections[who]!.failed(now);
        const leaders = elections.filter((election) => election.isLeader(now));
        assert.ok(leaders.length <= 1, `${leaders.length} leaders at ${now}`);
      }
    }),
    { numRuns: 3000 },
  );
});
