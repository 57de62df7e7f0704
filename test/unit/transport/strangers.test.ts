// Who may call what of a job on a cluster: strangers of every kind on its port, and its own roles beyond their part.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ChannelCredentials,
  type Client,
  credentials,
  type ServiceClientConstructor,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { makeCertificates } from '../../../operator/leptonjob/certificates.ts';
import { Certificates } from '../../../worker/transport/certificates.ts';
import { type Listener, listen } from '../../../worker/transport/listener.ts';
import { PROTOCOL } from '../../../worker/transport/protocol.ts';
import { services } from '../../../worker/transport/services.ts';

type Files = Readonly<Record<string, string>>;
type Role = 'worker' | 'server' | 'operator';

const DAY_MS = 86_400_000;
const OURS = '11111111-0000-4000-8000-000000000001';
const THEIRS = '22222222-0000-4000-8000-000000000002';

/** Every method of both services: how it is called, and which roles may. */
const METHODS = {
  join: ['Join', ['worker']],
  heartbeat: ['Heartbeat', ['worker']],
  reportEvaluation: ['ReportEvaluation', ['worker']],
  enlist: ['Enlist', ['server']],
  reportShard: ['ReportShard', ['server']],
  watch: ['Watch', ['operator']],
  stop: ['Stop', ['operator']],
  attend: ['Attend', ['worker']],
  push: ['Push', ['worker']],
  pull: ['Pull', ['worker']],
} as const satisfies Record<string, readonly [string, readonly Role[]]>;
type Method = keyof typeof METHODS;

let files: Files;
let theirs: Files;
let forged: Files;
let expired: Files;
let listener: Listener;
const reached: string[] = [];

before(async () => {
  const nowMs = Date.now();
  files = await makeCertificates(OURS, nowMs);
  theirs = await makeCertificates(THEIRS, nowMs);
  forged = await makeCertificates(OURS, nowMs); // the right names from an authority of one's own
  expired = await makeCertificates(OURS, nowMs - 400 * DAY_MS);
  const handle = (name: Method) => (_: unknown, out?: { end(): void }) => {
    reached.push(name);
    out?.end();
    return {};
  };
  const names = Object.keys(METHODS) as Method[];
  const handlers = Object.fromEntries(names.map((name) => [name, handle(name)]));
  listener = await listen({
    address: '127.0.0.1:0',
    security: {
      kind: 'mutualTls',
      jobUid: OURS,
      certificates: new Certificates({
        read: () => [
          {
            // The authority of what has expired is believed: nothing but the date is against it.
            authority: Buffer.from(`${files['ca.crt']}\n${expired['ca.crt']}`),
            certificate: Buffer.from(files['server.crt']!),
            key: Buffer.from(files['server.key']!),
          },
        ],
      }),
    },
    chunkBytes: 2 ** 16,
    peers: 8,
    exchange: handlers as never,
    coordination: {
      ...handlers,
      watch: (out: { end(): void }) => handle('watch')(undefined, out),
    } as never,
  });
});
after(() => listener?.close());

const pem = (from: Files, name: string): Buffer => Buffer.from(from[name]!);
/** Trusts our server; shows this pair. */
const showing = (pair: Files, role: Role): ChannelCredentials =>
  credentials.createSsl(pem(files, 'ca.crt'), pem(pair, `${role}.key`), pem(pair, `${role}.crt`));

/** The status of one call. */
async function call(method: Method, as: ChannelCredentials): Promise<number> {
  const { exchange, coordination } = services() as unknown as Record<string, ServiceClientConstructor>;
  const Made = method === 'attend' || method === 'push' || method === 'pull' ? exchange! : coordination!;
  const client = new Made(`127.0.0.1:${listener.port}`, as, {
    'grpc.ssl_target_name_override': `server.${OURS}`,
    'grpc.default_authority': 'test',
  }) as Client &
    Record<string, (...args: unknown[]) => NodeJS.EventEmitter & { write?: unknown; end?(): void }>;
  const request = { protocol: PROTOCOL };
  const options = { deadline: Date.now() + 5000 };
  try {
    return await new Promise<number>((resolve) => {
      const answered = (error: ServiceError | null): void => resolve(error?.code ?? status.OK);
      const name = METHODS[method][0];
      if (method === 'push') {
        client[name]!(options, answered).end?.();
        return;
      }
      if (method !== 'watch' && method !== 'enlist' && method !== 'pull') {
        client[name]!(request, options, answered);
        return;
      }
      const stream = client[name]!(request, options);
      stream.on('data', () => {});
      stream.on('error', answered);
      stream.on('end', () => resolve(status.OK));
    });
  } finally {
    client.close();
  }
}

const STRANGERS: readonly [name: string, as: () => ChannelCredentials][] = [
  ['plain text', () => credentials.createInsecure()],
  ['no certificate', () => credentials.createSsl(pem(files, 'ca.crt'))],
  ['a worker of another job', () => showing(theirs, 'worker')],
  ['a server of another job', () => showing(theirs, 'server')],
  ['the operator’s certificate for another job', () => showing(theirs, 'operator')],
  ['the right name from an authority of its own', () => showing(forged, 'worker')],
  ['a worker of this job whose certificate has expired', () => showing(expired, 'worker')],
];

for (const [name, as] of STRANGERS)
  test(`${name}: no method is reached`, { timeout: 60_000 }, async () => {
    reached.length = 0;
    for (const method of Object.keys(METHODS) as Method[]) {
      const code = await call(method, as());
      assert.ok(code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED, `${method}: ${code}`);
    }
    assert.deepEqual(reached, []);
  });

for (const role of ['worker', 'server', 'operator'] as const)
  test(`${role}: reaches what is its part and nothing else`, { timeout: 60_000 }, async () => {
    for (const method of Object.keys(METHODS) as Method[]) {
      reached.length = 0;
      const code = await call(method, showing(files, role));
      const may = (METHODS[method][1] as readonly Role[]).includes(role);
      assert.deepEqual(reached, may ? [method] : [], `${method} as ${role}: status ${code}`);
      if (!may) assert.equal(code, status.PERMISSION_DENIED, method);
    }
  });

test('a server that is not of the job is not believed', { timeout: 20_000 }, async () => {
  // The client of another job, however it got here, does not talk to our server.
  const as = credentials.createSsl(
    pem(theirs, 'ca.crt'),
    pem(theirs, 'worker.key'),
    pem(theirs, 'worker.crt'),
  );
  reached.length = 0;
  assert.equal(await call('join', as), status.UNAVAILABLE);
  assert.deepEqual(reached, []);
});
