// Options that several commands share.
import { type Command, InvalidArgumentError, Option } from 'commander';

export function addSetOption(command: Command): Command {
  const collect = (value: string, values: readonly string[]) => [...values, value];
  const text = 'change a field below spec, such as training.batchSize=64 (may be repeated)';
  return command.addOption(new Option('--set <path=value>', text).argParser(collect).default([], 'none'));
}

/** `-o json`: standard output carries exactly one JSON object at the end; everything else goes to standard error. */
export function formatOption(formats: readonly string[] = ['text', 'json']): Option {
  const text = 'form of the result; with json, standard output holds one JSON object and nothing else';
  return new Option('-o, --output-format <format>', text).choices(formats).default('text');
}

export interface ModelOptions {
  readonly data?: string;
  readonly limit?: number;
  readonly batchSize: number;
  readonly outputFormat: 'text' | 'json';
}

/** The model, and the data that it is applied to. */
export function addModelOptions(command: Command): Command {
  return command
    .argument('<model>', 'folder of a run or of a saved model (model.json, weights.safetensors)')
    .option(
      '--data <source>',
      "a manifest, whose evaluation data is taken, or {format: ..., uri: ...}; default: the run's own",
    )
    .addOption(new Option('--limit <n>', 'use only the first n samples').argParser(parseCount))
    .addOption(new Option('--batch-size <n>', 'samples per step').argParser(parseCount).default(256));
}

function parseCount(value: string): number {
  const count = Number(value);
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError(`expected a whole number from 1, got ${value}`);
}
