// `lepton logs`: the log of one place in a job, across restarts of its pod.
import { Command, InvalidArgumentError, Option } from 'commander';
import { addConnectionOptions, type ConnectionOptions, onCluster } from '../cluster/connection.ts';
import { podLogs } from '../cluster/pod-logs.ts';

const EXAMPLES = `
Examples:
  lepton logs fashion-mnist
  lepton logs fashion-mnist --role worker --rank 1 --follow`;

interface LogsOptions extends ConnectionOptions {
  readonly role: 'server' | 'worker';
  readonly rank: number;
  readonly follow?: boolean;
  readonly tail?: number;
}

export function logsCommand(): Command {
  const command = new Command('logs')
    .summary('show the log of a worker or server of a job')
    .description('Shows the log of one pod of a job; followed, goes on with the pod that replaces it.')
    .argument('<name>', 'name of the job')
    .addOption(
      new Option('--role <role>', 'server 0 hosts the coordinator')
        .choices(['server', 'worker'])
        .default('server'),
    )
    .addOption(
      new Option('--rank <n>', 'rank of the worker, index of the server').argParser(parseRank).default(0),
    )
    .option('-f, --follow', 'go on until the job has ended')
    .addOption(new Option('--tail <n>', 'only the last lines').argParser(parseRank))
    .addHelpText('after', EXAMPLES);
  addConnectionOptions(command);
  return command.action(
    async (name: string, { role, rank, follow = false, tail, ...options }: LogsOptions) => {
      await onCluster(options, (connection) =>
        podLogs(connection, { name, role, rank, follow, ...(tail === undefined ? {} : { tail }) }, (text) =>
          process.stdout.write(text),
        ),
      );
    },
  );
}

function parseRank(value: string): number {
  const rank = Number(value);
  if (Number.isSafeInteger(rank) && rank >= 0) return rank;
  throw new InvalidArgumentError(`expected a whole number from 0, got ${value}`);
}
