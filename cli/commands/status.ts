// `lepton status`: one job on a cluster with its pods and what happened to it.
import { Command } from 'commander';
import { EVENTS, PODS } from '../../operator/kube/objects.ts';
import { selectorOf, selectorText } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { addConnectionOptions, type ConnectionOptions, onCluster, readJob } from '../cluster/connection.ts';
import { describeJob, type EventObject } from '../cluster/describe-job.ts';
import { formatOption } from './options.ts';

const EXAMPLES = `
Examples:
  lepton status fashion-mnist
  lepton status fashion-mnist -n team-a -o json`;

interface StatusOptions extends ConnectionOptions {
  readonly outputFormat: 'text' | 'json';
}

export function statusCommand(): Command {
  const command = new Command('status')
    .summary('say how a job on a cluster is')
    .description('Says how a job on a cluster is: phase, what it waits for, progress, goodput, pods, events.')
    .argument('<name>', 'name of the job')
    .addHelpText('after', EXAMPLES);
  addConnectionOptions(command).addOption(formatOption());
  return command.action(async (name: string, { outputFormat, ...options }: StatusOptions) => {
    const { job, pods, events } = await onCluster(options, async (connection) => {
      const { api, namespace } = connection;
      const found = await readJob(connection, name);
      const labelSelector = selectorText(selectorOf(name));
      const fieldSelector = `regarding.uid=${found.metadata.uid}`;
      const [{ items }, told] = await Promise.all([
        api.list<Pod>(PODS, { namespace, labelSelector }),
        api.list<EventObject>(EVENTS, { namespace, fieldSelector }),
      ]);
      return { job: found, pods: items, events: told.items };
    });
    if (outputFormat === 'json') process.stdout.write(`${JSON.stringify({ job, pods, events })}\n`);
    else for (const line of describeJob(job, pods, events, Date.now())) process.stdout.write(`${line}\n`);
  });
}
