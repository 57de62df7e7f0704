// Four workers on one host, their server on another, a cable between them: what each way of exchanging moves and how fast it trains over
// 100 Mbit/s, what one slow worker costs, and what becomes of the loss. Every host is this machine: what workers compute is little, the
// rest of a step they wait, as if they had processors of their own.
//   test/cluster/cluster.sh node bench/two-hosts.ts FASHION_MNIST [GROUP [MODE]]    GROUP: link, slow or loss; results/two-hosts.json holds no others
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { leptonJobSpecSchema } from '../crds/leptonjob.ts';
import type { Conditions } from '../test/hosts/cable.ts';
import { FarHost } from '../test/hosts/far-host.ts';
import { startLocalJob } from '../worker/launch/local-job.ts';
import type { EpochRecord } from '../worker/protocol/progress.ts';
import { compared, type Row, report, type Sample, summarize } from './report.ts';

const [data, only = '', mode = ''] = process.argv.slice(2);
const WORKERS = 4;
const BATCH_SIZE = 32;
/** Of all workers. */
const BATCH_SAMPLES = WORKERS * BATCH_SIZE;
const FAST_ETHERNET: Partial<Conditions> = { bytesPerSecond: 12_500_000, delayMs: 0.25 };
const CALM: Partial<Conditions> = { delayMs: 0.25 };
/** What a batch takes at least. */
const STEP_MS = 20;
/** The same where only the loss counts. */
const SHORT_STEP_MS = 4;
const LOSS_EPOCHS = 3;
const SLOWDOWN = 3;
/** Of what workers of these speeds could do that wait for nobody. */
const SHARE_OF_IDEAL = (WORKERS - 1 + 1 / SLOWDOWN) / WORKERS;
const SEEDS = [1, 2, 3];

interface Mode {
  readonly name: string;
  /** Of the manifest. */
  readonly exchange: object;
  /** Batches of each worker in an epoch: some seconds over the slow cable. */
  readonly stepsPerEpoch: number;
  /** Bytes at most, of those that bulkSynchronous moves. */
  readonly bytesBar: number;
  /** Where one worker is slow: time at most, of what workers that wait for nobody take. Absent: not measured. */
  readonly slowBar?: number;
  /** Test loss at most, of that of bulkSynchronous with equal workers. Absent: not measured. */
  readonly lossBar?: number;
  /** The same where one worker is slow. */
  readonly slowLossBar?: number;
}

const BULK: Mode = { name: 'bulkSynchronous', exchange: {}, stepsPerEpoch: 8, bytesBar: 1, slowBar: 2.6 };
const coded = (name: string, gradientCodec: object, bytesBar: number): Mode => ({
  name: `bulkSynchronous, ${name}`,
  exchange: { gradientCodec },
  stepsPerEpoch: 16,
  bytesBar,
});
const ALL_MODES: readonly Mode[] = [
  BULK,
  coded('bfloat16', { bfloat16: {} }, 0.51),
  coded('int8', { int8: {} }, 0.26),
  coded('oneBit', { oneBit: { warmupSteps: 0 } }, 0.04),
  // A 66th of the gradients, and of the parameters what all workers together have sent.
  coded('top 1 %', { topK: { ratio: 0.01, warmupSteps: 0 } }, (1 + WORKERS) / 2 / 65),
  {
    name: 'localSteps of 50',
    exchange: { consistency: { mode: 'localSteps', localSteps: { steps: 50 } } },
    // A round, and no more of them than are whole in one pass over the data.
    stepsPerEpoch: 50,
    bytesBar: 1 / 50,
    slowBar: 1 / 0.8,
    lossBar: 1.01,
    slowLossBar: 1.02,
  },
  {
    name: 'staleSynchronous within 8',
    exchange: { consistency: { mode: 'staleSynchronous' } },
    stepsPerEpoch: 8,
    bytesBar: 1.1,
    slowBar: 1 / 0.8,
    slowLossBar: 1.02,
  },
  {
    name: 'asynchronous',
    exchange: { consistency: { mode: 'asynchronous' } },
    stepsPerEpoch: 8,
    bytesBar: 1.1,
    slowBar: 1 / 0.8,
    slowLossBar: 1.02,
  },
];

