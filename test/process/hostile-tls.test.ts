// Peers that mean no good to a job that knows its own by certificates, as on a cluster: strangers with certificates of all wrong kinds
// get no call through, members with the right one cannot make a server large, and the others end with the bits of an undisturbed run.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { makeCertificates } from '../../operator/leptonjob/certificates.ts';
import { BULK_SETTING } from '../../worker/transport/options.ts';
import { Attacker, framed, grownMiB, type Proof, STREAMS, unfinished } from './attackers.ts';
import { outcomeOf, run, startJob, type TestJob, temporaryFolder, type WatchedJob } from './processes.ts';

const TIMEOUT = { timeout: 120_000 };
const UID = '11111111-0000-4000-8000-000000000001';
const OTHER_UID = '22222222-0000-4000-8000-000000000002';
const DAY_MS = 86_400_000;
const MiB = 2 ** 20;
const JOB: TestJob = { workers: 2, batchSize: 32, epochs: 22, testing: { chunkLength: 4096 } };
/** So that it outlives all attacks. */
const DELAY_MS = 6;
const MOST_MIB = 150;
/** What a listener of two workers and a server holds at once. */
const CALLS_AT_ONCE = 40;
/** Of each kind of stranger. */
const STRANGERS = 20;
/** Of gRPC. */
const STATUS = { resourceExhausted: 8, permissionDenied: 7 };

type Files = Readonly<Record<string, string>>;
type Role = 'worker' | 'server' | 'operator';

interface Target {
  readonly job: WatchedJob;
  readonly port: number;
  readonly pid: number;
  readonly own: Files;
  readonly other: Files;
  readonly forged: Files;
  readonly expired: Files;
}

/** Believes the server, and shows this pair; without files: none. */
function proofOf({ own }: Pick<Target, 'own'>, pair?: Files, role: Role = 'worker'): Exclude<Proof, string> {
  const shown = pair ? { cert: pair[`${role}.crt`]!, key: pair[`${role}.key`]! } : {};
  return { ca: own['ca.crt']!, servername: `server.${UID}`, ...shown };
}

/** As a kubelet puts them into the pods. */
async function writeFolders(
  folder: string,
  { own, expired }: Pick<Target, 'own' | 'expired'>,
): Promise<void> {
  for (const role of ['worker', 'server', 'operator'] as const) {
    await mkdir(join(folder, role));
    const write = (name: string, text: string) => writeFile(join(folder, role, name), text);
    // The authority of what has expired is believed: nothing but the date is against it.
    await write('ca.crt', `${own['ca.crt']}\n${expired['ca.crt']}`);
    await write('tls.crt', own[`${role}.crt`]!);
    await write('tls.key', own[`${role}.key`]!);
  }
}

test(
  'a job under attack over TLS ends with the bits of one that nobody disturbed',
  TIMEOUT,
  async (context) => {
    const nowMs = Date.now();
    const [own, other, forged, expired] = await Promise.all([
      makeCertificates(UID, nowMs),
      makeCertificates(OTHER_UID, nowMs),
      makeCertificates(UID, nowMs), // the right names from an authority of one's own
      makeCertificates(UID, nowMs - 400 * DAY_MS),
    ]);
    await using certificates = await temporaryFolder();
    await writeFolders(certificates.path, { own, expired });
    const tls = { jobUid: UID, folder: certificates.path };
    const undisturbed = run({ ...JOB, tls });
    await using folder = await temporaryFolder();
    await using job = await startJob(
      { ...JOB, tls, testing: { ...JOB.testing, delayMs: DELAY_MS } },
      folder.path,
    );
    assert.ok(await job.until(({ step }) => step >= 5));
    const port = Number(job.logged('listening')[0]!.fields['port']);
    const target = { job, port, pid: job.progress.servers[0]!.pid!, own, other, forged, expired };
    for (const [name, attack] of Object.entries({
      strangers,
      half,
      beyond,
      garbage,
      unfinishedCalls,
      unfinishedCallsOfOurKind,
    })) {
      const startMs = performance.now();
      const over = attack(target);
      const [grown] = await Promise.all([grownMiB([target.pid], over), over]);
      assert.ok(grown < MOST_MIB, `${name}: the server grew by ${grown} MiB`);
      const seconds = (performance.now() - startMs) / 1000;
      context.diagnostic(`${name}: the server grew by ${grown.toFixed(0)} MiB, ${seconds.toFixed(1)} s`);
    }
    assert.equal(job.progress.phase, 'Running', 'the job was over before the attacks were');
    assert.deepEqual(job.logged('session lost, joining again'), []);
    const { phase, error } = await job.finished;
    assert.equal(phase, 'Succeeded', JSON.stringify(error));
    const { digest, history } = await outcomeOf(folder.path);
    assert.deepEqual(history, (await undisturbed).history);
    assert.equal(digest, (await undisturbed).digest);
  },
);

