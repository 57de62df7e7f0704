// The tree of commands. Each command's options and action are in its own file.
import { Command } from 'commander';
import { deleteCommand, resumeCommand, scaleCommand, suspendCommand } from './commands/change-job.ts';
import { clusterCommand } from './commands/cluster.ts';
import { datasetsCommand } from './commands/datasets.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { jobsCommand } from './commands/jobs.ts';
import { logsCommand } from './commands/logs.ts';
import { predictCommand } from './commands/predict.ts';
import { runCommand } from './commands/run.ts';
import { statusCommand } from './commands/status.ts';
import { submitCommand } from './commands/submit.ts';
import { validateCommand } from './commands/validate.ts';
import type { Outcome } from './outcome.ts';
import { leptonVersion } from './version.ts';

export const COMMANDS = {
  run: runCommand,
  evaluate: evaluateCommand,
  predict: predictCommand,
  inspect: inspectCommand,
  validate: validateCommand,
  datasets: datasetsCommand,
  submit: submitCommand,
  jobs: jobsCommand,
  status: statusCommand,
  logs: logsCommand,
  suspend: suspendCommand,
  resume: resumeCommand,
  scale: scaleCommand,
  delete: deleteCommand,
  cluster: clusterCommand,
} as const satisfies Record<string, (outcome: Outcome) => Command>;

/** Never ends the process: help, version and wrong usage throw a CommanderError. */
export function createProgram(outcome: Outcome): Command {
  const program = new Command('lepton')
    .description('Train, measure and use neural networks from one manifest.')
    .version(leptonVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', '\nlepton COMMAND --help says more about a command, with examples.')
    .exitOverride();
  for (const make of Object.values(COMMANDS)) program.addCommand(settled(make(outcome)));
  return program;
}

/** What every command shares. */
function settled(command: Command): Command {
  return command
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false)
    .showHelpAfterError(`(lepton ${command.name()} --help says how)`)
    .exitOverride();
}
