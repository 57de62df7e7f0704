// The gradient exchange against torch.distributed over gloo, in turns on the same processors: an exchange with the optimizer's update
// against an all-reduce without one, and whole training steps against DistributedDataParallel.
//   node bench/exchange.ts PYTHON [REPEATS] [GROUP]     GROUP: only groups whose names begin so; results/exchange.json then holds no others
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RoleConfigInput } from '../protos/role-config.ts';
import { freePorts } from '../worker/launch/ports.ts';
import { specFor, startJobPeer, type What } from './job-peer.ts';
import { Peer } from './peer.ts';
import { compared, limited, type Row, report, type Sample, summarize } from './report.ts';

const [python = 'python3', repeats = '7', only = ''] = process.argv.slice(2);
const REPEATS = Number(repeats);
const PROCESSORS = `0-${cpus().length - 1}`;
const MiB = 2 ** 20;
const STREAM_CHUNKS = 512;
/** GB/s. */
const STREAM_BAR = 0.9;
/** Steps of one turn: about half a second. */
const NETS = {
  mlp: { title: 'MLP', steps: 30 },
  lenet: { title: 'LeNet', steps: 10 },
  resnet20: { title: 'ResNet-20', steps: 4 },
  transformer: { title: 'transformer', steps: 12 },
} as const;
const DDP = 'DDP over gloo';
const ALONE = 'one process on one processor';
/** Times as fast as DDP, and share of twice a process alone: what each net has to reach, and all of them in the mean. */
const EACH = { ddp: 1.2, alone: 0.85 };
const ALL = { ddp: 1.4, alone: 0.9 };
const versions = { lepton: '', torch: '' };
/** Processor seconds that Node's sockets take to move a GB from one process to another, measured with `net` alone. */
const SOCKET_SECONDS_PER_GB = 0.53;

interface Variant {
  readonly name: string;
  /** What the median may be at most, of gloo's. */
  readonly bar: number;
  readonly testing: NonNullable<RoleConfigInput['testing']>;
  /** Of the manifest. */
  readonly exchange?: object;
  /** The workers hold the parameters; otherwise one server does. */
  readonly inWorkers?: true;
}

const GRPC: Variant = { name: 'gRPC', bar: 3, testing: { sharedMemory: false } };
const SHARED: Variant = { name: 'shared memory', bar: 0.25, testing: { sharedMemory: true } };
const IN_WORKERS: readonly Variant[] = [SHARED, GRPC].map((variant) => ({
  ...variant,
  name: `${variant.name}, parameters in the workers`,
  inWorkers: true,
}));
const CODECS: readonly Variant[] = [
  { ...GRPC, name: 'gRPC, int8', bar: 1.2, exchange: { gradientCodec: { int8: {} } } },
  {
    ...GRPC,
    name: 'gRPC, top 1 %',
    bar: 0.6,
    exchange: { gradientCodec: { topK: { ratio: 0.01, warmupSteps: 0 } } },
  },
];

/** One side of a comparison: processes that do so many steps together. */
class Side implements Disposable {
  readonly #workers: readonly Peer[];
  readonly #others: readonly Peer[];
  readonly #done: () => void;

  constructor(workers: readonly Peer[], others: readonly Peer[], done: () => void) {
    this.#workers = workers;
    this.#others = others;
    this.#done = done;
  }

  /** Gives the version of what its processes run. */
  async ready(make?: object): Promise<string> {
    const [first] = await this.#all((peer) => peer.read<{ version: string }>());
    if (make) await this.#all((peer) => peer.ask(make));
    return first!.version;
  }

  /** Of one step, as the slowest process saw it. */
  async seconds(steps: number): Promise<number> {
    const answers = await this.#all((peer) => peer.ask<{ seconds: number }>({ steps }));
    return Math.max(...answers.map(({ seconds }) => seconds)) / steps;
  }

