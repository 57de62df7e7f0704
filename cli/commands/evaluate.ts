// `lepton evaluate`: its options. The measuring is in ../use-model.ts.
import { Command } from 'commander';
import { addModelOptions, formatOption, type ModelOptions } from './options.ts';

const EXAMPLES = `
Examples:
  lepton evaluate runs/fashion/2026-11-24T10-15-00
  lepton evaluate runs/fashion/2026-11-24T10-15-00 --data other.yaml --limit 1000
  lepton evaluate model/ --data '{format: idx, uri: /usr/share/datasets/fashion-mnist, split: test}' -o json`;

export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .summary('measure a saved model on data')
    .description('Measures loss and metrics of a saved model on data, in this process.');
  addModelOptions(command).addOption(formatOption()).addHelpText('after', EXAMPLES);
  return command.action(async (folder: string, options: ModelOptions) => {
    const { evaluateModel } = await import('../use-model.ts');
    process.stdout.write(await evaluateModel(folder, options));
  });
}
