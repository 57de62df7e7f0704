// `lepton predict`: its options. The computing is in ../use-model.ts.
import { Command } from 'commander';
import { addModelOptions, formatOption, type ModelOptions } from './options.ts';

const EXAMPLES = `
A model that ends in softmax or sigmoid gives a class and its probability, any other model its outputs.

Examples:
  lepton predict runs/fashion/2026-11-24T10-15-00 --limit 5
  lepton predict model/ --data '{format: imageFolder, uri: photos, imageSize: [32, 32]}' -o json`;

export function predictCommand(): Command {
  const command = new Command('predict')
    .summary('apply a saved model to data')
    .description('Applies a saved model to data, in this process.');
  addModelOptions(command).addOption(formatOption()).addHelpText('after', EXAMPLES);
  return command.action(async (folder: string, options: ModelOptions) => {
    const { predictModel } = await import('../use-model.ts');
    process.stdout.write(await predictModel(folder, options));
  });
}
