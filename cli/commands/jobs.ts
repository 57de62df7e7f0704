// `lepton jobs`: the jobs of a namespace, or of all.
import { Command } from 'commander';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { addConnectionOptions, type ConnectionOptions, onCluster } from '../cluster/connection.ts';
import { listJobs } from '../cluster/describe-job.ts';
import { formatOption } from './options.ts';

const EXAMPLES = `
Examples:
  lepton jobs
  lepton jobs -A -o json`;

interface JobsOptions extends ConnectionOptions {
  readonly allNamespaces?: boolean;
  readonly outputFormat: 'text' | 'json';
}

export function jobsCommand(): Command {
  const command = new Command('jobs')
    .summary('list the jobs on a cluster')
    .description('Lists the jobs on a cluster: phase, progress, what they wait for.')
    .option('-A, --all-namespaces', 'of all namespaces')
    .addHelpText('after', EXAMPLES);
  addConnectionOptions(command).addOption(formatOption());
  return command.action(async ({ allNamespaces = false, outputFormat, ...options }: JobsOptions) => {
    const { items } = await onCluster(options, ({ api, namespace }) =>
      api.list<LeptonJobObject>(LEPTON_JOBS, { namespace: allNamespaces ? undefined : namespace }),
    );
    if (outputFormat === 'json') process.stdout.write(`${JSON.stringify({ items })}\n`);
    else if (items.length === 0) process.stdout.write('no jobs\n');
    else for (const line of listJobs(items, Date.now(), allNamespaces)) process.stdout.write(`${line}\n`);
  });
}
