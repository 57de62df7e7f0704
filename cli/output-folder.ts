// Where a run puts its results: chosen, checked and made before anything starts. Writes no result itself.
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reasonOf } from '../worker/formats/atomic-file.ts';
import { makeFolder } from '../worker/formats/make-folder.ts';
import { CommandError } from './errors.ts';

export interface FolderRequest {
  readonly name: string;
  /** --output, else spec.output.uri; default: a new folder below runs/<name>. */
  readonly output?: string;
  readonly resume: boolean;
  readonly now: Date;
}

export interface OutputFolder {
  readonly directory: string;
  /** False where the folder was there before. */
  readonly isNew: boolean;
}

/**
 * @throws CommandError OUTPUT_NOT_EMPTY | OUTPUT_UNWRITABLE | NOTHING_TO_RESUME
 */
export async function prepareFolder(request: FolderRequest): Promise<OutputFolder> {
  const directory = await chooseFolder(request);
  const before = await entriesOf(directory);
  if (before && before.length > 0 && !request.resume) {
    const what = `${directory}: expected an empty or new folder for the results, got one with ${before.length} entries`;
    throw new CommandError('OUTPUT_NOT_EMPTY', `${what}; --resume goes on with what is there`);
  }
  await makeWritable(directory);
  return { directory, isNew: before === undefined };
}

async function chooseFolder({ name, output, resume, now }: FolderRequest): Promise<string> {
  if (output !== undefined) return resolve(output.startsWith('file://') ? fileURLToPath(output) : output);
  const parent = resolve('runs', name);
  const earlier = (await entriesOf(parent))?.sort() ?? [];
  const newest = earlier.at(-1);
  if (resume) {
    if (newest !== undefined) return join(parent, newest);
    throw new CommandError('NOTHING_TO_RESUME', `${parent}: expected an earlier run to resume, got none`);
  }
  const time = now.toISOString().slice(0, 19).replaceAll(':', '-');
  for (let number = 1; ; number++) {
    const folder = number === 1 ? time : `${time}.${number}`;
    if (!earlier.includes(folder)) return join(parent, folder);
  }
}

async function entriesOf(folder: string): Promise<string[] | undefined> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unwritable(folder, error);
  }
}

/** Proves it by a file: permissions alone say nothing about full disks and read-only mounts. */
async function makeWritable(folder: string): Promise<void> {
  const probe = join(folder, `.lepton-${process.pid}`);
  try {
    await makeFolder(folder);
    await writeFile(probe, 'x');
    await rm(probe);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

function unwritable(folder: string, error: unknown): CommandError {
  const what = `${folder}: expected a folder that results can be written to, got: ${reasonOf(error)}`;
  return new CommandError('OUTPUT_UNWRITABLE', what, { cause: error });
}
