// From a URI to a place that bytes can be read from: paths, file:// and s3://. No formats.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataError } from '../errors.ts';
import type { ByteSource, Location } from './byte-source.ts';
import { fileLocation } from './file.ts';
import { plainBytes } from './unpack.ts';

/**
 * A path, `file:///path` or `s3://bucket/key`; relative paths start at the working directory.
 * @throws DataError MISSING_FILE | BAD_SOURCE | S3_STATUS
 */
export async function openLocation(uri: string, endpoint?: string): Promise<Location> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) return fileLocation(resolve(uri));
  if (scheme === 'file') return fileLocation(filePath(uri));
  if (scheme === 's3') {
    const { s3Location } = await import('./s3.ts'); // its client takes long to load
    return s3Location(uri, endpoint);
  }
  throw new DataError('BAD_SOURCE', `${uri}: expected a path, file:// or s3://, got ${scheme}://`);
}

function filePath(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (error) {
    const what = `${uri}: expected file:///absolute/path, got ${(error as Error).message}`;
    throw new DataError('BAD_SOURCE', what, { cause: error });
  }
}

/**
 * Opens the first of `names` that exists, plain or with `.gz`, unpacked.
 * @throws DataError MISSING_FILE naming every candidate.
 */
export async function openFirst(location: Location, names: readonly string[]): Promise<ByteSource> {
  const found = await findFirst(location, names);
  if (found !== undefined) return plainBytes(await location.open(found));
  const what = `${location.uri}: expected a file ${names.join(' or ')} (plain or .gz), got none of them`;
  throw new DataError('MISSING_FILE', what);
}

/** The first of `names` that the location holds, plain or with `.gz`. */
export async function findFirst(location: Location, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    if (await location.has(name)) return name;
    if (!name.endsWith('.gz') && (await location.has(`${name}.gz`))) return `${name}.gz`;
  }
  return undefined;
}
