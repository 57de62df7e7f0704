// The authority of one job and the certificates of its roles: whoever holds one is known as `<role>.<job uid>`. Makes keys; keeps
// none.
import { randomBytes, webcrypto } from 'node:crypto';
import 'reflect-metadata'; // x509 asks for it
import * as x509 from '@peculiar/x509';

export interface Identity {
  /** PEM. */
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Longer than `activeDeadlineSeconds` may be. */
const VALID_DAYS = 366;

/** Files of the job's secret: ca.crt, and a pair for each role. The authority's key is thrown away: nobody can join later. */
export async function makeCertificates(jobUid: string, nowMs: number): Promise<Record<string, string>> {
  const keys = await makeKeys();
  const validity = { notBefore: new Date(nowMs - DAY_MS), notAfter: new Date(nowMs + VALID_DAYS * DAY_MS) };
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
