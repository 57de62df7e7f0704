// `lepton datasets`: which well-known data sets are on this machine, and how to get the others. Downloads nothing.
import { resolve } from 'node:path';
import { Command } from 'commander';
import { dataPlaces, findDataset, KNOWN_DATASETS } from '../known-datasets.ts';
import { formatOption } from './options.ts';

const EXAMPLES = `
Looked for in $LEPTON_DATA, ./data, the cache of Lepton ($LEPTON_CACHE or ~/.cache/lepton) and /usr/share/datasets.

Examples:
  lepton datasets
  lepton datasets -o json
  lepton run leptonjob.yaml --set data.train.uri=/usr/share/datasets/fashion-mnist`;

export function datasetsCommand(): Command {
  return new Command('datasets')
    .summary('show which data sets are on this machine')
    .description('Shows which well-known data sets are on this machine, and how to get the others.')
    .addOption(formatOption())
    .addHelpText('after', EXAMPLES)
    .action(({ outputFormat }: { outputFormat: 'text' | 'json' }) => {
      const places = dataPlaces(process.env);
      const found = KNOWN_DATASETS.map((dataset) => {
        const folder = findDataset(dataset, places);
        return { ...dataset, ...(folder === undefined ? {} : { folder: resolve(folder) }) };
      });
      const rows = found.map(({ name, format, contents, folder, howToGet }) => ({
        name,
        format,
        contents,
        folder,
        howToGet,
      }));
      process.stdout.write(
        outputFormat === 'json' ? `${JSON.stringify({ datasets: rows })}\n` : describe(rows),
      );
    });
}

interface Row {
  readonly name: string;
  readonly format: string;
  readonly contents: string;
  readonly folder: string | undefined;
  readonly howToGet: string;
}

function describe(rows: readonly Row[]): string {
  const texts = rows.map(({ name, format, contents, folder, howToGet }) => {
    const where = folder === undefined ? `  not found; get it: ${howToGet}` : `  ${folder}`;
    return `${name} (format ${format}): ${contents}\n${where}\n`;
  });
  return texts.join('');
}
