// Bytes on this machine's disk: positioned reads, folders, nameless temporary files. No formats.
import { close, type Dirent, fstat, open, read, unlink, write } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { DataError } from '../errors.ts';
import type { ByteSource, Location } from './byte-source.ts';
import { requireRange } from './byte-source.ts';

// The callback forms: their promise twins cost twice as much for each of the many small reads of shuffled samples.
const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const unlinkFile = promisify(unlink);

/** @throws DataError MISSING_FILE | UNREADABLE_FILE */
export async function openFileSource(path: string): Promise<ByteSource> {
  try {
    const descriptor = await openFile(path, 'r');
    const { size } = await statFile(descriptor);
    return fileSource(path, descriptor, size);
  } catch (error) {
    throw fileError(path, error);
  }
}

function fileSource(name: string, descriptor: number, size: number): ByteSource {
  let open = true;
  return {
    name,
    size,
    read(position, into) {
      requireRange(this, position, into.length);
      return readAt(descriptor, name, position, into);
    },
    async [Symbol.asyncDispose]() {
      if (!open) return;
      open = false;
      await closeFile(descriptor);
    },
  };
}

function readAt(descriptor: number, name: string, position: number, into: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (done: number): void => {
      if (done === into.length) {
        resolve();
        return;
      }
      read(descriptor, into, done, into.length - done, position + done, (error, count) => {
        if (error) reject(fileError(name, error));
        else if (count === 0) reject(shrunk(name, position + done));
        else next(done + count);
      });
    };
    next(0);
  });
}

function shrunk(name: string, position: number): DataError {
  return new DataError(
    'TRUNCATED_FILE',
    `${name}: expected more bytes at byte ${position}, got the end of the file (it shrank while it was read)`,
  );
}

/** A file without a name on disk, so that nothing is left behind even when the process is killed. */
export interface TemporaryFile extends AsyncDisposable {
  readonly descriptor: number;
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** What has been written so far, as a source that owns the file from now on. */
  source(name: string, size: number): ByteSource;
}

let temporaryFiles = 0;

/** @throws DataError UNREADABLE_FILE where the temporary folder cannot be written. */
export async function createTemporaryFile(): Promise<TemporaryFile> {
  const path = join(tmpdir(), `lepton-${process.pid}-${temporaryFiles++}.tmp`);
  try {
    const descriptor = await openFile(path, 'wx+', 0o600);
    await unlinkFile(path);
    return temporaryFile(path, descriptor);
  } catch (error) {
    throw new DataError(
      'UNREADABLE_FILE',
      `${path}: expected a writable temporary folder (TMPDIR), got ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function temporaryFile(path: string, descriptor: number): TemporaryFile {
  return {
    descriptor,
    write: (position, bytes) => writeAt(descriptor, path, position, bytes),
    source: (name, size) => fileSource(name, descriptor, size),
    [Symbol.asyncDispose]: () => closeFile(descriptor),
  };
}

function writeAt(descriptor: number, path: string, position: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (done: number): void => {
      if (done === bytes.length) {
        resolve();
        return;
      }
      write(descriptor, bytes, done, bytes.length - done, position + done, (error, count) => {
        if (error) return reject(fileError(path, error));
        next(done + count);
      });
    };
    next(0);
  });
}

/** @throws DataError MISSING_FILE | UNREADABLE_FILE */
export async function fileLocation(path: string): Promise<Location> {
  const found = await stat(path).catch((error) => {
    throw fileError(path, error);
  });
  const folder = found.isDirectory() ? path : dirname(path);
  return {
    uri: path,
    ...(found.isDirectory() ? {} : { file: basename(path) }),
    path: (name) => join(folder, name),
    has: (name) => isFile(join(folder, name)),
    list: () => listFolder(folder),
    open: (name) => openFileSource(join(folder, name)),
  };
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function listFolder(folder: string): Promise<string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    throw fileError(folder, error);
  }
  const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
  return files
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

function fileError(path: string, error: unknown): DataError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new DataError('MISSING_FILE', `${path}: expected a file or folder, got nothing there`, {
      cause: error,
    });
  }
  return new DataError('UNREADABLE_FILE', `${path}: expected readable bytes, got ${message}`, {
    cause: error,
  });
}