/** The first one is what the others are compared with. */
const MODES = ALL_MODES.filter((one) => one === BULK || one.name.startsWith(mode));

interface Run {
  readonly mode: Mode;
  readonly cable: Partial<Conditions>;
  readonly epochs: number;
  readonly stepsPerEpoch?: number;
  readonly seed?: number;
  /** By rank. */
  readonly extraStepMs: number[];
  readonly evaluates?: true;
}

interface Outcome {
  readonly epochs: readonly EpochRecord[];
  readonly samples: number;
  /** Both ways, through the cable. */
  readonly bytes: number;
}

const equally = (ms: number): number[] => Array.from({ length: WORKERS }, () => ms);
const lastIsSlow = (ms: number): number[] => equally(ms).with(-1, SLOWDOWN * ms);

function specOf({ mode, epochs, stepsPerEpoch, evaluates }: Run) {
  const part = (split: 'train' | 'test') => ({ format: 'idx' as const, uri: `file://${data}`, split });
  return leptonJobSpecSchema.parse({
    model: {
      layers: [
        { flatten: {} },
        { dense: { units: 320, activation: 'relu' } },
        { dense: { units: 10, activation: 'softmax' } },
      ],
    },
    data: { train: part('train'), ...(evaluates ? { evaluate: part('test') } : {}) },
    training: {
      loss: 'sparseCategoricalCrossentropy',
      optimizer: { adam: { learningRate: 0.001 } },
      metrics: ['accuracy'],
      batchSize: BATCH_SIZE,
      epochs,
      ...(stepsPerEpoch === undefined ? {} : { stepsPerEpoch }),
    },
    exchange: mode.exchange,
    worker: { replicas: WORKERS },
    parameterServer: { replicas: 1 },
    checkpoint: { everySteps: 1_000_000 },
  });
}

