// Everything that one process of a job is told: the same file in a pod and on a laptop. No environment variables.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { leptonJobSpecSchema } from '../../crds/leptonjob.ts';
import { CHUNK_LENGTH, NORM_BLOCK } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';

const seconds = (value: number) => z.number().positive().default(value);
const address = z.string().regex(/^[^\s/]+:\d{1,5}$/, 'expected host:port');

const deadlinesSchema = z
  .strictObject({
    /** One call to a peer that is there. */
    callSeconds: seconds(30),
    /** A worker that says nothing for this long is lost and may be replaced. */
    silentSeconds: seconds(120),
    /** A process that gets nowhere for this long gives up. */
    stallSeconds: seconds(900),
    /** How long a finished coordinator waits for those who watch it to take the result. */
    lingerSeconds: seconds(30),
  })
  .prefault({});

/** What tests change about a process. Never set by the launcher on its own. */
const testingSchema = z.strictObject({
  /** Elements per chunk. */
  chunkLength: z.int().positive().multipleOf(NORM_BLOCK).default(CHUNK_LENGTH),
  /** Every message of the exchange is held back for a random time up to this. */
  delayMs: z.number().min(0).default(0),
  delaySeed: z.int().default(0),
});

export const roleConfigSchema = z.strictObject({
  job: z.strictObject({
    name: z.string().min(1),
    /** Names this run among others of the same job. */
    run: z.string().regex(/^[a-z0-9]{4,40}$/),
  }),
  role: z.enum(['server', 'worker']),
  /** Of a worker: its rank. Of a server: its index; server 0 hosts the coordinator. */
  rank: z.int().min(0),
  /** How often this process was started before. */
  attempt: z.int().min(0).max(4095),
  workers: z.int().min(1),
  /** Addresses of all parameter servers, by index. */
  servers: z.array(address).min(1),
  /** Where a server listens; default: its own address in `servers`. */
  listen: address.optional(),
  token: z.string().min(16),
  spec: leptonJobSpecSchema,
  seed: z.int().min(0),
  /** Output folder of the run. */
  directory: z.string().min(1),
  /** Checkpoint store, shared by all servers. */
  checkpointUri: z.string().min(1),
  /** Go on from the newest checkpoint of any earlier run in the store. */
  resume: z.boolean().default(false),
  /** Threads of the engine. */
  threads: z.int().min(1).default(1),
  /** End when standard input ends: the launcher has died. */
  exitWithParent: z.boolean().default(false),
  deadlines: deadlinesSchema,
  testing: testingSchema.prefault({}),
});

export type RoleConfig = z.output<typeof roleConfigSchema>;
export type RoleConfigInput = z.input<typeof roleConfigSchema>;

/** Throws BAD_ROLE_CONFIG naming the file and the fields. */
export function readRoleConfig(path: string): RoleConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new RuntimeError('BAD_ROLE_CONFIG', `${path}: expected a JSON file: ${String(cause)}`, { cause });
  }
  const checked = roleConfigSchema.safeParse(parsed);
  if (checked.success) return checked.data;
  throw new RuntimeError('BAD_ROLE_CONFIG', `${path}: ${z.prettifyError(checked.error)}`);
}
