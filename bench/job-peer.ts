// A process of a job that a benchmark measures: a server or worker with the settings that all of them have.
import { join } from 'node:path';
import type { RoleConfigInput } from '../protos/role-config.ts';
import type { Subject } from './exchange-peer.ts';
import { Peer } from './peer.ts';

export const SECURITY = { kind: 'token', token: 'of a benchmark on one host' } as const;
/** Steps between checkpoints where none is to come. */
const NEVER = 1_000_000_000;

type Own = Pick<RoleConfigInput, 'role' | 'rank' | 'workers' | 'servers'> & Partial<RoleConfigInput>;
export type What = { readonly net: string } | { readonly floats: number };

/** Of a job whose model the process makes up by itself. */
export function specFor(workers: number, everySteps = NEVER): RoleConfigInput['spec'] {
  return {
    model: { layers: [{ dense: { units: 1 } }] },
    data: { train: { format: 'npy', uri: '/nowhere' } },
    training: { loss: 'meanSquaredError', optimizer: { sgd: {} }, batchSize: 1, epochs: 1 },
    worker: { replicas: workers },
    parameterServer: { replicas: 1 },
    checkpoint: { everySteps },
  };
}

/** Pinned to these processors. */
export function startJobPeer(own: Own, directory: string, what: What, processors: number | string): Peer {
  const config: RoleConfigInput = {
    job: { name: 'bench', run: 'bench' },
    attempt: 0,
    security: SECURITY,
    spec: specFor(own.workers),
    seed: 0,
    directory,
    checkpointUri: join(directory, 'checkpoints'),
    ...own,
  };
  const subject: Subject = { config, ...what };
  const script = join(import.meta.dirname, 'exchange-peer.ts');
  return new Peer([process.execPath, script, JSON.stringify(subject)], processors);
}
