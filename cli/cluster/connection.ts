// The cluster that a command talks to, as kubectl would choose it: kubeconfig, context, namespace. Errors in the words of a user.
import type { Command } from 'commander';
import { KubeApi } from '../../operator/kube/api.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { ApiError, isStatus } from '../../operator/kube/errors.ts';
import { defaultKubeConfig } from '../../operator/kube/kubeconfig.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { CommandError } from '../errors.ts';
import { leptonVersion } from '../version.ts';

export interface ConnectionOptions {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

export interface Connection extends Disposable {
  readonly api: KubeApi;
  readonly namespace: string;
}

export function addConnectionOptions(command: Command): Command {
  return command
    .option('-n, --namespace <name>', "namespace of the job; default: the context's")
    .option('--context <name>', 'context of the kubeconfig')
    .option('--kubeconfig <file>', 'kubeconfig; default: KUBECONFIG or ~/.kube/config');
}

/** Throws CommandError NO_CLUSTER. */
export function connect({ namespace, context, kubeconfig }: ConnectionOptions): Connection {
  try {
    const config = defaultKubeConfig(kubeconfig, context);
    const client = new KubeClient({ config, userAgent: `lepton/${leptonVersion()}` });
    const chosen = config.getContextObject(config.getCurrentContext());
    if (!chosen) throw new RangeError(`expected a context that it has, got ${config.getCurrentContext()}`);
    return {
      api: new KubeApi(client),
      namespace: namespace ?? chosen.namespace ?? 'default',
      [Symbol.dispose]: () => client.close(),
    };
  } catch (cause) {
    const file = kubeconfig ?? process.env['KUBECONFIG'] ?? '~/.kube/config';
    throw new CommandError('NO_CLUSTER', `${file}: ${(cause as Error).message}`, { cause });
  }
}

/** Runs `work` and turns what the server refuses into a named error. */
export async function onCluster<T>(
  options: ConnectionOptions,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  using connection = connect(options);
  try {
    return await work(connection);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const code = error.status === 0 ? 'NO_CLUSTER' : 'CLUSTER_REFUSED';
    throw new CommandError(code, error.message, { cause: error });
  }
}

/** Throws CommandError NO_JOB. */
export async function readJob({ api, namespace }: Connection, name: string): Promise<LeptonJobObject> {
  try {
    return await api.get<LeptonJobObject>(LEPTON_JOBS, { namespace, name });
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
    throw new CommandError('NO_JOB', `expected a LeptonJob ${name} in namespace ${namespace}, got none`, {
      cause: error,
    });
  }
}
