// Everything that one process of a job is told by what starts it: launcher and operator write it, `worker/main.ts` reads it.
// The same in a pod and on a laptop. No environment variables.
import { z } from 'zod';
import { leptonJobSpecSchema } from '../crds/leptonjob.ts';
import type { ServerPlaces } from '../crds/server-places.ts';

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
    /** How long a checkpoint that the end of a run waits for is tried again when it cannot be written. */
    checkpointSeconds: seconds(60),
    /** How long a finished coordinator waits for those who watch it to take the result. */
    lingerSeconds: seconds(30),
    /** After SIGTERM, for what is under way; less than the 30 s that a pod has. */
    leaveSeconds: seconds(20),
  })
  .prefault({});

/** What tests change about a process. Never set by the launcher on its own. */
const testingSchema = z.strictObject({
  /** Elements per chunk; default: 1 MiB of them. A multiple of the 4,096 that gradient norms are summed in. */
  chunkLength: z.int().positive().multipleOf(4096).default(262_144),
  /** Every message of the exchange is held back for a random time up to this. */
  delayMs: z.number().min(0).default(0),
  delaySeed: z.int().default(0),
  /** Processes of one host see each other's memory where they can. */
  sharedMemory: z.boolean().default(true),
  /** By rank: every step takes so much longer to compute, as on a slower host. Ranks beyond the end are not slowed down. */
  extraStepMs: z.array(z.number().min(0)).default([]),
  /** Servers keep their state in memory that outlives them. */
  snapshots: z.boolean().default(true),
});

/** Below the folder of a worker's certificates: those of the server that lives in its process. */
export const HOSTED_TLS_FOLDER = 'server';

/** How processes of a job know each other. */
const securitySchema = z.discriminatedUnion('kind', [
  /** Plain connections on the loopback interface. */
  z.strictObject({ kind: z.literal('token'), token: z.string().min(16) }),
  /** TLS both ways under the job's own authority. */
  z.strictObject({
    kind: z.literal('mutualTls'),
    /** UID of the LeptonJob: every certificate of the job names it. */
    jobUid: z.string().min(1),
    /** Folder with ca.crt, tls.crt and tls.key. */
    directory: z.string().min(1),
  }),
]);

/** What all processes of a job have in common. */
export const jobConfigSchema = z.strictObject({
  job: z.strictObject({
    name: z.string().min(1),
    /** Names this run among others of the same job. */
    run: z.string().regex(/^[a-z0-9]{4,40}$/),
  }),
  workers: z.int().min(1),
  /** Addresses of all parameter servers, by index. */
  servers: z.array(address).min(1),
  /** So many of them, the last ones, live in the processes of the first workers; the others have processes of their own. */
  hostedServers: z.int().min(0).default(0),
  /** Where a server listens; default: its own address in `servers`. */
  listen: address.optional(),
  security: securitySchema,
  spec: leptonJobSpecSchema,
  seed: z.int().min(0),
  /** Output folder of the run. */
  directory: z.string().min(1),
  /** Checkpoint store, shared by all servers. */
  checkpointUri: z.string().min(1),
  /** Files of memory that outlive the process of a server: its next one finds there what this one had come to. */
  snapshotFiles: z.strictObject({ shard: z.string().min(1), ledger: z.string().min(1) }).optional(),
  /** Go on from the newest checkpoint of any earlier run in the store. */
  resume: z.boolean().default(false),
  /** Threads of the engine. */
  threads: z.int().min(1).default(1),
  /** End when standard input ends: the launcher has died. */
  exitWithParent: z.boolean().default(false),
  /** File that takes the spans of the process, where its time is to be traced. */
  traceFile: z.string().min(1).optional(),
  /** File that takes the last words of the process, as a `lastWordsSchema`. */
  lastWordsFile: z.string().min(1).optional(),
  deadlines: deadlinesSchema,
  testing: testingSchema.prefault({}),
});

/** Which process of the job this one is. */
export const placeSchema = z.strictObject({
  role: z.enum(['server', 'worker']),
  /** Of a worker: its rank. Of a server: its index; server 0 hosts the coordinator. */
  rank: z.int().min(0),
  /** Grows with every start of this process. */
  attempt: z.int().min(0).max(1_000_000),
});

export const roleConfigSchema = jobConfigSchema.extend(placeSchema.shape);

/** Where the servers live that a process is told of. */
export function serverPlacesIn({
  servers,
  hostedServers: hosted,
}: Pick<RoleConfig, 'servers' | 'hostedServers'>): ServerPlaces {
  return { dedicated: servers.length - hosted, hosted };
}

export type JobConfigInput = z.input<typeof jobConfigSchema>;
export type RoleConfig = z.output<typeof roleConfigSchema>;
export type RoleConfigInput = z.input<typeof roleConfigSchema>;

/** How a process ended, for whoever looks after its connection is gone: at most 4,096 bytes of JSON. */
export const lastWordsSchema = z.object({
  /** Left: the job does without this worker and goes on. */
  phase: z.enum(['Succeeded', 'Failed', 'Stopped', 'Left']),
  code: z.string().max(64).optional(),
  message: z.string().max(2048).optional(),
  step: z.int().min(0).optional(),
  steps: z.int().min(0).optional(),
  metrics: z.record(z.string().max(64), z.number()).optional(),
});

export type LastWords = z.output<typeof lastWordsSchema>;
