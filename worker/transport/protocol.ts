// The versions of the two services that a program speaks, and what two programs of different versions make of each other. Fields that
// a version adds are passed over by the one before: a new version is needed where the two would misunderstand each other.
import { RuntimeError } from '../protocol/errors.ts';
import type { ProtocolRange } from './messages.ts';

/**
 * Its own and the one before: pods that are replaced after an upgrade meet those from before it.
 * 1: those who answer do not say what they speak. 2: they do.
 */
export const PROTOCOL: ProtocolRange = { oldest: 1, newest: 2 };

/** Said of whoever says nothing. */
const SILENT = 1;

/** The newest version that both speak. @throws RuntimeError PROTOCOL_VERSION that names both. */
export function commonVersion(
  caller: string,
  theirs: ProtocolRange | null | undefined,
  ours: ProtocolRange = PROTOCOL,
): number {
  const newest = Math.min(theirs?.newest ?? 0, ours.newest);
  if (theirs && newest >= Math.max(theirs.oldest, ours.oldest)) return newest;
  throw differs(
    `${caller} speaks ${theirs ? versions(theirs) : 'no version'} of the protocol, whom it calls speaks ${versions(ours)}`,
  );
}

/** What whoever was called has chosen. @throws RuntimeError PROTOCOL_VERSION that names both. */
export function chosenVersion(peer: string, chosen: number, ours: ProtocolRange = PROTOCOL): number {
  const version = chosen || SILENT;
  if (version >= ours.oldest && version <= ours.newest) return version;
  throw differs(
    `${peer} answers in version ${version} of the protocol, this process speaks ${versions(ours)}`,
  );
}

function differs(how: string): RuntimeError {
  return new RuntimeError(
    'PROTOCOL_VERSION',
    `${how}: the processes of a job need the same version of Lepton, or neighbouring ones`,
  );
}

function versions({ oldest, newest }: ProtocolRange): string {
  return oldest === newest ? `version ${oldest}` : `versions ${oldest} to ${newest}`;
}
