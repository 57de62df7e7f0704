// Memory that outlives the processes of a job's servers: each finds there what its process before had come to. It has no name, so it is gone
// with this process and theirs, whichever way they end.
import { closeSync } from 'node:fs';
import { engine } from '../../native/engine.ts';
import type { RoleConfigInput } from '../../protos/role-config.ts';

/** Descriptors of a child before those that it inherits. */
const STANDARD = 3;

export class KeptMemory {
  /** By server. */
  readonly #descriptors: readonly (readonly [shard: number, ledger: number])[];

  /** Of none where the host has none to give: servers then begin with checkpoints. */
  constructor(servers: number) {
    this.#descriptors = engine.hostIdentity === '' ? [] : Array.from({ length: servers }, createBoth);
  }

  /** For the process that runs the server. */
  descriptorsOf(server: number): readonly number[] {
    return this.#descriptors[server] ?? [];
  }

  /** As that process finds them. */
  filesOf(server: number): Pick<RoleConfigInput, 'snapshotFiles'> {
    if (!this.#descriptors[server]) return {};
    return {
      snapshotFiles: { shard: `/proc/self/fd/${STANDARD}`, ledger: `/proc/self/fd/${STANDARD + 1}` },
    };
  }

  close(): void {
    for (const descriptor of this.#descriptors.flat()) closeSync(descriptor);
  }
}

function createBoth(): [number, number] {
  return [engine.createMemory(), engine.createMemory()];
}
