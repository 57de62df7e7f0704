// The certificates of a process as its folder holds them now: whoever starts the process may replace them while it runs. New
// connections show the newest pair that is valid and believe every authority there is; those that stand live on.
//
// The folder has ca.crt, tls.crt and tls.key, and the same three in 1, 2, … where later ones have been made: their authority is
// believed from then on, their pair shown only when it becomes valid. So all peers believe it before the first one shows it.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { experimental } from '@grpc/grpc-js';
import { RuntimeError } from '../protocol/errors.ts';

/** PEM. */
export interface Identity {
  /** Of one authority or several. */
  readonly authority: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/** That what is shown has changed, or why what was found is not used; the same trouble is told once. */
export type CertificateNews =
  | { readonly kind: 'changed'; readonly validTo: string }
  | { readonly kind: 'unusable'; readonly reason: string };

export interface CertificatesOptions {
  /** All pairs there are, oldest first; throws where they cannot be had. */
  readonly read: () => readonly Identity[];
  readonly nowMs?: () => number;
  readonly everyMs?: number;
  readonly onNews?: (news: CertificateNews) => void;
}

type Authorities = experimental.CaCertificateUpdateListener;
type Pairs = experimental.IdentityCertificateUpdateListener;

/** A kubelet brings a changed secret within a minute or two: looking more often would help nobody. */
const LOOK_MS = 10_000;

/** Looks while somebody listens. Throws where there is nothing usable to begin with. */
export class Certificates implements experimental.CertificateProvider {
  readonly #options: CertificatesOptions;
  readonly #authorities = new Set<Authorities>();
  readonly #pairs = new Set<Pairs>();
  #shown: Identity;
  #trouble: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#shown = this.#chosen();
  }

  /** Throws BAD_ROLE_CONFIG naming the file that cannot be read. */
  static in(folder: string, options: Omit<CertificatesOptions, 'read'> = {}): Certificates {
    return new Certificates({ ...options, read: () => readFolder(folder) });
  }

  addCaCertificateListener(listener: Authorities): void {
    this.#authorities.add(listener);
    this.#begin(() => this.#authorities.has(listener) && listener({ caCertificate: this.#shown.authority }));
  }

  addIdentityCertificateListener(listener: Pairs): void {
    this.#pairs.add(listener);
    this.#begin(() => this.#pairs.has(listener) && listener(pairOf(this.#shown)));
  }

  removeCaCertificateListener(listener: Authorities): void {
    this.#authorities.delete(listener);
    this.#maybeEnd();
  }

  removeIdentityCertificateListener(listener: Pairs): void {
    this.#pairs.delete(listener);
    this.#maybeEnd();
  }

  /** The newest there is, for one connection. */
  current(): Identity {
    if (!this.#timer) this.look(); // nobody has looked while nobody listened
    return this.#shown;
  }

  /** What cannot be used leaves everything as it was: it may be half of a change. */
  look(): void {
    try {
      const found = this.#chosen();
      this.#trouble = undefined;
      if (isSame(found, this.#shown)) return;
      this.#shown = found;
      for (const listener of this.#authorities) listener({ caCertificate: found.authority });
      for (const listener of this.#pairs) listener(pairOf(found));
      this.#options.onNews?.({ kind: 'changed', validTo: new X509Certificate(found.certificate).validTo });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.#trouble) this.#options.onNews?.({ kind: 'unusable', reason });
      this.#trouble = reason;
    }
  }

  /** grpc-js takes no word before it has listened to the end. */
  #begin(tell: () => void): void {
    process.nextTick(tell);
    if (this.#timer) return;
    this.look(); // nobody has looked while nobody listened
    this.#timer = setInterval(() => this.look(), this.#options.everyMs ?? LOOK_MS).unref();
  }

  #maybeEnd(): void {
    if (this.#authorities.size + this.#pairs.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #chosen(): Identity {
    const { read, nowMs = Date.now } = this.#options;
    const all = read();
    for (const one of all) check(one);
    const begun = all.filter(({ certificate }) => beginsMs(certificate) <= nowMs());
    // The first one is shown even where clocks disagree about it.
    const { certificate, key } = begun.at(-1) ?? all[0]!;
    return { authority: Buffer.concat(all.map(({ authority }) => withNewline(authority))), certificate, key };
  }
}

function readFolder(folder: string): Identity[] {
  const all = [readPair(folder)];
  for (let next = join(folder, '1'); existsSync(next); next = join(folder, String(all.length)))
    all.push(readPair(next));
  return all;
}

function readPair(folder: string): Identity {
  return { authority: read('ca.crt'), certificate: read('tls.crt'), key: read('tls.key') };

  function read(name: string): Buffer {
    const path = join(folder, name);
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new RuntimeError('BAD_ROLE_CONFIG', `${path}: expected a PEM file: ${String(cause)}`, { cause });
    }
  }
}

/** A key of another certificate would fail every handshake from now on. */
function check({ authority, certificate, key }: Identity): void {
  try {
    new X509Certificate(authority);
    if (new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) return;
  } catch (cause) {
    throw new RuntimeError('BAD_ROLE_CONFIG', `certificates: expected PEM: ${String(cause)}`, { cause });
  }
  throw new RuntimeError(
    'BAD_ROLE_CONFIG',
    'certificates: expected the key of the certificate, got another one',
  );
}

function beginsMs(certificate: Buffer): number {
  return Date.parse(new X509Certificate(certificate).validFrom);
}

function withNewline(pem: Buffer): Buffer {
  return pem.at(-1) === 0x0a ? pem : Buffer.concat([pem, Buffer.from('\n')]);
}

function pairOf({ certificate, key }: Identity): experimental.IdentityCertificateUpdate {
  return { certificate, privateKey: key };
}

function isSame(a: Identity, b: Identity): boolean {
  return a.authority.equals(b.authority) && a.certificate.equals(b.certificate) && a.key.equals(b.key);
}
