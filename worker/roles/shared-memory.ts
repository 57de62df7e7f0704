// Segments as the messages of the exchange name them. Where there is no shared memory, or not enough, there is just none.
import type { Engine, Segment } from '../../native/engine.ts';
import type { SharedMemory } from '../transport/messages.ts';

export function segmentOf(engine: Engine, length: number): Segment | undefined {
  if (engine.hostIdentity === '') return undefined;
  try {
    return engine.createSegment(length);
  } catch {
    return undefined;
  }
}

export function sharedAs(engine: Engine, segment: Segment | undefined): SharedMemory | undefined {
  return segment && { host: engine.hostIdentity, length: segment.values.length, ...segment.address };
}

/** Undefined where it cannot be seen from here: another host or container, other rights, or another length. */
export function openShared(engine: Engine, shared: SharedMemory, length: number): Segment | undefined {
  const { host, process, descriptor, key } = shared;
  if (host === '' || host !== engine.hostIdentity || shared.length !== length) return undefined;
  try {
    return engine.openSegment({ process, descriptor, key }, length);
  } catch {
    return undefined;
  }
}
