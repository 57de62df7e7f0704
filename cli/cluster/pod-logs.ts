// The log of one place in a job: of the pod that has it now and, when followed, of the one that has it next. Prints nothing itself.
import { isStatus } from '../../operator/kube/errors.ts';
import { PODS, pathOf } from '../../operator/kube/objects.ts';
import { podName, type Role } from '../../operator/leptonjob/names.ts';
import type { Pod } from '../../operator/leptonjob/pod-view.ts';
import { CommandError } from '../errors.ts';
import { type Connection, readJob } from './connection.ts';

export interface LogsRequest {
  readonly name: string;
  readonly role: Role;
  readonly rank: number;
  readonly follow: boolean;
  readonly tail?: number;
}

const RETRY_MS = 500;

/** Ends when the pod has ended, or, followed, when the job has. Throws NO_POD. */
export async function podLogs(
  connection: Connection,
  request: LogsRequest,
  write: (text: string) => void,
): Promise<void> {
  const pod = podName(request.name, request.role, request.rank);
  let last = '';
  for (;;) {
    const found = await readPod(connection, pod);
    if (!found && !request.follow)
      throw new CommandError(
        'NO_POD',
        `expected a pod ${pod} in namespace ${connection.namespace}, got none`,
      );
    if (found && found.metadata.uid !== last && found.status?.phase !== 'Pending') {
      if (last !== '')
        write(`--- ${pod} was replaced, attempt ${found.metadata.labels?.['lepton.ai/attempt']} ---\n`);
      last = found.metadata.uid;
      await stream(connection, pod, request, write);
    }
    if (!request.follow) return;
    const { status } = await readJob(connection, request.name);
    if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function readPod({ api, namespace }: Connection, name: string): Promise<Pod | undefined> {
  try {
    return await api.get<Pod>(PODS, { namespace, name });
  } catch (error) {
    if (isStatus(error, 404)) return undefined;
    throw error;
  }
}

async function stream(
  { api, namespace }: Connection,
  name: string,
  { follow, tail }: LogsRequest,
  write: (text: string) => void,
): Promise<void> {
  const path = pathOf(PODS, { namespace, name, subresource: 'log' });
  try {
    const lines = await api.client.stream({
      method: 'GET',
      path,
      query: { follow, tailLines: tail, container: 'lepton' },
    });
    lines.setEncoding('utf8');
    for await (const part of lines) write(part as string);
  } catch (error) {
    // The pod went away, or its container has not started: what comes next is asked for anew.
    if (!follow || !isStatus(error, 0, 400, 404, 500)) throw error;
  }
}
