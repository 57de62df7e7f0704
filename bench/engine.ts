// The engine against PyTorch: step times in turns on one pinned processor, peak memory, the cost of the language border.
//   node bench/engine.ts PYTHON [REPEATS]
import { join } from 'node:path';
import { Peer } from './peer.ts';
import { compared, limited, type Row, report, summarize } from './report.ts';

const [python = 'python3', repeats = '9'] = process.argv.slice(2);
const REPEATS = Number(repeats);
const PROCESSOR = 1;
const OURS = [process.execPath, join(import.meta.dirname, 'engine-peer.ts')];
const THEIRS = [python, '-W', 'ignore', join(import.meta.dirname, 'torch_peer.py')];
/** Steps of one turn: about a third of a second. */
const STEPS = { mlp: 30, lenet: 10, resnet20: 4, transformer: 12 } as const;
const TITLES = {
  mlp: 'MLP 784-1024-1024-10, batch 128',
  lenet: 'LeNet 32/64 + 512, batch 64',
  resnet20: 'ResNet-20, batch 64',
  transformer: 'transformer of 2 layers, 64 positions, batch 16',
} as const;
const LAYOUTS = ['contiguous', 'channels_last'] as const;
const BORDER_STEPS = 2000;
const BORDER_LIMIT_MICROSECONDS = 50;

interface Timed {
  readonly seconds: number;
  readonly library: number;
  readonly own: number;
  readonly reorder: number;
}

async function open(command: readonly string[]): Promise<{ peer: Peer; version: string }> {
  const peer = new Peer(command, PROCESSOR);
  const { version } = await peer.read<{ version: string }>();
  return { peer, version };
}

/** Milliseconds of one step, side by side, one turn each until all repeats are done. */
async function stepTimes(net: keyof typeof STEPS): Promise<Row> {
  using ours = (await open(OURS)).peer;
  using contiguous = (await open(THEIRS)).peer;
  using channelsLast = (await open(THEIRS)).peer;
  await ours.ask({ make: net });
  await contiguous.ask({ make: net, layout: LAYOUTS[0] });
  await channelsLast.ask({ make: net, layout: LAYOUTS[1] });
  const sides = [ours, contiguous, channelsLast];
  const times: number[][] = sides.map(() => []);
  for (let turn = -1; turn < REPEATS; turn++)
    for (const [i, side] of sides.entries()) {
      const { seconds } = await side.ask<Timed>({ steps: STEPS[net] });
      if (turn >= 0) times[i]!.push((1000 * seconds) / STEPS[net]); // the first turn warms up
    }
  const [mine, ...torch] = times.map(summarize);
  const better = torch[0]!.median <= torch[1]!.median ? 0 : 1;
  const images = net === 'lenet' || net === 'resnet20'; // others have no layout to choose
  const peerName = images ? `torch ${LAYOUTS[better]}` : 'torch';
  return compared(
    { name: `step time, ${TITLES[net]}`, unit: 'ms', bar: 1, peerName, note: await sharesOf(net) },
    mine!,
    torch[better]!,
  );
}

/** Where our time goes, measured apart because measuring costs. */
async function sharesOf(net: string): Promise<string> {
  using ours = (await open(OURS)).peer;
  await ours.ask({ make: net, profile: true });
  await ours.ask({ steps: 3 });
  const { seconds, library, own, reorder } = await ours.ask<Timed>({ steps: 10 });
  const percent = (part: number): string => `${((100 * part) / (seconds * 1e9)).toFixed(0)} %`;
  const rest = seconds * 1e9 - library - own - reorder;
  return `oneDNN ${percent(library)}, own kernels ${percent(own)}, reorders ${percent(reorder)}, binding and update ${percent(rest)}`;
}

/** A whole step of the smallest net, JavaScript to JavaScript, less what the engine computed in it. */
async function border(): Promise<Row> {
  using ours = (await open(OURS)).peer;
  await ours.ask({ make: 'tiny', profile: true });
  const costs: number[] = [];
  for (let turn = -1; turn < REPEATS; turn++) {
    const { seconds, library, own, reorder } = await ours.ask<Timed>({ steps: BORDER_STEPS });
    if (turn >= 0)
      costs.push((seconds * 1e6) / BORDER_STEPS - (library + own + reorder) / 1e3 / BORDER_STEPS);
  }
  const note = 'a training step and an update of a net of 6 parameters, less the time in kernels';
  return limited({ name: 'language border', unit: 'µs', note }, summarize(costs), BORDER_LIMIT_MICROSECONDS);
}

async function peakMemory(): Promise<Row> {
  const peaks = async (command: readonly string[], make: object): Promise<number> => {
    using peer = (await open(command)).peer;
    await peer.ask(make);
    await peer.ask({ steps: 5 });
    return (await peer.ask<{ peakBytes: number }>({ memory: true })).peakBytes / 2 ** 20;
  };
  const ours: number[] = [];
  const torch: number[] = [];
  for (let turn = 0; turn < 5; turn++) {
    ours.push(await peaks(OURS, { make: 'resnet20' }));
    torch.push(await peaks(THEIRS, { make: 'resnet20', layout: 'contiguous' }));
  }
  const row = {
    name: 'peak memory, ResNet-20, batch 64',
    unit: 'MiB',
    bar: 1.2,
    peerName: 'torch contiguous',
  };
  return compared(row, summarize(ours), summarize(torch));
}

const rows: Row[] = [];
for (const net of ['mlp', 'lenet', 'resnet20', 'transformer'] as const) rows.push(await stepTimes(net));
rows.push(await border(), await peakMemory());
const versions = { lepton: '', torch: '' };
for (const [name, command] of [
  ['lepton', OURS],
  ['torch', THEIRS],
] as const) {
  const { peer, version } = await open(command);
  versions[name] = version;
  peer[Symbol.dispose]();
}
report('engine', rows, versions);
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
