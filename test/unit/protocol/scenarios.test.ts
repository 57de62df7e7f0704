// Runs every golden scenario of this folder against its machine. LEPTON_REWRITE_SCENARIOS=1 writes what the machines do now:
// do that only when you understand what changed and want it.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { consistencyOf } from '../../../crds/leptonjob.ts';
import { planChunks } from '../../../worker/protocol/chunks.ts';
import { Cut, type CutMessage } from '../../../worker/protocol/cut.ts';
import { Exchange } from '../../../worker/protocol/exchange.ts';
import type { ExchangeMessage } from '../../../worker/protocol/exchange-messages.ts';
import { Gather, type GatherMessage } from '../../../worker/protocol/gather.ts';
import { Ledger, type LedgerMessage } from '../../../worker/protocol/ledger.ts';
import { Membership, type MembershipMessage } from '../../../worker/protocol/membership.ts';
import { type Block, formatEffect, formatScenario, parseCommand, parseScenario } from './scenario.ts';

const FOLDER = join(import.meta.dirname, 'scenarios');
const REWRITE = process.env['LEPTON_REWRITE_SCENARIOS'] === '1';

type Fields = ReturnType<typeof parseCommand>;
type Machine = (message: Fields) => readonly { readonly kind: string }[];

/** `new exchange workers=2 trainable=8192 state=4096` makes the machine that the next commands go to. */
const MACHINES: Readonly<Record<string, (number: (key: string) => number) => Machine>> = {
  exchange: (number) => {
    const arena = { trainableLength: number('trainable'), length: number('trainable') + number('state') };
    const chunks = planChunks(arena, number('chunk') || 4096);
    const exchange = new Exchange({
      workers: number('workers'),
      chunks,
      clipByNorm: number('clip') === 1,
      consistency: consistencyOf({ bulkSynchronous: { backupWorkers: number('backup') } }),
    });
    return (message) => exchange.step(message as unknown as ExchangeMessage);
  },
  gather: (number) => {
    const gather = new Gather({
      chunks: number('chunks'),
      step: number('step'),
      byQuorum: number('byQuorum') === 1,
    });
    return (message) => gather.step(message as unknown as GatherMessage);
  },
  membership: (number) => {
    const membership = new Membership({
      workers: number('workers'),
      servers: number('servers'),
      attempt: number('attempt'),
      silentMs: number('silentMs') || 1000,
    });
    return (message) => {
      const effects = membership.step(message as unknown as MembershipMessage);
      return [...effects, { kind: 'phase', is: membership.phase }];
    };
  },
  ledger: (number) => {
    const ledger = new Ledger({
      workers: number('workers'),
      steps: number('steps'),
      stepsPerEpoch: number('stepsPerEpoch'),
      checkpointEvery: number('checkpointEvery'),
      evaluates: number('evaluates') === 1,
    });
    return ({ loss, samples, ...message }) =>
      ledger.step({
        nowMs: 0,
        ...message,
        ...(samples === undefined ? {} : { totals: { samples, sums: [loss] } }),
      } as unknown as LedgerMessage);
  },
  cut: (number) => {
    const cut = new Cut(number('servers'));
    return ({ file, ...message }) =>
      cut.step({
        ...message,
        ...(file ? { file: { name: file, sizeBytes: 1, sha256: 'x', from: 0, to: 1 } } : {}),
      } as unknown as CutMessage);
  },
};

function run(blocks: readonly Block[]): Block[] {
  let machine: Machine | undefined;
  return blocks.map((block) => {
    if (block.command === '') return block;
    const { command } = block;
    if (command.startsWith('new ')) {
      const [, name = '', ...rest] = command.split(/\s+/);
      const fields = parseCommand(['new', ...rest].join(' '));
      machine = MACHINES[name]?.((key) => Number(fields[key] ?? 0));
      assert.ok(machine, `no machine ${name}`);
      return { ...block, output: ['ok'] };
    }
    const effects = machine?.(parseCommand(command)) ?? [];
    return { ...block, output: effects.length === 0 ? ['nothing'] : effects.map(formatEffect) };
  });
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.txt'))) {
  test(`scenario ${file}`, () => {
    const path = join(FOLDER, file);
    const text = readFileSync(path, 'utf8');
    const actual = formatScenario(run(parseScenario(text)));
    if (REWRITE) writeFileSync(path, actual);
    else assert.equal(actual, text);
  });
}
