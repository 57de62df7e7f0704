// Test accuracy of examples/fashion-mnist against the same training in PyTorch, over three seeds each.
//   node bench/accuracy.ts PYTHON
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Row, report, summarize } from './report.ts';

const run = promisify(execFile);
const [python = 'python3'] = process.argv.slice(2);
const ROOT = join(import.meta.dirname, '..');
const SEEDS = [1, 2, 3];
/** Points of accuracy that we may be behind. */
const ALLOWED = 0.5;

async function ours(folder: string, seed: number): Promise<number> {
  const output = join(ROOT, 'build', `accuracy-${process.pid}-${seed}`);
  const uris = ['train', 'evaluate'].flatMap((part) => ['--set', `data.${part}.uri=file://${folder}`]);
  const manifest = join(ROOT, 'examples/fashion-mnist/leptonjob.yaml');
  const args = ['run', manifest, '--seed', String(seed), '-o', 'json', '--output', output, ...uris];
  const { stdout } = await run(process.execPath, [join(ROOT, 'cli/main.ts'), ...args]);
  return (JSON.parse(stdout) as { evaluate: { accuracy: number } }).evaluate.accuracy;
}

const folder = (await run(join(ROOT, 'scripts/datasets.sh'))).stdout.trim();
const accuracies = { ours: [] as number[], torch: [] as number[] };
let version = '';
for (const seed of SEEDS) {
  accuracies.ours.push(100 * (await ours(folder, seed)));
  const { stdout } = await run(python, [
    join(import.meta.dirname, 'torch_accuracy.py'),
    folder,
    String(seed),
  ]);
  const torch = JSON.parse(stdout) as { accuracy: number; version: string };
  accuracies.torch.push(100 * torch.accuracy);
  version = torch.version;
}
const [mine, theirs] = [summarize(accuracies.ours), summarize(accuracies.torch)];
const row: Row = {
  name: 'test accuracy, Fashion-MNIST, 3 epochs of batch 64 (ours: 2 workers of 32)',
  unit: '%',
  ours: mine.median,
  oursSpread: mine.spread,
  peer: theirs.median,
  peerSpread: theirs.spread,
  peerName: 'torch',
  ratio: theirs.median / mine.median,
  bar: theirs.median / (theirs.median - ALLOWED),
  holds: mine.median >= theirs.median - ALLOWED,
  note: `at most ${ALLOWED} points behind; ratio is peer / ours`,
};
report('accuracy', [row], { torch: version });
process.exitCode = row.holds ? 0 : 1;
