// Certificates that change under a running job, as a kubelet changes them: streams live on, new connections use what is there, nobody
// is believed after his authority has gone, and half of a change is no change.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { makeCertificates } from '../../../operator/leptonjob/certificates.ts';
import { RuntimeError } from '../../../worker/protocol/errors.ts';
import { type CertificateNews, Certificates } from '../../../worker/transport/certificates.ts';
import { ExchangeClient } from '../../../worker/transport/clients.ts';
import { type Listener, listen } from '../../../worker/transport/listener.ts';

const TIMEOUT = { timeout: 60_000 };
const UID = '33333333-0000-4000-8000-000000000003';
const HOUR_MS = 3_600_000;
const LOOK_MS = 20;
const CHUNK_BYTES = 2 ** 16;

type Files = Readonly<Record<string, string>>;
let first: Files;
let second: Files;
before(async () => {
  first = await makeCertificates(UID, Date.now());
  second = await makeCertificates(UID, Date.now());
});

/** A mounted secret: everything changes at once, by one link. */
class Mount implements AsyncDisposable {
  readonly path: string;
  #version = 0;

  constructor(path: string) {
    this.path = path;
  }

  static async of(files: Files): Promise<Mount> {
    const mount = new Mount(await mkdtemp(join(tmpdir(), 'lepton-tls-')));
    await mount.change(files);
    for (const name of Object.keys(files)) await symlink(`..data/${name}`, join(mount.path, name));
    await symlink('..data/1', join(mount.path, '1'));
    return mount;
  }

  async change(files: Files): Promise<void> {
    const version = `..v${this.#version++}`;
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.path, version, name);
      await mkdir(join(path, '..'), { recursive: true });
      await writeFile(path, content);
    }
    await symlink(version, join(this.path, '..new'));
    await rename(join(this.path, '..new'), join(this.path, '..data'));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.path, { recursive: true, force: true });
  }
}

const pair = (from: Files, role: string): Files => ({
  'tls.crt': from[`${role}.crt`]!,
  'tls.key': from[`${role}.key`]!,
});
const mounted = (from: Files, role: string): Files => ({ 'ca.crt': from['ca.crt']!, ...pair(from, role) });
const both = (): string => `${first['ca.crt']}\n${second['ca.crt']}\n`;

interface World extends AsyncDisposable {
  readonly server: Mount;
  readonly worker: Mount;
  /** Calls that came, by step. */
  readonly pushed: number[];
  readonly news: CertificateNews[];
  client(): ExchangeClient;
  /** Every connection is lost. */
  serveAnew(): Promise<void>;
  /** Until server and worker have looked. */
  looked(): Promise<void>;
}

