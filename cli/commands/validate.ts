// `lepton validate`: says whether a manifest is right, and shows it with all defaults. Opens no data, starts nothing.
import { Command } from 'commander';
import { stringify } from 'yaml';
import { parseOverride } from '../../crds/overrides.ts';
import { readManifest } from '../manifest-file.ts';
import { addSetOption, formatOption } from './options.ts';

const EXAMPLES = `
Examples:
  lepton validate leptonjob.yaml
  lepton validate leptonjob.yaml -o yaml
  lepton validate leptonjob.yaml --set training.batchSize=64 -o json

Exit codes: 0 the manifest is right; 2 it is not, and each line says where, what was expected and what was found.`;

interface ValidateOptions {
  readonly set: readonly string[];
  readonly outputFormat: 'text' | 'json' | 'yaml';
}

export function validateCommand(): Command {
  const command = new Command('validate')
    .summary('check a manifest without starting anything')
    .description('Checks a manifest as the API server of a cluster would, without starting anything.')
    .argument('<file>', 'manifest of a LeptonJob (YAML or JSON)')
    .addHelpText('after', EXAMPLES);
  addSetOption(command).addOption(formatOption(['text', 'json', 'yaml']));
  return command.action(async (file: string, { set, outputFormat }: ValidateOptions) => {
    const job = await readManifest(file, set.map(parseOverride));
    if (outputFormat === 'text') process.stdout.write(`${file}: valid LeptonJob ${job.metadata.name}\n`);
    else if (outputFormat === 'json') process.stdout.write(`${JSON.stringify(job)}\n`);
    else process.stdout.write(stringify(job, { lineWidth: 110, aliasDuplicateObjects: false }));
  });
}
