// Whom a client calls, and how.
import type { Lookup } from './line.ts';
import type { Security } from './security.ts';

export interface PeerOptions {
  /** host:port */
  readonly address: string;
  readonly security: Security;
  readonly chunkBytes: number;
  readonly lookup?: Lookup;
  /** For how long a stream that we write may stand still while messages wait. */
  readonly stuckMs?: number;
}
