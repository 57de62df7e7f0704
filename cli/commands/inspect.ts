// `lepton inspect`: what a saved model consists of. Computes nothing.
import { Command } from 'commander';
import type { InspectOptions } from '../inspect-model.ts';
import { formatOption } from './options.ts';

const EXAMPLES = `
Examples:
  lepton inspect runs/fashion/2026-11-24T10-15-00
  lepton inspect runs/fashion/2026-11-24T10-15-00 -o json`;

export function inspectCommand(): Command {
  return new Command('inspect')
    .summary('show the layers and weights of a saved model')
    .description('Shows the layers, shapes and weights of a saved model.')
    .argument('<model>', 'folder of a run or of a saved model (model.json, weights.safetensors)')
    .addOption(formatOption())
    .addHelpText('after', EXAMPLES)
    .action(async (model: string, options: InspectOptions) => {
      const { inspectModel } = await import('../inspect-model.ts');
      process.stdout.write(await inspectModel(model, options));
    });
}