/** Refused by TLS, before anything that they say is looked at; the server's log says why, once for each reason. */
async function strangers(target: Target): Promise<void> {
  const kinds = [target.other, target.forged, target.expired, undefined];
  for (const files of kinds) {
    const attackers = Array.from(
      { length: STRANGERS },
      () => new Attacker(target.port, proofOf(target, files)),
    );
    const calls = attackers.map((attacker) => attacker.call('exchange.v1.Exchange', 'Push'));
    for (const { say } of calls) void say(framed(randomBytes(MiB - 1), MiB));
    for (const { answer } of calls) assert.equal((await soon(answer)).status, undefined);
    for (const attacker of attackers) attacker.close();
  }
  const reasons = (): string[] =>
    target.job.logged('a connection was refused').map(({ fields }) => String(fields['reason']));
  for (const reason of [/^UNABLE_TO_/, /^CERT_HAS_EXPIRED$/, /PEER_DID_NOT_RETURN_A_CERTIFICATE$/])
    await target.job.until(() => reasons().some((one) => reason.test(one)), 5);
  assert.equal(new Set(reasons()).size, reasons().length);
}

/** Connections that begin a handshake and stay. */
async function half({ port }: Target): Promise<void> {
  // A record of TLS that announces a greeting of 16 KiB.
  const begin = Buffer.from([0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc]);
  const sockets = Array.from({ length: STREAMS }, () => {
    const socket = connect(port, '127.0.0.1', () => socket.write(begin));
    return socket.on('error', () => {});
  });
  await pause(500);
  for (const socket of sockets) socket.destroy();
}

/** A worker may not ask what only others may. */
async function beyond(target: Target): Promise<void> {
  await using worker = new Attacker(target.port, proofOf(target, target.own));
  for (const method of ['Stop', 'Resize', 'Watch', 'Enlist']) {
    const { say, end, answer } = worker.call('coordination.v1.Coordination', method);
    await say(framed(Buffer.alloc(0)));
    end();
    const { status, code, message } = await soon(answer);
    assert.deepEqual([status, code], [STATUS.permissionDenied, 'WRONG_IDENTITY'], method);
    assert.match(message ?? '', new RegExp(`expected a certificate of this job as \\w+, got worker.${UID}`));
  }
}

/** A client of ours says so with its first settings: its frames are read by ourselves. */
const ofOurKind = (proof: Exclude<Proof, string>): Proof => ({
  ...proof,
  settings: { customSettings: { [BULK_SETTING]: 1 } },
});
const greeting = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 6, 4, 0, 0, 0, 0, 0, BULK_SETTING >> 8, BULK_SETTING & 0xff, 0, 0, 0, 1]),
]);
/** DATA of 1 MiB of a stream that nobody has opened, of which only the head comes. */
const unasked = (stream: number): Buffer => Buffer.from([0x10, 0, 0, 0, 0, 0, 0, 0, stream]);

/** Of a member: bytes that are no HTTP/2, or begin as those of our own clients; messages that are none, lengths that are lies. */
async function garbage(target: Target): Promise<void> {
  const rounds = [
    randomBytes(64 * 1024),
    Buffer.concat([greeting, randomBytes(64 * 1024)]),
    Buffer.concat([
      greeting,
      ...Array.from({ length: 100 }, (_, at) => [unasked(2 * at + 1), Buffer.alloc(MiB)]).flat(),
    ]),
    Buffer.concat([greeting, Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])]), // a window beyond the largest
  ];
  for (const bytes of [...rounds, ...rounds]) await hangsUp(target, bytes);
  for (const proof of [proofOf(target, target.own), ofOurKind(proofOf(target, target.own))]) {
    await using liar = new Attacker(target.port, proof);
    const lie = liar.call('exchange.v1.Exchange', 'Push');
    await lie.say(framed(randomBytes(64), 2 ** 32 - 1));
    for (let sent = 0; sent < 64; sent++) await lie.say(randomBytes(MiB));
    assert.equal((await soon(lie.answer)).status, STATUS.resourceExhausted);
    const nonsense = liar.call('exchange.v1.Exchange', 'Push');
    await nonsense.say(framed(Buffer.alloc(1000, 0xff)));
    assert.equal((await soon(nonsense.answer)).code, 'BAD_MESSAGE');
  }
}

/** The server ends a connection that begins so. */
async function hangsUp(target: Target, bytes: Buffer): Promise<void> {
  const { settings: _, ...shown } = proofOf(target, target.own);
  const socket = connectTls({ port: target.port, ALPNProtocols: ['h2'], ...shown });
  socket.on('error', () => {});
  socket.resume();
  await soon(once(socket, 'secureConnect'));
  socket.write(bytes);
  await soon(new Promise((resolve) => socket.once('close', resolve)));
}

/** Of a member: no more than a listener may hold. */
async function unfinishedCalls(target: Target): Promise<void> {
  await holdsFew(target, proofOf(target, target.own));
}

async function unfinishedCallsOfOurKind(target: Target): Promise<void> {
  await holdsFew(target, ofOurKind(proofOf(target, target.own)));
}

async function holdsFew({ port }: Target, proof: Proof): Promise<void> {
  const { answers, left } = await unfinished(port, proof);
  assert.equal(left + answers.length, STREAMS);
  assert.ok(left <= CALLS_AT_ONCE, `${left} calls are held`);
}

function soon<T>(promise: Promise<T>): Promise<T> {
  const late = pause(5000, undefined, { ref: false }).then(() => assert.fail('nothing came for 5 s'));
  return Promise.race([promise, late]);
}
