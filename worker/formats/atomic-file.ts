// Files that are there whole or not at all: written under a temporary name, fsynced, renamed, folder fsynced.
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FormatError } from './errors.ts';
import { makeFolder } from './make-folder.ts';

/**
 * Replaces `path` by the bytes of `parts`. A reader sees the old file or the new one, also after a crash.
 * @throws FormatError FILE_UNWRITABLE (folder missing or read-only, disk full); nothing is left behind.
 */
export async function writeAtomically(path: string, parts: readonly (Uint8Array | string)[]): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${process.pid}.tmp`);
  try {
    await makeFolder(folder);
    await writeSynced(temporary, parts);
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new FormatError('FILE_UNWRITABLE', `${path}: cannot be written: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

async function writeSynced(path: string, parts: readonly (Uint8Array | string)[]): Promise<void> {
  await using file = await open(path, 'w');
  for (const part of parts) await file.writeFile(part);
  await file.sync();
}

/** Makes renames of a folder's files durable. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/** The system's words for a failed file operation, in plain English where it is a common one. */
export function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  const known: Record<string, string> = {
    ENOSPC: 'no space left on the disk',
    EDQUOT: 'the disk quota is used up',
    EFBIG: 'the file would be larger than this process may write',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    EROFS: 'the file system is read-only',
    ENOENT: 'no such file or folder',
    EEXIST: 'a part of the path is not a folder', // mkdir of a folder where a file is
    ENOTDIR: 'a part of the path is not a folder',
    EISDIR: 'it is a folder',
  };
  if (code !== undefined && known[code] !== undefined) return `${known[code]} (${code})`;
  return error instanceof Error ? error.message : String(error);
}
