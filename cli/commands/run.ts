// `lepton run`: its options and how they become overrides of the manifest. The run itself is in ../run-job.ts.
import { Command } from 'commander';
import { type Override, parseOverride } from '../../crds/overrides.ts';
import { readManifest } from '../manifest-file.ts';
import type { Outcome } from '../outcome.ts';
import type { RunSettings } from '../run-job.ts';
import { addSetOption, formatOption } from './options.ts';

const EXAMPLES = `
Examples:
  lepton run leptonjob.yaml
  lepton run leptonjob.yaml --workers 4 --epochs 10 --output runs/wide
  lepton run leptonjob.yaml --set training.batchSize=64 --set training.optimizer.adam.learningRate=0.01
  lepton run leptonjob.yaml --output runs/wide --resume
  lepton run leptonjob.yaml --trace trace.json
  lepton run leptonjob.yaml -o json > result.json

Results (model.json, weights.safetensors, history.json, curve.svg, leptonjob.yaml, run.json, TensorBoard events) go to
runs/<name>/<time>/ or to the folder of --output. Ctrl-C writes a checkpoint and stops; a second Ctrl-C ends at once.

Exit codes: 0 the job succeeded; 1 it failed; 2 the manifest or the command line is wrong, nothing was started;
130 stopped by Ctrl-C.`;

interface RunOptions extends RunSettings {
  readonly workers?: string;
  readonly servers?: string;
  readonly epochs?: string;
  readonly seed?: string;
  readonly set: readonly string[];
}

/** Flags that stand for one field each. */
const FLAGS = {
  workers: 'worker.replicas',
  servers: 'parameterServer.replicas',
  epochs: 'training.epochs',
  seed: 'training.seed',
} as const;

export function runCommand(outcome: Outcome): Command {
  const command = new Command('run')
    .summary('train the job of a manifest on this machine')
    .description(
      'Trains the job of a manifest on this machine: starts its workers and parameter servers as processes.',
    )
    .argument('<file>', 'manifest of a LeptonJob (YAML or JSON)')
    .option('--workers <n>', 'number of workers (worker.replicas)')
    .option('--servers <n>', 'number of parameter servers (parameterServer.replicas)')
    .option('--epochs <n>', 'passes over the data (training.epochs)')
    .option('--seed <n>', 'seed of everything random (training.seed)')
    .option('--output <dir>', 'folder of the results, new or empty')
    .option('--trace <file>', 'where the time of every process goes, as a Chrome trace (opens in Perfetto)')
    .option('--resume', 'go on from the newest checkpoint of --output, or of the newest run of this job')
    .addHelpText('after', EXAMPLES);
  addSetOption(command).addOption(formatOption());
  return command.action(async (file: string, options: RunOptions) => {
    const job = await readManifest(file, overridesOf(options));
    const { runJob } = await import('../run-job.ts'); // the engine is loaded only for a right manifest
    outcome.exitCode = await runJob(job, options);
  });
}

/** Flags come before --set, so that the more exact one wins. */
function overridesOf(options: RunOptions): Override[] {
  const flags = Object.entries(FLAGS).flatMap(([flag, path]) => {
    const value = options[flag as keyof typeof FLAGS];
    return value === undefined ? [] : [{ ...parseOverride(`${path}=${value}`), text: `--${flag} ${value}` }];
  });
  return [...flags, ...options.set.map(parseOverride)];
}