async function world(): Promise<World> {
  const server = await Mount.of(mounted(first, 'server'));
  const worker = await Mount.of(mounted(first, 'worker'));
  const pushed: number[] = [];
  const news: CertificateNews[] = [];
  const onNews = (piece: CertificateNews): void => void news.push(piece);
  const security = ({ path }: Mount) => ({
    kind: 'mutualTls' as const,
    jobUid: UID,
    certificates: Certificates.in(path, { everyMs: LOOK_MS, onNews }),
  });
  const serve = (port: number): Promise<Listener> =>
    listen({
      address: `127.0.0.1:${port}`,
      security: security(server),
      chunkBytes: CHUNK_BYTES,
      peers: 4,
      exchange: {
        attend: () => ({ step: 1 }),
        push: (messages) => messages.onMessage(({ step }) => pushed.push(step)),
        pull: () => {},
      },
    });
  let listener = await serve(0);
  const clients: ExchangeClient[] = [];
  const own = security(worker);
  return {
    server,
    worker,
    pushed,
    news,
    client: () => {
      const address = `127.0.0.1:${listener.port}`;
      const client = new ExchangeClient({ address, security: own, chunkBytes: CHUNK_BYTES });
      clients.push(client);
      return client;
    },
    serveAnew: async () => {
      const { port } = listener;
      await listener.close();
      listener = await serve(port);
    },
    looked: () => pause(10 * LOOK_MS),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await listener.close();
      await server[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

const attend = (client: ExchangeClient, callMs = 5000): Promise<unknown> =>
  client.attend({ rank: 0, epoch: 1 }, callMs);

async function refuses(client: ExchangeClient): Promise<void> {
  await assert.rejects(
    attend(client, 700),
    (error: unknown) => error instanceof RuntimeError && error.code === 'DEADLINE_EXCEEDED',
  );
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !holds(); await pause(5))
    assert.ok(performance.now() < end, 'not within 5 s');
}

test(
  'a whole rotation under a running stream: nothing breaks, and in the end nobody believes the old pair',
  TIMEOUT,
  async () => {
    await using job = await world();
    const running = job.client().push();
    let failure: RuntimeError | undefined;
    running.onFailure((error) => (failure = error));
    let step = 0;
    const goesOn = async (): Promise<void> => {
      running.write({
        epoch: 1,
        rank: 0,
        step: ++step,
        gradient: { chunk: 0, weight: 0, learningRate: 0 },
        data: new Uint8Array(0),
      });
      await until(() => job.pushed.at(-1) === step);
    };
    await goesOn();
    // Both authorities are believed, first by one side only.
    await job.server.change({ 'ca.crt': both(), ...pair(first, 'server') });
    await job.looked();
    await goesOn();
    await attend(job.client());
    await job.worker.change({ 'ca.crt': both(), ...pair(first, 'worker') });
    await job.looked();
    // New pairs, one side after the other.
    await job.server.change({ 'ca.crt': both(), ...pair(second, 'server') });
    await job.looked();
    await attend(job.client());
    await job.worker.change({ 'ca.crt': both(), ...pair(second, 'worker') });
    await job.looked();
    await attend(job.client());
    await goesOn();
    // The old authority goes: whoever still shows its pair is a stranger.
    await job.server.change(mounted(second, 'server'));
    await job.looked();
    await attend(job.client());
    await job.worker.change({ 'ca.crt': both(), ...pair(first, 'worker') });
    await job.looked();
    await refuses(job.client());
    await goesOn();
    assert.equal(failure, undefined);
    assert.deepEqual(new Set(job.news.map(({ kind }) => kind)), new Set(['changed']));
  },
);

test('a client that has lost its connection comes back with the new pair', TIMEOUT, async () => {
  await using job = await world();
  const client = job.client();
  await attend(client);
  await job.server.change(mounted(second, 'server'));
  await job.looked();
  await attend(client); // its connection stands
  await refuses(job.client()); // somebody else with the old pair
  await job.serveAnew();
  await refuses(client);
  await job.worker.change(mounted(second, 'worker'));
  await job.looked();
  await attend(client);
});

test('half of a change is no change, told once', TIMEOUT, async () => {
  await using job = await world();
  await attend(job.client());
  await job.server.change({
    'ca.crt': both(),
    'tls.crt': second['server.crt']!,
    'tls.key': first['server.key']!,
  });
  await job.looked();
  await attend(job.client());
  await job.server.change({ 'ca.crt': 'no certificate', ...pair(second, 'server') });
  await job.looked();
  await attend(job.client());
  await rm(join(job.server.path, 'tls.key'));
  await job.looked();
  await attend(job.client());
  const reasons = job.news.map((piece) => (piece.kind === 'unusable' ? piece.reason : piece.kind));
  assert.equal(reasons.length, 3, reasons.join('\n'));
  assert.match(reasons[0]!, /expected the key of the certificate, got another one/);
  assert.match(reasons[1]!, /expected PEM/);
  assert.match(reasons[2]!, /tls\.key: expected a PEM file/);
});

test('a later pair is believed at once and shown when it becomes valid', async () => {
  const later = await makeCertificates(UID, Date.now() + 24 * HOUR_MS + HOUR_MS); // valid in an hour
  await using mount = await Mount.of(mounted(first, 'worker'));
  let nowMs = Date.now();
  const certificates = Certificates.in(mount.path, { nowMs: () => nowMs });
  let authority = '';
  let shown = '';
  certificates.addCaCertificateListener((update) => (authority = update!.caCertificate.toString()));
  certificates.addIdentityCertificateListener((update) => (shown = update!.certificate.toString()));
  await pause(1);
  assert.deepEqual([authority, shown], [`${first['ca.crt']}\n`, first['worker.crt']]);
  const next = Object.entries(mounted(later, 'worker')).map(([name, content]) => [`1/${name}`, content]);
  await mount.change({ ...mounted(first, 'worker'), ...Object.fromEntries(next) });
  certificates.look();
  assert.deepEqual([authority, shown], [`${first['ca.crt']}\n${later['ca.crt']}\n`, first['worker.crt']]);
  nowMs += HOUR_MS + 60_000;
  certificates.look();
  assert.deepEqual([authority, shown], [`${first['ca.crt']}\n${later['ca.crt']}\n`, later['worker.crt']]);
});

test('a folder without certificates is a role config that cannot be', async () => {
  await using mount = await Mount.of({ 'ca.crt': first['ca.crt']! });
  assert.throws(() => Certificates.in(mount.path), { code: 'BAD_ROLE_CONFIG', message: /tls\.crt/ });
});
