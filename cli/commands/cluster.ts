// `lepton cluster up` and `down`: a small Kubernetes on this machine as a place to try things.
import { Argument, Command, Option } from 'commander';
import type { Outcome } from '../outcome.ts';
import { clusterDown, clusterUp, MINORS } from '../test-cluster.ts';

const EXAMPLES = `
Examples:
  lepton cluster up
  lepton cluster up --nodes 1 --kubernetes 1.36 --no-operator
  lepton cluster down

It works from a checkout of Lepton, as root on Linux. Everything of the cluster is in network, mount and process namespaces of its own.

Exit codes: 0 it is up, or down; 1 something went wrong, and what had been started is ended; 2 it cannot be done here; 130 Ctrl-C.`;

interface ClusterOptions {
  readonly nodes: string;
  readonly kubernetes: (typeof MINORS)[number];
  readonly operator: boolean;
}

export function clusterCommand(outcome: Outcome): Command {
  return new Command('cluster')
    .summary('make a small Kubernetes on this machine, to try things')
    .description('Makes a small Kubernetes on this machine with the operator in it, and ends it.')
    .addArgument(new Argument('<action>', 'what to do').choices(['up', 'down']))
    .addOption(new Option('--nodes <count>', 'how many nodes').choices(['1', '2', '3', '4']).default('2'))
    .addOption(new Option('--kubernetes <minor>', 'its version').choices([...MINORS]).default('1.37'))
    .option('--no-operator', 'without the operator')
    .addHelpText('after', EXAMPLES)
    .action(async (action: 'up' | 'down', options: ClusterOptions) => {
      const say = (line: string): void => void process.stdout.write(`${line}\n`);
      outcome.exitCode = await (action === 'up'
        ? clusterUp({ ...options, nodes: Number(options.nodes) }, say)
        : clusterDown(say));
    });
}
