// How a worker's session begins with every server: attending under its epoch, with shared memory where both sides can see the other's;
// and the initial parameters, where no server has any. Which servers those are.
import type { ServerPlaces } from '../../crds/server-places.ts';
import type { ArenaLayout } from '../../native/engine.ts';
import { planChunks, planShards, type Shard } from '../protocol/chunks.ts';
import type { Trace } from '../trace/trace.ts';
import type { ExchangeClient } from '../transport/clients.ts';
import type { DelayOptions } from '../transport/delay.ts';
import type { Arenas } from './arenas.ts';
import { bytesOf } from './float-bytes.ts';
import type { GradientEncoder } from './gradient-codec.ts';

export interface SessionOptions {
  /** By index. */
  readonly servers: readonly ExchangeClient[];
  readonly places: ServerPlaces;
  readonly rank: number;
  readonly epoch: number;
  readonly layout: ArenaLayout;
  readonly chunkLength: number;
  /** Gradients are read from `pushFrom` on until the next step is ready. */
  readonly arenas: Arenas;
  /** Where the job asks for a codec. */
  readonly encoder?: GradientEncoder;
  readonly callMs: number;
  /** Longest time without any message while waiting for a step. */
  readonly stallMs: number;
  readonly delay: DelayOptions;
  readonly trace: Trace;
  readonly meeting: Meeting;
  /** Batches that are to be computed soon. */
  readonly leased?: (batch: number) => void;
}

/**
 * everyStep: all workers have the parameters of each step. byQuorum: those that were not waited for go on where the others are.
 * byLease: batches are leased; each worker has parameters of its own. Its batches have numbers instead of steps.
 */
export type Meeting = 'everyStep' | 'byQuorum' | 'byLease';

/** Rank 0 when no server has parameters: brings the initial ones. */
export async function pushInitial(options: SessionOptions, values: Float32Array): Promise<void> {
  const { servers, rank, epoch, layout, chunkLength } = options;
  const owners = ownersOf(options);
  const streams = servers.map((server) => server.push());
  for (const { index, from, to } of planChunks(layout, chunkLength))
    streams[owners[index]!]!.write({
      epoch,
      rank,
      step: 0,
      initial: { chunk: index },
      data: bytesOf(values, from, to),
    });
  await Promise.all(streams.map((stream) => stream.finish()));
}

export interface Attended {
  readonly step: number;
  readonly seen: ReadonlySet<number>;
}

export async function attendAll(options: SessionOptions): Promise<Attended> {
  const seen = new Set<number>();
  const steps = await Promise.all(
    partnersOf(options).map(async (server) => {
      const { step, sees } = await attend(server, options);
      if (sees) seen.add(server);
      return step;
    }),
  );
  // Servers are at most one step apart and keep two versions, so all of them can send the oldest step.
  return { step: Math.min(...steps), seen };
}

/** With shared memory where both sides can see the other's. */
async function attend(server: number, options: SessionOptions): Promise<{ step: number; sees: boolean }> {
  const { servers, rank, epoch, callMs, arenas } = options;
  const request = { rank, epoch };
  const gradients = arenas.shared;
  const { step, parameters } = await servers[server]!.attend(
    gradients ? { ...request, gradients } : request,
    callMs,
  );
  if (!parameters) return { step, sees: false };
  if (arenas.see(shardsOf(options)[server]!, parameters)) return { step, sees: true };
  return { ...(await servers[server]!.attend(request, callMs)), sees: false };
}

/** Servers that own chunks, and server 0, which says when steps begin. */
export function partnersOf(options: SessionOptions): number[] {
  return [...new Set([0, ...ownersOf(options)])];
}

/** Server of each chunk. */
export function ownersOf(options: SessionOptions): number[] {
  return shardsOf(options).flatMap(({ server, chunks }) => chunks.map(() => server));
}

function shardsOf({ layout, chunkLength, places }: SessionOptions): Shard[] {
  return planShards(planChunks(layout, chunkLength), places);
}
