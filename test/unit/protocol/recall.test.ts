// Which step a job can go on from, by what its servers and its coordinator hold.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Membership } from '../../../worker/protocol/membership.ts';
import { type Holding, Recall } from '../../../worker/protocol/recall.ts';

const holds = (...steps: number[]): Holding => ({ steps, empty: false });
const owns: Holding = { steps: [], empty: true };

const ROWS: { name: string; ledger: number[]; servers: Holding[]; step: number | undefined }[] = [
  { name: 'all at one step', ledger: [6, 7], servers: [holds(6, 7), holds(7, 6)], step: 7 },
  { name: 'one server is a step behind', ledger: [7, 6], servers: [holds(7, 6), holds(6)], step: 6 },
  {
    name: 'servers are a step ahead of the ledger',
    ledger: [6, 5],
    servers: [holds(7, 6), holds(6)],
    step: 6,
  },
  { name: 'a server without a part lacks nothing', ledger: [6, 5], servers: [owns, holds(6, 5)], step: 6 },
  { name: 'a server has lost its memory', ledger: [7, 6], servers: [holds(7, 6), holds()], step: undefined },
  {
    name: 'a server has an older step alone',
    ledger: [7, 6],
    servers: [holds(7, 6), holds(3)],
    step: undefined,
  },
  { name: 'the ledger of a step is gone', ledger: [7], servers: [holds(6), holds(6)], step: undefined },
];

for (const { name, ledger, servers, step } of ROWS)
  test(name, () => {
    const recall = new Recall(servers.length, ledger);
    const answers = servers.map((holding, server) => recall.add(server, holding));
    assert.ok(answers.slice(0, -1).every(({ kind }) => kind === 'waiting'));
    assert.deepEqual(answers.at(-1), step === undefined ? { kind: 'nothing' } : { kind: 'step', step });
  });

test('an answer that is repeated is not that of another server', () => {
  const recall = new Recall(2, [4]);
  recall.add(0, holds(4));
  assert.deepEqual(recall.add(0, holds(4)), { kind: 'waiting' });
  assert.deepEqual(recall.add(1, holds(4)), { kind: 'step', step: 4 });
});

test('each life of the coordinator begins above the epochs of those before, whether its start counted or not', () => {
  const newest = (attempt: number, given?: number): number =>
    new Membership({ workers: 1, servers: 1, attempt, ...(given ? { given } : {}), silentMs: 1000 }).newest;
  assert.deepEqual(
    [newest(0), newest(0, 7), newest(1, 7), newest(1, 2 ** 20 + 7)],
    [0, 7, 2 ** 20, 2 ** 20 + 7],
  );
});