async function train(run: Run): Promise<Outcome> {
  await using host = await FarHost.make();
  host.cable.set(run.cable);
  const directory = mkdtempSync(join(tmpdir(), 'lepton-bench-'));
  try {
    const testing = { extraStepMs: run.extraStepMs };
    const placeOf = host.placing();
    const seed = run.seed ?? 0;
    await using job = await startLocalJob({
      name: 'bench',
      spec: specOf(run),
      directory,
      seed,
      testing,
      placeOf,
    });
    const { phase, error } = await job.finished;
    if (phase !== 'Succeeded') throw new Error(`${run.mode.name}: ${phase}: ${error?.message}`);
    const epochs = job.progress.history;
    const samples = epochs.reduce((sum, epoch) => sum + (epoch.samples ?? 0), 0);
    return { epochs, samples, bytes: host.cable.there.bytes + host.cable.back.bytes };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Milliseconds for a batch of every worker, by epoch; the first one warms up. */
function msOf({ epochs }: Outcome): Sample {
  return summarize(
    epochs.slice(1).map(({ samples = 0, seconds }) => (1000 * seconds * BATCH_SAMPLES) / samples),
  );
}

const perSecond = ({ median }: Sample): string => `${Math.round((1000 * BATCH_SAMPLES) / median)} samples/s`;

/** Kilobytes for a batch of every worker, beginning and end of the job apart: those of a long run without those of a short one. */
function kilobytesOf(short: Outcome, long: Outcome): Sample {
  const median = ((long.bytes - short.bytes) * BATCH_SAMPLES) / (long.samples - short.samples) / 1000;
  return { median, spread: 0 };
}

async function linkRows(): Promise<Row[]> {
  const rows: Row[] = [];
  const peers: { bytes?: Sample; ms?: Sample } = {};
  for (const mode of MODES) {
    const run = {
      mode,
      cable: FAST_ETHERNET,
      stepsPerEpoch: mode.stepsPerEpoch,
      extraStepMs: equally(STEP_MS),
    };
    const short = await train({ ...run, epochs: 2 });
    const long = await train({ ...run, epochs: 7 });
    const bytes = kilobytesOf(short, long);
    const ms = msOf(long);
    peers.bytes ??= bytes;
    peers.ms ??= ms;
    const row = { peerName: BULK.name };
    const moved = { name: `bytes for a batch of every worker, ${mode.name}`, unit: 'kB', bar: mode.bytesBar };
    const took = { name: `a batch of every worker over 100 Mbit/s, ${mode.name}`, unit: 'ms', bar: 1 };
    const note = `1/${(peers.bytes.median / bytes.median).toFixed(2)}`;
    rows.push(compared({ ...row, ...moved, note }, bytes, peers.bytes));
    rows.push(compared({ ...row, ...took, note: perSecond(ms) }, ms, peers.ms));
  }
  return rows;
}

async function slowRows(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const mode of MODES) {
    if (mode.slowBar === undefined) continue;
    const run = { mode, cable: CALM, epochs: 6, stepsPerEpoch: 100 };
    const equal = msOf(await train({ ...run, extraStepMs: equally(STEP_MS) }));
    const slow = msOf(await train({ ...run, extraStepMs: lastIsSlow(STEP_MS) }));
    const ideal = { median: equal.median / SHARE_OF_IDEAL, spread: equal.spread / SHARE_OF_IDEAL };
    const kept = (sample: Sample): string => `${Math.round((100 * sample.median) / slow.median)} %`;
    rows.push(
      compared(
        {
          name: `a batch of every worker, one worker ${SLOWDOWN} times slower, ${mode.name}`,
          unit: 'ms',
          bar: mode.slowBar,
          peerName: 'what workers of these speeds take that wait for nobody',
          note: `${perSecond(slow)}: ${kept(ideal)} of what these workers could do, ${kept(equal)} of four equal ones`,
        },
        slow,
        ideal,
      ),
    );
  }
  return rows;
}

/** Test loss after the same samples, of all seeds. */
async function lossOf(mode: Mode, extraStepMs: number[]): Promise<Sample> {
  const losses: number[] = [];
  for (const seed of SEEDS) {
    const { epochs } = await train({
      mode,
      cable: CALM,
      epochs: LOSS_EPOCHS,
      seed,
      extraStepMs,
      evaluates: true,
    });
    losses.push(epochs.at(-1)!.evaluate!['loss']!);
  }
  return summarize(losses);
}

async function lossRows(): Promise<Row[]> {
  const rows: Row[] = [];
  const peer = await lossOf(BULK, []);
  for (const mode of MODES)
    for (const [who, bar, extraStepMs] of [
      ['equal workers', mode.lossBar, []],
      [`one worker ${SLOWDOWN} times slower`, mode.slowLossBar, lastIsSlow(SHORT_STEP_MS)],
    ] as const) {
      if (bar === undefined) continue;
      const loss = await lossOf(mode, [...extraStepMs]);
      const name = `test loss after ${LOSS_EPOCHS} epochs of Fashion-MNIST, ${who}, ${mode.name}`;
      rows.push(compared({ name, unit: '', bar, peerName: BULK.name }, loss, peer));
    }
  return rows;
}

if (data === undefined)
  throw new Error('expected the folder of Fashion-MNIST, which scripts/datasets.sh prints');
const groups: Readonly<Record<string, () => Promise<Row[]>>> = {
  link: linkRows,
  slow: slowRows,
  loss: lossRows,
};
const rows: Row[] = [];
for (const [name, measure] of Object.entries(groups))
  if (name.startsWith(only)) rows.push(...(await measure()));
report('two-hosts', rows, {});
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
