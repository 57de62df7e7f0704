// The authority of one job and the certificates of its roles: whoever holds one is known as `<role>.<job uid>`. Makes keys; keeps
// none. Before they expire a later generation is made, by an authority of its own: everybody believes it at once, and shows it when
// it becomes valid a day later. By then the kubelets have brought it to all pods.
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import 'reflect-metadata'; // x509 asks for it
import * as x509 from '@peculiar/x509';
import { LATER_GENERATIONS } from './names.ts';

export interface Identity {
  /** PEM. */
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

/** What the operator has of one generation. */
export interface Generation extends Identity {
  readonly validFromMs: number;
  /** From then on there has to be a later one. */
  readonly renewAtMs: number;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Longer than `activeDeadlineSeconds` may be. */
const VALID_DAYS = 366;

/** Files of the job's secret: ca.crt, and a pair for each role. The authority's key is thrown away: nobody can join later. */
export async function makeCertificates(
  jobUid: string,
  nowMs: number,
  generation = 0,
): Promise<Record<string, string>> {
  const keys = await makeKeys();
  // The first is needed at once, whatever the clocks of the nodes say.
  const notBefore = new Date(nowMs + (generation === 0 ? -DAY_MS : DAY_MS));
  const validity = { notBefore, notAfter: new Date(nowMs + VALID_DAYS * DAY_MS) };
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity,
    serialNumber: serialNumber(),
    name: `CN=lepton job ${jobUid}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const files: Record<string, string> = { 'ca.crt': authority.toString('pem') };
  for (const role of ['worker', 'server', 'operator'] as const) {
    const own = await makeKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity,
      serialNumber: serialNumber(),
      subject: `CN=${role}`,
      issuer: authority.subject,
      signingKey: keys.privateKey,
      publicKey: own.publicKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: `${role}.${jobUid}` }]),
        // Authorities of one job have one name: this tells which of them signed.
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    files[`${role}.crt`] = certificate.toString('pem');
    files[`${role}.key`] = await privatePem(own.privateKey);
  }
  return files;
}

/** Of the files of a secret. One whose dates nobody can read is never renewed: making another would not help. */
export function generationFrom(files: Readonly<Record<string, string>>): Generation {
  const text = (key: string): string => files[key] ?? '';
  const identity = {
    authority: text('ca.crt'),
    certificate: text('operator.crt'),
    key: text('operator.key'),
  };
  try {
    const { validFrom, validTo } = new X509Certificate(identity.certificate);
    const renewAtMs = Date.parse(validTo) - (VALID_DAYS * DAY_MS) / 3;
    return { ...identity, validFromMs: Date.parse(validFrom), renewAtMs };
  } catch {
    return { ...identity, validFromMs: Number.NEGATIVE_INFINITY, renewAtMs: Number.POSITIVE_INFINITY };
  }
}

/** Whether another one has to be made, or found, after these. */
export function isIncomplete(generations: readonly Generation[], nowMs: number): boolean {
  const newest = generations.at(-1);
  return !newest || (nowMs >= newest.renewAtMs && generations.length <= LATER_GENERATIONS);
}

/** The newest pair that is valid, and all authorities. Undefined where there is none. */
export function identityOf(generations: readonly Generation[], nowMs: number): Identity | undefined {
  const shown = generations.findLast(({ validFromMs }) => validFromMs <= nowMs) ?? generations[0];
  if (!shown) return undefined;
  const authority = generations.map((generation) => generation.authority).join('\n');
  return { authority, certificate: shown.certificate, key: shown.key };
}

function makeKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, [
    'sign',
    'verify',
  ]) as Promise<webcrypto.CryptoKeyPair>;
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const raw = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${raw.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}
