// `lepton submit`: sends a manifest to a cluster, and waits for it where asked.
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { parseManifest } from '../../crds/manifest.ts';
import { parseOverride } from '../../crds/overrides.ts';
import type { KubeObject } from '../../operator/kube/objects.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { addConnectionOptions, type ConnectionOptions, onCluster } from '../cluster/connection.ts';
import { progressLine, waitForEnd } from '../cluster/follow.ts';
import { podLogs } from '../cluster/pod-logs.ts';
import { EXIT } from '../errors.ts';
import type { Outcome } from '../outcome.ts';
import { addSetOption } from './options.ts';

const EXAMPLES = `
Examples:
  lepton submit leptonjob.yaml
  lepton submit leptonjob.yaml -n team-a --set training.epochs=10 --wait
  lepton submit leptonjob.yaml --dry-run

Paths in the manifest are those inside the pods: they are sent as they are written.

Exit codes: 0 the job was taken, or with --wait succeeded; 1 it failed, or the cluster refused it; 2 the manifest is wrong.`;

interface SubmitOptions extends ConnectionOptions {
  readonly set: readonly string[];
  readonly wait?: boolean;
  readonly follow?: boolean;
  readonly dryRun?: boolean;
}

export function submitCommand(outcome: Outcome): Command {
  const command = new Command('submit')
    .summary('send a job to a cluster')
    .description('Checks a manifest and sends it to a cluster, as kubectl create would.')
    .argument('<file>', 'manifest of a LeptonJob (YAML or JSON)')
    .option('--wait', 'tell what happens until the job has ended')
    .option('--follow', "as --wait, with the coordinator's log")
    .option('--dry-run', 'let the API server check the job without keeping it')
    .addHelpText('after', EXAMPLES);
  addConnectionOptions(addSetOption(command));
  return command.action(async (file: string, options: SubmitOptions) => {
    const job = parseManifest(await readFile(file, 'utf8'), file, options.set.map(parseOverride));
    outcome.exitCode = await onCluster(options, async (connection) => {
      const { api, namespace } = connection;
      const { name } = job.metadata;
      const object = { ...job, metadata: { ...job.metadata, namespace } } as unknown as KubeObject;
      const query = { fieldValidation: 'Strict', ...(options.dryRun ? { dryRun: 'All' } : {}) };
      await api.create<LeptonJobObject>(LEPTON_JOBS, object, query);
      process.stdout.write(
        `leptonjob ${namespace}/${name} ${options.dryRun ? 'would be accepted' : 'submitted'}\n`,
      );
      if (options.dryRun || !(options.wait || options.follow)) return EXIT.done;
      const logs = options.follow
        ? podLogs(connection, { name, role: 'server', rank: 0, follow: true }, (text) =>
            process.stderr.write(text),
          )
        : undefined;
      const ended = await waitForEnd(connection, name, (now) =>
        process.stdout.write(`${progressLine(now)}\n`),
      );
      await logs;
      return ended.status?.phase === 'Succeeded' ? EXIT.done : EXIT.failed;
    });
  });
}
