// Test accuracy of examples/fashion-mnist with each gradient codec against the same training without one: two workers and a server that
// share no memory, so that all gradients and parameters travel encoded.
//   node bench/codec-accuracy.ts [EPOCHS] [SEEDS] [CODEC ...]
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readManifest } from '../cli/manifest-file.ts';
import { type Override, parseOverride } from '../crds/overrides.ts';
import { engine } from '../native/engine.ts';
import { startLocalJob } from '../worker/launch/local-job.ts';
import { type Row, report, summarize } from './report.ts';

const [epochs = '1', seeds = '3', ...chosen] = process.argv.slice(2);
const ROOT = join(import.meta.dirname, '..');
const PLAIN = 'float32';
/** Points of accuracy that each codec may cost, and what it is asked for. */
const CODECS: Readonly<Record<string, { readonly codec?: object; readonly allowed: number }>> = {
  [PLAIN]: { allowed: 0 },
  bfloat16: { codec: { bfloat16: {} }, allowed: 0.3 },
  int8: { codec: { int8: {} }, allowed: 0.3 },
  oneBit: { codec: { oneBit: { warmupSteps: 500 } }, allowed: 1 },
  'topK 1 %': { codec: { topK: { ratio: 0.01, warmupSteps: 500 } }, allowed: 0.3 },
};

/** Points on the test set after the last epoch. */
async function accuracyOf(codec: object | undefined, data: string, seed: number): Promise<number> {
  const set = [
    `training.epochs=${epochs}`,
    `training.seed=${seed}`,
    // The noise of a rate that stays high would be larger than what is asked for.
    'training.schedule={"cosine":{}}',
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

function rowOf(name: string, ours: readonly number[], plain: readonly number[], allowed: number): Row {
  const [mine, theirs] = [mean(ours), mean(plain)];
  return {
    name: `test accuracy, Fashion-MNIST, ${name}, ${epochs} epochs, mean of ${seeds} seeds`,
    unit: '%',
    ours: mine,
    oursSpread: summarize(ours).spread,
    peer: theirs,
    peerSpread: summarize(plain).spread,
    peerName: PLAIN,
    ratio: theirs / mine,
    bar: theirs / (theirs - allowed),
    holds: mine >= theirs - allowed,
    note: `${(mine - theirs).toFixed(2)} points, at most ${allowed} behind; ratio is peer / ours; seeds ${listed(ours)}, ${PLAIN} ${listed(plain)}`,
  };
}

const { stdout } = await promisify(execFile)(join(ROOT, 'scripts/datasets.sh'));
const names = Object.keys(CODECS).filter(
  (name) => name === PLAIN || chosen.length === 0 || chosen.includes(name),
);
const accuracies = new Map(names.map((name) => [name, [] as number[]]));
for (let seed = 1; seed <= Number(seeds); seed++)
  for (const [name, measured] of accuracies) {
    const startMs = performance.now();
    measured.push(await accuracyOf(CODECS[name]!.codec, stdout.trim(), seed));
    const seconds = (performance.now() - startMs) / 1000;
    console.error(`seed ${seed}, ${name}: ${measured.at(-1)!.toFixed(2)} % in ${seconds.toFixed(0)} s`);
  }
const plain = accuracies.get(PLAIN)!;
const rows = names
  .filter((name) => name !== PLAIN)
  .map((name) => rowOf(name, accuracies.get(name)!, plain, CODECS[name]!.allowed));
report('codec-accuracy', rows, { engine: engine.versions.engine });
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
