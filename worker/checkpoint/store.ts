// Where checkpoints lie: named files in folders, each written whole or not at all. No meaning of their content.
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeAtomically } from '../formats/atomic-file.ts';
import { RuntimeError } from '../protocol/errors.ts';

export interface CheckpointStore {
  /** After it resolves the file is durable under its name; on failure nothing is there under that name. Throws CHECKPOINT_WRITE_FAILED. */
  write(path: string, parts: readonly Uint8Array[]): Promise<void>;
  /** Undefined when there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>;
  folders(): Promise<string[]>;
  removeFile(path: string): Promise<void>;
  removeFolder(folder: string): Promise<void>;
}

/** A `file://` URI or a path. */
export function openStore(uri: string): CheckpointStore {
  if (uri.startsWith('file://')) return new FileStore(fileURLToPath(uri));
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(uri))
    throw new RuntimeError('BAD_ROLE_CONFIG', `checkpoint.uri: expected file://, got ${uri}`);
  return new FileStore(uri);
}

class FileStore implements CheckpointStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async write(path: string, parts: readonly Uint8Array[]): Promise<void> {
    try {
      await writeAtomically(join(this.#root, path), parts);
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new RuntimeError('CHECKPOINT_WRITE_FAILED', `checkpoint: ${message}`, { cause });
    }
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.#root, path));
    } catch {
      return undefined; // missing or unreadable: for a reader of checkpoints the same
    }
  }

  async folders(): Promise<string[]> {
    try {
      const entries = await readdir(this.#root, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    } catch {
      return [];
    }
  }

  async removeFile(path: string): Promise<void> {
    await rm(join(this.#root, path), { force: true });
  }

  async removeFolder(folder: string): Promise<void> {
    await rm(join(this.#root, folder), { recursive: true, force: true });
  }
}
