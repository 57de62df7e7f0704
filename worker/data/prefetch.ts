// Reads batches ahead of the engine, a bounded number of them. Order is kept; nothing is read after the consumer stops.
import type { Batch, Dataset } from './dataset.ts';
import { DataError } from './errors.ts';

export interface BatchRequest {
  readonly indices: Uint32Array;
  readonly epoch: number;
}

/** A batch that takes longer than this is a dead disk or network, not a slow one. */
const STALL_MS = 300_000;

/**
 * The batches of `requests`, at most `depth` of them read before they are asked for. A batch is the consumer's until the next is
 * asked for: its arrays are then filled again.
 * @throws DataError as the dataset's; STALLED where a batch takes longer than five minutes.
 */
export async function* prefetch(
  dataset: Dataset,
  requests: Iterable<BatchRequest>,
  depth: number,
): AsyncGenerator<Batch, void, undefined> {
  const source = requests[Symbol.iterator]();
  const ahead: Promise<Batch>[] = [];
  const readNext = (reuse?: Batch): void => {
    const next = source.next();
    if (next.done) return;
    const batch = dataset.read(next.value.indices, next.value.epoch, reuse);
    batch.catch(() => {}); // reported where the batch is awaited; a stopped consumer never does
    ahead.push(batch);
  };
  try {
    for (let i = 0; i < depth; i++) readNext();
    let taken: Batch | undefined;
    for (let batch = ahead.shift(); batch; batch = ahead.shift()) {
      readNext(taken);
      taken = await withDeadline(batch);
      yield taken;
    }
  } finally {
    source.return?.();
    await Promise.allSettled(ahead);
  }
}

/** @throws DataError STALLED */
export async function withDeadline(batch: Promise<Batch>): Promise<Batch> {
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new DataError('STALLED', `data: expected a batch within ${STALL_MS / 1000} s, got none`)),
      STALL_MS,
    );
  });
  try {
    return await Promise.race([batch, stalled]);
  } finally {
    clearTimeout(timer);
  }
}
