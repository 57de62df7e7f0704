// The line to a coordinator that is late, half there, somebody else, or speaks something else: no report comes of it, nothing is
// thrown, the tries stay few, and it is heard as soon as it is itself again. Real TLS and gRPC on the loopback interface.
import assert from 'node:assert/strict';
import { createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { generationFrom, makeCertificates } from '../../../operator/leptonjob/certificates.ts';
import { type CoordinatorLink, openLink } from '../../../operator/leptonjob/coordinator-link.ts';
import type { LeptonJobObject, Report } from '../../../operator/leptonjob/job.ts';
import type { Pod } from '../../../operator/leptonjob/pod-view.ts';
import { Runs } from '../../../operator/leptonjob/runs.ts';
import { Certificates } from '../../../worker/transport/certificates.ts';
import { listen } from '../../../worker/transport/listener.ts';
import type { Outbox } from '../../../worker/transport/streams.ts';

const UID = '0000-job';
const DAY_MS = 86_400_000;
const RUNNING = { phase: 'Running', step: 7, steps: 10 };
/** The first tries are half a second apart, then twice as long each; a connection that is lost at once is made twice for a try. */
const WATCHED_MS = 2500;
const FEW = 8;
/** One that had spoken is asked again every half second. */
const FEW_SPOKEN = 9;
/** After this long the next try of a line that met nobody is not due for `SOON_MS`, however the tries are spread. */
const LATE_MS = 4300;
const SOON_MS = 1500;

type Files = Readonly<Record<string, string>>;
let own: Files;
let others: Files;
let expired: Files;
before(async () => {
  const nowMs = Date.now();
  own = await makeCertificates(UID, nowMs);
  others = await makeCertificates('0000-other', nowMs);
  expired = await makeCertificates(UID, nowMs - 400 * DAY_MS);
});

/** Whoever answers where the coordinator should. */
interface Impostor {
  readonly port: number;
  readonly tries: () => number;
  readonly stop: () => Promise<void>;
}

function identity(files: Files) {
  const file = (name: string): Buffer => Buffer.from(files[name]!);
  return { authority: file('ca.crt'), certificate: file('server.crt'), key: file('server.key') };
}

/** As the real one listens. */
async function coordinator(files: Files, watch: (out: Outbox<unknown>) => void, port = 0): Promise<Impostor> {
  let tries = 0;
  const listener = await listen({
    address: `127.0.0.1:${port}`,
    security: {
      kind: 'mutualTls',
      jobUid: UID,
      certificates: new Certificates({ read: () => [identity(files)] }),
    },
    chunkBytes: 2 ** 20,
    peers: 4,
    exchange: {} as never,
    coordination: {
      watch: (out: Outbox<unknown>) => {
        tries++;
        watch(out);
      },
      stop: () => {},
      resize: () => {},
    } as never,
  });
  return { port: listener.port, tries: () => tries, stop: () => listener.close() };
}

/** Counts the connections of a server below gRPC. */
async function counted(server: TcpServer): Promise<Impostor> {
  let tries = 0;
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    tries++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const stop = () =>
    new Promise<void>((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    });
  return { port, tries: () => tries, stop };
}

/** gRPC with the right certificate and messages that are none. */
async function gibberish(bytes: Buffer): Promise<Impostor> {
  let tries = 0;
  const server = new Server();
  const raw = (value: Buffer): Buffer => value;
  const Watch = {
    path: '/lepton.coordination.v1.Coordination/Watch',
    requestStream: false,
    responseStream: true,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  };
  server.addService({ Watch } as never, {
    Watch: (call: { write(message: Buffer): void }) => {
      tries++;
      call.write(bytes);
    },
  });
  const { authority, key, certificate } = identity(own);
  const pair = { private_key: key, cert_chain: certificate };
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(authority, [pair], true), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { port, tries: () => tries, stop: async () => server.forceShutdown() };
}

async function unserved(): Promise<Impostor> {
  const { authority: ca, key, certificate: cert } = identity(own);
  return await counted(createTlsServer({ ca, key, cert, ALPNProtocols: ['http/1.1'] }));
}

/** Nobody listens on a port that was somebody's a moment ago. */
async function nobody(): Promise<Impostor> {
  const { port, stop } = await counted(createTcpServer());
  await stop();
  return { port, tries: () => 0, stop: async () => {} };
}

const IMPOSTORS: readonly (readonly [name: string, start: () => Promise<Impostor>, most?: number])[] = [
  ['takes the connection and says nothing', () => counted(createTcpServer(() => {}))],
  ['takes the call and says nothing', () => coordinator(own, () => {})],
  [
    'says nothing that TLS could be',
    () => counted(createTcpServer((socket) => socket.write('SSH-2.0-x\r\n'))),
  ],
  ['hangs up at once', () => counted(createTcpServer((socket) => socket.destroy()))],
  ['speaks another protocol over TLS', unserved],
  ['sends messages that are none', () => gibberish(Buffer.from('ff'.repeat(64), 'hex'))],
  ['sends a message that is too long', () => gibberish(Buffer.alloc(5 * 2 ** 20))],
  ['ends the call at once', () => coordinator(own, (out) => out.end())],
  ['has the certificate of another job', () => coordinator(others, (out) => out.write(RUNNING))],
  ['has a certificate that has expired', () => coordinator(expired, (out) => out.write(RUNNING))],
  ['is not there', nobody],
];

/** What the operator holds of a job whose coordinator listens there. */
function runsAt(port: number): Runs & Disposable {
  const runs = new Runs({
    api: {} as never,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    addressOf: () => `127.0.0.1:${port}`,
    onReport: () => {},
    patienceMs: () => 60_000,
    onSilent: () => {},
  });
  return Object.assign(runs, { [Symbol.dispose]: () => runs.close() });
}

/** Stopped once, whatever comes of the test. */
function stopping({ stop }: Impostor): AsyncDisposable {
  let stopped: Promise<void> | undefined;
  return { [Symbol.asyncDispose]: () => (stopped ??= stop()) };
}

/** A link, and what came of it. */
function open(address: string, files: Files = own): CoordinatorLink & { heard: Report[] } & Disposable {
  const heard: Report[] = [];
  const link = openLink({
    address,
    jobUid: UID,
    identity: () => generationFrom(files),
    nowMs: Date.now,
    onReport: (report) => heard.push(report),
    firstWordMs: 300,
  });
  return Object.assign(link, { heard, [Symbol.dispose]: () => link.close() });
}

async function hears(link: { heard: Report[] }, timeoutMs = 60_000): Promise<Report> {
  const endMs = performance.now() + timeoutMs;
  while (link.heard.length === 0) {
    assert.ok(performance.now() < endMs, `nothing was heard in ${timeoutMs} ms`);
    await pause(50);
  }
  return link.heard.at(-1)!;
}

describe('whoever answers', { concurrency: true, timeout: 120_000 }, () => {
  for (const [name, start] of IMPOSTORS)
    test(`${name}: no report, few tries, and heard when it is itself again`, async () => {
      const impostor = await start();
      await using away = stopping(impostor);
      using link = open(`127.0.0.1:${impostor.port}`);
      await pause(WATCHED_MS);
      assert.deepEqual(link.heard, []);
      assert.ok(impostor.tries() <= FEW, `${impostor.tries()} tries in ${WATCHED_MS} ms`);
      await away[Symbol.asyncDispose]();
      await using _ = stopping(await coordinator(own, (out) => out.write(RUNNING), impostor.port));
      assert.equal((await hears(link)).step, RUNNING.step);
      await link.stop();
    });

  test('says a word and ends the call, again and again: heard each time, not asked in a hurry', async () => {
    const half = await coordinator(own, (out) => {
      out.write(RUNNING);
      out.end();
    });
    await using _ = stopping(half);
    using link = open(`127.0.0.1:${half.port}`);
    await hears(link);
    await pause(WATCHED_MS);
    assert.ok(half.tries() >= 2 && half.tries() <= FEW_SPOKEN, `${half.tries()} tries`);
  });

  test('comes late: heard as soon as its pod is Ready, though nobody had been there for long', async () => {
    const { port } = await nobody();
    using runs = runsAt(port);
    const job = { metadata: { name: 'job', uid: UID } } as LeptonJobObject;
    const pod = (ready: boolean): Pod => ({
      metadata: { name: 'job-server-0', uid: 'pod', resourceVersion: '1' },
      status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
    });
    const run = runs.of(job);
    run.generations.push(generationFrom(own));
    runs.connect(job, pod(false));
    await pause(LATE_MS);
    await using _ = stopping(await coordinator(own, (out) => out.write(RUNNING), port));
    runs.connect(job, pod(true));
    await pause(SOON_MS);
    assert.equal(run.report?.step, RUNNING.step);
  });

  for (const [name, address, files] of [
    ['a name that nobody knows', 'nobody.invalid:1', () => own],
    ['an address that is none', '///:::', () => own],
    [
      'a secret that holds no certificates',
      '127.0.0.1:1',
      () => ({ 'operator.crt': 'x', 'operator.key': 'y' }),
    ],
    ['an empty secret', '127.0.0.1:1', () => ({})],
  ] as const)
    test(`${name}: nothing is thrown, what is asked of it fails in time`, async () => {
      using link = open(address, files());
      await assert.rejects(link.stop());
      await assert.rejects(link.resize(2, false));
      link.renew();
      await pause(700); // the next try
      assert.deepEqual(link.heard, []);
    });
});
