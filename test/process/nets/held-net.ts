// The small net on data that can stop to come: whoever first reads while the file LEPTON_TEST_HOLD exists takes it away, and
// reads on when it is gone from where it was taken to as well.
import { existsSync, renameSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Model, Program } from '../../../index.ts';
import type { Dataset } from '../../../worker/data/dataset.ts';
import small from './small-net.ts';

const HOLD = process.env['LEPTON_TEST_HOLD'] ?? '';
const POLL_MS = 50;
const LONGEST_MS = 120_000;

async function holdOn(): Promise<void> {
  const mine = `${HOLD}-${process.pid}`;
  try {
    renameSync(HOLD, mine);
  } catch {
    return; // nobody is held, or somebody else is
  }
  for (let waitedMs = 0; existsSync(mine) && waitedMs < LONGEST_MS; waitedMs += POLL_MS) await pause(POLL_MS);
}

const program: Program = async (input) => {
  const { model, data } = (await small(input)) as { model: Model; data: { train: Dataset } };
  const { train } = data;
  const read: Dataset['read'] = async (...request) => {
    await holdOn();
    return await train.read(...request);
  };
  return { model, data: { train: Object.assign(Object.create(train) as Dataset, { read }) } };
};
export default program;
