// Reads the file of a manifest and makes its relative paths absolute. Checks nothing that crds/ does not check.
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ManifestError } from '../crds/errors.ts';
import type { LeptonJob } from '../crds/leptonjob.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../crds/manifest.ts';
import type { Override } from '../crds/overrides.ts';
import { reasonOf } from '../worker/formats/atomic-file.ts';

/** Fields that hold a path or URI. */
const PATHS: readonly (readonly string[])[] = [
  ['spec', 'model', 'source', 'uri'],
  ['spec', 'model', 'program', 'module'],
  ['spec', 'data', 'train', 'uri'],
  ['spec', 'data', 'evaluate', 'uri'],
  ['spec', 'checkpoint', 'uri'],
  ['spec', 'output', 'uri'],
];

/**
 * The job of a manifest with overrides and defaults applied. Relative paths start at the manifest's folder; those of an
 * override start at the working directory.
 * @throws ManifestError
 */
export async function readManifest(file: string, overrides: readonly Override[] = []): Promise<LeptonJob> {
  const job = parseManifest(await readText(file), file, overrides);
  for (const path of PATHS) {
    const isOverridden = overrides.some((override) => override.path.every((key, i) => path[i] === key));
    makeAbsolute(job, path, isOverridden ? process.cwd() : dirname(resolve(file)));
  }
  return job;
}

async function readText(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    if (size > MAX_MANIFEST_BYTES)
      throw new Error(`expected at most ${MAX_MANIFEST_BYTES} bytes, got ${size}`);
    return await handle.readFile('utf8');
  } catch (error) {
    const message = `expected a LeptonJob manifest, but it cannot be read: ${reasonOf(error)}`;
    throw new ManifestError('MANIFEST_UNREADABLE', file, [{ path: '', message }], { cause: error });
  }
}

/** A path with its folder, or a URI as it is. */
export function absolute(uri: string, folder: string): string {
  return /^\w+:\/\//.test(uri) ? uri : resolve(folder, uri);
}

function makeAbsolute(job: LeptonJob, path: readonly string[], folder: string): void {
  let parent: Record<string, unknown> | undefined = job as unknown as Record<string, unknown>;
  for (const key of path.slice(0, -1)) parent = parent?.[key] as Record<string, unknown> | undefined;
  const last = path.at(-1) as string;
  const value = parent?.[last];
  if (parent && typeof value === 'string') parent[last] = absolute(value, folder);
}
