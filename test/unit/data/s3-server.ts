// An object store that speaks S3 over HTTP, path-style: HEAD, ranged GET, ListObjectsV2 in pages, and faults on demand.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What happens to the next requests instead of an answer. */
export type Fault = 500 | 503 | 403 | 'cut';

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  /** `bucket/key` -> bytes. */
  readonly objects: Map<string, Uint8Array>;
  /** Taken one by one by GET requests. */
  readonly faults: Fault[];
  readonly requests: string[];
}

const PAGE = 3;

export async function startS3Server(): Promise<S3Server> {
  const objects = new Map<string, Uint8Array>();
  const faults: Fault[] = [];
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const signed = /^AWS4-HMAC-SHA256 /.test(request.headers.authorization ?? '');
    const fault = request.method === 'GET' ? faults.shift() : undefined;
    if (!signed) fail(response, 403, 'AccessDenied');
    else if (typeof fault === 'number') fail(response, fault, 'InternalError');
    else answer(request, response, objects, fault === 'cut');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    objects,
    faults,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  objects: Map<string, Uint8Array>,
  cut: boolean,
): ServerResponse {
  const { pathname, searchParams } = new URL(request.url!, 'http://store');
  const name = decodeURIComponent(pathname.slice(1)).replace(/\/$/, '');
  if (searchParams.has('list-type')) return list(response, objects, name, searchParams);
  const bytes = objects.get(name);
  if (!bytes) return fail(response, 404, 'NoSuchKey');
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  const [from, to] = range
    ? [Number(range[1]), Math.min(Number(range[2]) + 1, bytes.length)]
    : [0, bytes.length];
  if (from >= bytes.length && range) return fail(response, 416, 'InvalidRange');
  response.writeHead(range ? 206 : 200, {
    'content-length': to - from,
    ...(range ? { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` } : {}),
  });
  if (request.method === 'HEAD') return response.end();
  if (!cut) return response.end(bytes.subarray(from, to));
  response.write(bytes.subarray(from, from + (to - from) / 2), () => response.destroy());
  return response;
}

function list(
  response: ServerResponse,
  objects: Map<string, Uint8Array>,
  bucket: string,
  query: URLSearchParams,
): ServerResponse {
  const prefix = query.get('prefix') ?? '';
  const keys = [...objects.keys()]
    .filter((key) => key.startsWith(`${bucket}/${prefix}`))
    .map((key) => key.slice(bucket.length + 1))
    .sort();
  const from = Number(query.get('continuation-token') ?? 0);
  const page = keys.slice(from, from + PAGE);
  const more = from + PAGE < keys.length;
  const contents = page.map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`).join('');
  const next = more ? `<NextContinuationToken>${from + PAGE}</NextContinuationToken>` : '';
  response.setHeader('content-type', 'application/xml');
  return response.end(
    `<?xml version="1.0"?><ListBucketResult><Name>${bucket}</Name><IsTruncated>${more}</IsTruncated>${contents}${next}</ListBucketResult>`,
  );
}

function fail(response: ServerResponse, status: number, code: string): ServerResponse {
  response.writeHead(status, { 'content-type': 'application/xml' });
  return response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}
