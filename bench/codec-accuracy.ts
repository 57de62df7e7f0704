// Test accuracy of examples/fashion-mnist with each gradient codec against the same training without one: two workers and a server that
// share no memory, so that all gradients and parameters travel encoded.
//   node bench/codec-accuracy.ts [EPOCHS] [SEEDS] [ROW ...]
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { z } from 'zod';
import { readManifest } from '../cli/manifest-file.ts';
import type { exchangeSchema } from '../crds/exchange.ts';
import { type Override, parseOverride } from '../crds/overrides.ts';
import { engine } from '../native/engine.ts';
import { startLocalJob } from '../worker/launch/local-job.ts';
import { type Row, report, summarize } from './report.ts';

type GradientCodecInput = NonNullable<NonNullable<z.input<typeof exchangeSchema>>['gradientCodec']>;

const [epochs = '1', seeds = '3', ...chosen] = process.argv.slice(2);
const ROOT = join(import.meta.dirname, '..');
const PLAIN = 'float32';
/** The example's, and one whose rate is chosen for float32. Without a first moment where workers have the momentum. */
const OPTIMIZERS = {
  Adam: { plain: { adam: { learningRate: 0.001 } }, without: { adam: { learningRate: 0.001, beta1: 0 } } },
  SGD: {
    plain: { sgd: { learningRate: 0.05, momentum: 0.9 } },
    without: { sgd: { learningRate: 0.05, momentum: 0 } },
  },
} as const;

interface Way {
  readonly optimizer: keyof typeof OPTIMIZERS;
  readonly codec: GradientCodecInput;
  /** Points of accuracy that it may cost. */
  readonly allowed: number;
  /** docs/exchange.md advises against it: what it costs is shown, and not asked for. */
  readonly advisedAgainst?: boolean;
}

/** Options that are not named are left to their defaults. */
const WAYS: Readonly<Record<string, Way>> = {
  bfloat16: { optimizer: 'Adam', codec: { bfloat16: {} }, allowed: 0.3 },
  int8: { optimizer: 'Adam', codec: { int8: {} }, allowed: 0.3 },
  oneBit: { optimizer: 'Adam', codec: { oneBit: {} }, allowed: 1, advisedAgainst: true },
  'oneBit with momentum': { optimizer: 'Adam', codec: { oneBit: { momentum: 0.9 } }, allowed: 1 },
  'topK 1 %': { optimizer: 'Adam', codec: { topK: {} }, allowed: 0.3, advisedAgainst: true },
  'topK 1 % with momentum': { optimizer: 'Adam', codec: { topK: { momentum: 0.9 } }, allowed: 0.3 },
  'topK 1 % with momentum, SGD': { optimizer: 'SGD', codec: { topK: { momentum: 0.9 } }, allowed: 0.3 },
};

function momentumOf(codec: GradientCodecInput): number {
  return codec.oneBit?.momentum ?? codec.topK?.momentum ?? 0;
}

/** Points on the test set after the last epoch. */
async function accuracyOf(
  { optimizer, codec }: Pick<Way, 'optimizer'> & { readonly codec?: GradientCodecInput },
  data: string,
  seed: number,
): Promise<number> {
  const { plain, without } = OPTIMIZERS[optimizer];
  const set = [
    `training.epochs=${epochs}`,
    `training.seed=${seed}`,
    // The noise of a rate that stays high would be larger than what is asked for.
    'training.schedule={"cosine":{}}',
    `training.optimizer=${JSON.stringify(codec && momentumOf(codec) > 0 ? without : plain)}`,
    `data.train.uri=file://${data}`,
    `data.evaluate.uri=file://${data}`,
  ];
  if (codec) set.push(`exchange.gradientCodec=${JSON.stringify(codec)}`);
  const overrides: Override[] = set.map(parseOverride);
  const { metadata, spec } = await readManifest(
    join(ROOT, 'examples/fashion-mnist/leptonjob.yaml'),
    overrides,
  );
  const directory = await mkdtemp(join(tmpdir(), 'lepton-codec-accuracy-'));
  try {
    const testing = { sharedMemory: false };
    await using job = await startLocalJob({ name: metadata.name, spec, directory, seed, testing });
    const { phase, error, evaluate } = await job.finished;
    const accuracy = evaluate?.['accuracy'];
    if (phase !== 'Succeeded' || accuracy === undefined) throw error ?? new Error(`the job ended ${phase}`);
    return 100 * accuracy;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const listed = (values: readonly number[]): string => values.map((value) => value.toFixed(2)).join(', ');

function rowOf(name: string, ours: readonly number[], plain: readonly number[]): Row {
  const { optimizer, allowed, advisedAgainst } = WAYS[name]!;
  const [mine, theirs] = [mean(ours), mean(plain)];
  const peerName = `${PLAIN}, ${optimizer}`;
  return {
    name: `test accuracy, Fashion-MNIST, ${name}, ${epochs} epochs, mean of ${seeds} seeds`,
    unit: '%',
    ours: mine,
    oursSpread: summarize(ours).spread,
    peer: theirs,
    peerSpread: summarize(plain).spread,
    peerName,
    ratio: theirs / mine,
    bar: theirs / (theirs - allowed),
    holds: mine >= theirs - allowed,
    note: `${(mine - theirs).toFixed(2)} points, at most ${allowed} behind${advisedAgainst ? ', advised against' : ''}; ratio is peer / ours; seeds ${listed(ours)}, ${peerName} ${listed(plain)}`,
  };
}

const { stdout } = await promisify(execFile)(join(ROOT, 'scripts/datasets.sh'));
const names = Object.keys(WAYS).filter((name) => chosen.length === 0 || chosen.includes(name));
const runs = new Map<string, Pick<Way, 'optimizer'> & { readonly codec?: GradientCodecInput }>();
for (const name of names) {
  const { optimizer } = WAYS[name]!;
  runs.set(`${PLAIN}, ${optimizer}`, { optimizer }).set(name, WAYS[name]!);
}
const accuracies = new Map([...runs.keys()].map((name) => [name, [] as number[]]));
for (let seed = 1; seed <= Number(seeds); seed++)
  for (const [name, way] of runs) {
    const startMs = performance.now();
    const accuracy = await accuracyOf(way, stdout.trim(), seed);
    accuracies.get(name)!.push(accuracy);
    const seconds = (performance.now() - startMs) / 1000;
    console.error(`seed ${seed}, ${name}: ${accuracy.toFixed(2)} % in ${seconds.toFixed(0)} s`);
  }
const rows = names.map((name) =>
  rowOf(name, accuracies.get(name)!, accuracies.get(`${PLAIN}, ${WAYS[name]!.optimizer}`)!),
);
report('codec-accuracy', rows, { engine: engine.versions.engine });
process.exitCode = rows.every(({ holds }, index) => holds || WAYS[names[index]!]!.advisedAgainst) ? 0 : 1;
