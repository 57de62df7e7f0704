// How the parameter arena is cut into chunks and the chunks into shards. Offsets only, no numbers of the model.
import { type ServerPlaces, serverCount } from '../../crds/server-places.ts';

/** Norms are summed in blocks of this many elements, so a chunk boundary never cuts one: bits do not depend on chunk size. */
export const NORM_BLOCK = 4096;
/** 1 MiB of float32: the fastest message size measured for gRPC streams. */
export const CHUNK_LENGTH = 262_144;

/** Elements of a page of memory (4 KiB). A shard begins at the border of one, so that it can be mapped where it belongs. */
export const PAGE_LENGTH = 1024;

/** A range [from, to) of the arena that travels as one message. A chunk is either trainable or state, never both. */
export interface Chunk {
  readonly index: number;
  readonly from: number;
  readonly to: number;
  readonly state: boolean;
}

/** The contiguous range of the arena that one parameter server owns; empty when there are more servers than chunks. */
export interface Shard {
  readonly server: number;
  readonly from: number;
  readonly to: number;
  readonly chunks: readonly Chunk[];
}

export interface ArenaSize {
  readonly trainableLength: number;
  readonly length: number;
}

/** `chunkLength` is in elements and a multiple of NORM_BLOCK. */
export function planChunks(arena: ArenaSize, chunkLength: number = CHUNK_LENGTH): Chunk[] {
  if (!Number.isInteger(chunkLength) || chunkLength <= 0 || chunkLength % NORM_BLOCK !== 0)
    throw new RangeError(`chunk length: expected a positive multiple of ${NORM_BLOCK}, got ${chunkLength}`);
  const chunks: Chunk[] = [];
  const cut = (from: number, to: number, state: boolean): void => {
    for (let at = from; at < to; at += chunkLength)
      chunks.push({ index: chunks.length, from: at, to: Math.min(at + chunkLength, to), state });
  };
  cut(0, arena.trainableLength, false);
  cut(arena.trainableLength, arena.length, true);
  return chunks;
}

/**
 * How the bytes divide among servers. With k dedicated ones and n workers that host one each, an exchange over equal network interfaces takes
 * the least time when all of these carry the same: a dedicated server then has 2(n-1) / (n² + kn - 2k) of the bytes, a hosted one
 * (n-k) / (n² + kn - 2k) (Jiang et al., BytePS, OSDI 2020, §4.1). From k = n on none is left for hosted ones.
 */
export function proportionsOf(places: ServerPlaces): number[] {
  const { dedicated: k, hosted: n } = places;
  const [dedicated, hosted] = k < n ? [2 * (n - 1), n - k] : [1, 0];
  return Array.from({ length: serverCount(places) }, (_, server) => (server < k ? dedicated : hosted));
}

/** Contiguous shards in arena order, by `proportionsOf` to within a chunk. */
export function planShards(chunks: readonly Chunk[], places: ServerPlaces): Shard[] {
  const proportions = proportionsOf(places);
  const whole = proportions.reduce((sum, proportion) => sum + proportion, 0);
  const total = chunks.at(-1)?.to ?? 0;
  const shards: Shard[] = [];
  let next = 0;
  let upTo = 0;
  for (const [server, proportion] of proportions.entries()) {
    const first = next;
    upTo += proportion;
    const end = (total * upTo) / whole;
    // A chunk belongs to the shard in which its middle lies.
    while (next < chunks.length && (chunks[next]!.from + chunks[next]!.to) / 2 <= end) next++;
    // The state's first chunk alone may begin inside a page.
    while (next > first && next < chunks.length && chunks[next]!.from % PAGE_LENGTH !== 0) next++;
    const own = chunks.slice(first, next);
    const from = own[0]?.from ?? shards.at(-1)?.to ?? 0;
    shards.push({ server, from, to: own.at(-1)?.to ?? from, chunks: own });
  }
  return shards;
}

/** Elements from one version of a shard to the next where both lie in one piece of memory, each from the border of a page. */
export function strideOf({ from, to }: Shard): number {
  return Math.ceil((to - from) / PAGE_LENGTH) * PAGE_LENGTH;
}