  #all<T>(ask: (peer: Peer) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#workers.map(ask));
  }

  [Symbol.dispose](): void {
    for (const peer of [...this.#workers, ...this.#others]) peer[Symbol.dispose]();
    this.#done();
  }
}

async function ours(workers: number, what: What, variant: Variant): Promise<Side> {
  const folder = mkdtempSync(join(tmpdir(), 'lepton-bench-'));
  const ports = await freePorts(variant.inWorkers ? workers : 1);
  const peer = (role: 'server' | 'worker', rank: number): Peer => {
    const own = {
      role,
      rank,
      workers,
      servers: ports.map((port) => `127.0.0.1:${port}`),
      hostedServers: variant.inWorkers ? workers : 0,
      spec: { ...specFor(workers), ...(variant.exchange ? { exchange: variant.exchange } : {}) },
      testing: variant.testing,
    };
    return startJobPeer(own, folder, what, PROCESSORS);
  };
  const servers = variant.inWorkers ? [] : [peer('server', 0)];
  const side = new Side(
    Array.from({ length: workers }, (_, rank) => peer('worker', rank)),
    servers,
    () => rmSync(folder, { recursive: true, force: true }),
  );
  versions.lepton = await side.ready();
  return side;
}

async function theirs(workers: number, make: { make: string } | { floats: number }): Promise<Side> {
  const folder = mkdtempSync(join(tmpdir(), 'lepton-bench-'));
  const peers = Array.from({ length: workers }, (_, rank) => {
    const script = join(import.meta.dirname, 'gloo_peer.py');
    return new Peer(
      [python, '-W', 'ignore', script, String(rank), String(workers), join(folder, 'rendezvous')],
      PROCESSORS,
    );
  });
  const side = new Side(peers, [], () => rmSync(folder, { recursive: true, force: true }));
  versions.torch = await side.ready(make);
  return side;
}

/** Milliseconds of a step of every side, one turn each until all repeats are done; the first turn warms up. */
async function inTurns(sides: readonly Side[], steps: number): Promise<Sample[]> {
  const times: number[][] = sides.map(() => []);
  for (let turn = -1; turn < REPEATS; turn++)
    for (const [index, side] of sides.entries()) {
      const seconds = await side.seconds(steps);
      if (turn >= 0) times[index]!.push(1000 * seconds);
    }
  return times.map(summarize);
}

async function exchangeRows(workers: number, mebibytes: number): Promise<Row[]> {
  using stack = new DisposableStack();
  const floats = (mebibytes * MiB) / 4;
  const variants = [SHARED, GRPC, ...IN_WORKERS, ...CODECS];
  const gloo = stack.use(await theirs(workers, { floats }));
  const sides: Side[] = [gloo];
  for (const variant of variants) sides.push(stack.use(await ours(workers, { floats }, variant)));
  const [peer, ...samples] = await inTurns(sides, Math.max(4, Math.round(400 / mebibytes)));
  // A worker that holds its part sends it to nobody.
  const floorMs = ({ inWorkers }: Variant): number => {
    const ways = 2 * (inWorkers ? workers - 1 : workers);
    return (1000 * SOCKET_SECONDS_PER_GB * ways * mebibytes * MiB) / 1e9 / cpus().length;
  };
  return variants.map((variant, index) => {
    const { name, bar, testing, exchange } = variant;
    return compared(
      {
        name: `exchange of ${mebibytes} MiB, ${workers} workers, ${name}`,
        unit: 'ms',
        bar,
        peerName: 'gloo all-reduce',
        note:
          testing.sharedMemory || exchange
            ? 'update included; gloo makes none'
            : `update included; what sockets alone would take: ${(floorMs(variant) / samples[index]!.median).toFixed(2)} of it`,
      },
      samples[index]!,
      peer!,
    );
  });
}

/** Milliseconds that one stream takes for a GB. */
async function streamRows(): Promise<Row[]> {
  const [port] = await freePorts(1);
  const peer = (end: string): Peer =>
    new Peer([process.execPath, join(import.meta.dirname, 'stream-peer.ts'), end, String(port)], PROCESSORS);
  using listening = peer('listen');
  await listening.read();
  using dialling = peer('dial');
  const rows: Row[] = [];
  for (const way of ['push', 'pull'] as const) {
    const times: number[] = [];
    for (let turn = -2; turn < REPEATS; turn++) {
      const { seconds } = await dialling.ask<{ seconds: number }>({ [way]: STREAM_CHUNKS });
      if (turn >= 0) times.push((1000 * seconds * 1e9) / (STREAM_CHUNKS * MiB));
    }
    const sample = summarize(times);
    const note = `${(1000 / sample.median).toFixed(2)} GB/s`;
    rows.push(limited({ name: `one gRPC stream, ${way}`, unit: 'ms/GB', note }, sample, 1000 / STREAM_BAR));
  }
  return rows;
}

/** One process on one processor that exchanges nothing and updates its parameters by itself. */
async function alone(net: keyof typeof NETS): Promise<Side> {
  const peer = new Peer([process.execPath, join(import.meta.dirname, 'engine-peer.ts')], 0);
  const side = new Side([peer], [], () => {});
  await side.ready({ make: net });
  return side;
}

/**
 * Whole training steps of two workers on two processors: against DistributedDataParallel, and against one process on one processor, which
 * does half as much with half as many. Notes say what a worker takes that has nobody to wait for and its server on a processor of its own.
 */
async function trainingRows(net: keyof typeof NETS): Promise<Row[]> {
  const { title, steps } = NETS[net];
  using ddp = await theirs(2, { make: net });
  using two = await ours(2, { net }, SHARED);
  using one = await ours(1, { net }, SHARED);
  using single = await alone(net);
  const [peer, both, served, half] = await inTurns([ddp, two, one, single], steps);
  const unit = 'ms';
  const name = `training step, ${title}, 2 workers`;
  const note = `a job's one worker, with a processor for its server: ${served!.median.toFixed(2)} ms`;
  return [
    compared({ name, unit, bar: 1 / EACH.ddp, peerName: DDP }, both!, peer!),
    compared({ name: `${name} beside 1`, unit, bar: 1 / EACH.alone, peerName: ALONE, note }, both!, half!),
  ];
}

/** Of all nets: how much faster than DistributedDataParallel, and which share of twice a single process. */
function meanRows(rows: readonly Row[]): Row[] {
  return [
    { peerName: DDP, bar: 1 / ALL.ddp },
    { peerName: ALONE, bar: 1 / ALL.alone },
  ].flatMap(({ peerName, bar }) => {
    const ratios = rows.filter((row) => row.peerName === peerName).map(({ ratio }) => ratio);
    if (ratios.length < Object.keys(NETS).length) return [];
    const ratio = Math.exp(ratios.reduce((sum, one) => sum + Math.log(one), 0) / ratios.length);
    const name = 'training step, geometric mean of all nets';
    return [{ name, unit: '', ours: ratio, peer: 1, peerName, ratio, bar, holds: ratio <= bar }];
  });
}

const groups: Readonly<Record<string, () => Promise<Row[]>>> = {
  'exchange-2-25': () => exchangeRows(2, 25),
  'exchange-2-100': () => exchangeRows(2, 100),
  'exchange-4-25': () => exchangeRows(4, 25),
  'exchange-4-100': () => exchangeRows(4, 100),
  stream: streamRows,
  'training-mlp': () => trainingRows('mlp'),
  'training-lenet': () => trainingRows('lenet'),
  'training-resnet20': () => trainingRows('resnet20'),
  'training-transformer': () => trainingRows('transformer'),
};

const rows: Row[] = [];
for (const [name, measure] of Object.entries(groups))
  if (name.startsWith(only)) rows.push(...(await measure()));
rows.push(...meanRows(rows));
report('exchange', rows, versions);
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
