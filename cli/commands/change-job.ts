// The commands that change a job on a cluster by one write each: suspend, resume, scale, delete.
import { Command, InvalidArgumentError } from 'commander';
import { pathOf } from '../../operator/kube/objects.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import {
  addConnectionOptions,
  type Connection,
  type ConnectionOptions,
  onCluster,
  readJob,
} from '../cluster/connection.ts';

function patchSpec({ api, namespace }: Connection, name: string, spec: unknown): Promise<unknown> {
  return api.mergePatch(LEPTON_JOBS, { namespace, name }, { spec });
}

/** A command about one job that says one line when it is done. */
function changing(name: string, summary: string, description: string, example: string): Command {
  const command = new Command(name)
    .summary(summary)
    .description(description)
    .argument('<name>', 'name of the job')
    .addHelpText('after', `\nExamples:\n  ${example}\n  ${example} -n team-a`);
  return addConnectionOptions(command);
}

async function change(
  name: string,
  options: ConnectionOptions,
  done: string,
  work: (connection: Connection) => Promise<unknown>,
): Promise<void> {
  await onCluster(options, async (connection) => {
    await readJob(connection, name);
    await work(connection);
    process.stdout.write(`leptonjob ${connection.namespace}/${name} ${done}\n`);
  });
}

export function suspendCommand(): Command {
  return changing(
    'suspend',
    'stop a job on a cluster, keeping a checkpoint',
    'Stops a job at the next step boundary with a checkpoint and deletes its pods; resume goes on from there.',
    'lepton suspend fashion-mnist',
  ).action((name: string, options: ConnectionOptions) =>
    change(name, options, 'is being suspended', (connection) =>
      patchSpec(connection, name, { suspend: true }),
    ),
  );
}

export function resumeCommand(): Command {
  return changing(
    'resume',
    'let a suspended job go on',
    'Lets a suspended job go on from its newest checkpoint.',
    'lepton resume fashion-mnist',
  ).action((name: string, options: ConnectionOptions) =>
    change(name, options, 'is being resumed', (connection) =>
      patchSpec(connection, name, { suspend: false }),
    ),
  );
}

export function scaleCommand(): Command {
  return changing(
    'scale',
    'change the number of workers of a job',
    'Changes the number of workers of a job while it trains.',
    'lepton scale fashion-mnist --workers 4',
  )
    .requiredOption('--workers <n>', 'number of workers', parseWorkers)
    .action((name: string, { workers, ...options }: ConnectionOptions & { workers: number }) =>
      change(name, options, `is being scaled to ${workers} workers`, ({ api, namespace }) =>
        api.client.call({
          method: 'PATCH',
          path: pathOf(LEPTON_JOBS, { namespace, name, subresource: 'scale' }),
          body: { spec: { replicas: workers } },
          contentType: 'application/merge-patch+json',
        }),
      ),
    );
}

export function deleteCommand(): Command {
  return changing(
    'delete',
    'delete a job with everything that it has on the cluster',
    'Deletes a job with its pods; results and checkpoints on volumes stay.',
    'lepton delete fashion-mnist',
  ).action((name: string, options: ConnectionOptions) =>
    change(name, options, 'is being deleted', ({ api, namespace }) =>
      api.delete(LEPTON_JOBS, { namespace, name }),
    ),
  );
}

function parseWorkers(value: string): number {
  const workers = Number(value);
  if (Number.isSafeInteger(workers) && workers >= 1 && workers <= 1024) return workers;
  throw new InvalidArgumentError(`expected a whole number from 1 to 1024, got ${value}`);
}
