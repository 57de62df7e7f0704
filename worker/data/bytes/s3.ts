// Bytes in S3-compatible object stores, by the AWS client: ranged reads, pages of names, bounded retries. No formats.
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { DataError } from '../errors.ts';
import { type ByteSource, type Location, requireRange } from './byte-source.ts';

const CONNECT_MS = 10_000;
/** Longest silence within one request. */
const SILENCE_MS = 30_000;
/** Tries of each request; the client waits longer after each. A body that breaks off is asked for as often. */
const ATTEMPTS = 4;

/** A bucket, and below which key a location lies. */
interface Place {
  readonly client: S3Client;
  readonly bucket: string;
  readonly uri: string;
}

/**
 * `s3://bucket/key`, where the key names an object or, as a prefix, a folder. Credentials and region are found as the AWS
 * client finds them; the region is us-east-1 where none is set. With an `endpoint` buckets are addressed by path.
 * @throws DataError BAD_SOURCE, MISSING_FILE, S3_STATUS
 */
export async function s3Location(uri: string, endpoint?: string): Promise<Location> {
  const parsed = /^s3:\/\/(?<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(?<key>.*))?$/.exec(uri)?.groups;
  if (!parsed?.['bucket']) throw new DataError('BAD_SOURCE', `${uri}: expected s3://bucket/key`);
  const client = new S3Client({
    region: process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'] ?? 'us-east-1',
    maxAttempts: ATTEMPTS,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: SILENCE_MS, socketTimeout: SILENCE_MS },
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
  });
  const place = { client, bucket: parsed['bucket'], uri };
  const key = parsed['key'] ?? '';
  if (key !== '' && !key.endsWith('/') && (await sizeOf(place, key)) !== undefined) {
    const slash = key.lastIndexOf('/');
    return located(place, key.slice(0, slash + 1), key.slice(slash + 1));
  }
  return located(place, key === '' || key.endsWith('/') ? key : `${key}/`);
}

function located(place: Place, folder: string, file?: string): Location {
  const path = (name: string): string => `s3://${place.bucket}/${folder}${name}`;
  return {
    uri: place.uri,
    ...(file === undefined ? {} : { file }),
    path,
    has: async (name) => (await sizeOf(place, folder + name)) !== undefined,
    list: () => listFolder(place, folder),
    async open(name) {
      const size = await sizeOf(place, folder + name);
      if (size === undefined)
        throw new DataError('MISSING_FILE', `${path(name)}: expected an object, got none`);
      return objectSource(place, folder + name, path(name), size);
    },
  };
}

/** Undefined where there is no such object. */
async function sizeOf({ client, bucket, uri }: Place, key: string): Promise<number | undefined> {
  try {
    const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    return ContentLength ?? 0;
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined;
    throw s3Error(uri, error);
  }
}

async function listFolder({ client, bucket, uri }: Place, folder: string): Promise<string[]> {
  const names: string[] = [];
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: folder,
      ...(token === undefined ? {} : { ContinuationToken: token }),
    });
    const page = await client.send(command).catch((error: unknown) => {
      throw s3Error(uri, error);
    });
    for (const { Key } of page.Contents ?? [])
      if (Key !== undefined && !Key.endsWith('/')) names.push(Key.slice(folder.length));
    const next = page.IsTruncated ? page.NextContinuationToken : undefined;
    if (next !== undefined && next === token)
      throw new DataError('S3_STATUS', `${uri}: expected the next page of names, got the same one again`);
    token = next;
  } while (token !== undefined);
  return names.sort();
}

function objectSource(place: Place, key: string, name: string, size: number): ByteSource {
  return {
    name,
    size,
    async read(position, into) {
      requireRange(this, position, into.length);
      if (into.length === 0) return;
      for (let attempt = 1; ; attempt++) {
        try {
          return await readRange(place, key, position, into);
        } catch (error) {
          // The client repeats requests, but not a body that breaks off.
          if (attempt === ATTEMPTS || error instanceof S3ServiceException) throw s3Error(name, error);
        }
      }
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function readRange(
  { client, bucket }: Place,
  key: string,
  position: number,
  into: Uint8Array,
): Promise<void> {
  const last = position + into.length - 1;
  const { Body } = await client.send(
    new GetObjectCommand({ Bucket: bucket, Key: key, Range: `bytes=${position}-${last}` }),
    { abortSignal: AbortSignal.timeout(10 * SILENCE_MS) },
  );
  const bytes = await Body!.transformToByteArray();
  if (bytes.length !== into.length) throw new Error(`expected ${into.length} bytes, got ${bytes.length}`);
  into.set(bytes);
}

function s3Error(where: string, error: unknown): DataError {
  const { name, message } = error as Error;
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  const got = status === undefined ? `${name}: ${message}` : `status ${status} (${name}: ${message})`;
  return new DataError('S3_STATUS', `${where}: expected an answer of the object store, got ${got}`, {
    cause: error,
  });
}
