// How the processes of a job know each other: by the job's token on plain connections, or by certificates of the job's own
// authority (SAN `<role>.<job uid>`, TLS both ways). Decides who may call what.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerCertificate } from 'node:tls';
import { type ChannelOptions, credentials, Metadata, ServerCredentials } from '@grpc/grpc-js';
import type { RoleConfig } from '../../protos/role-config.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { isToken, TOKEN_KEY } from './token.ts';

export type Security =
  | { readonly kind: 'token'; readonly token: string }
  | {
      readonly kind: 'mutualTls';
      readonly jobUid: string;
      /** PEM. */
      readonly authority: Buffer;
      readonly certificate: Buffer;
      readonly key: Buffer;
    };

export type PeerRole = 'worker' | 'server' | 'operator';

/** What a listener sees of a call. */
export interface SeenCall {
  readonly metadata: Pick<Metadata, 'get'>;
  getAuthContext(): { readonly sslPeerCertificate?: PeerCertificate };
}

/** Throws BAD_ROLE_CONFIG naming the file that cannot be read. */
export function openSecurity(config: RoleConfig['security']): Security {
  if (config.kind === 'token') return config;
  const read = (name: string): Buffer => {
    const path = join(config.directory, name);
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new RuntimeError('BAD_ROLE_CONFIG', `${path}: expected a PEM file: ${String(cause)}`, { cause });
    }
  };
  return {
    kind: 'mutualTls',
    jobUid: config.jobUid,
    authority: read('ca.crt'),
    certificate: read('tls.crt'),
    key: read('tls.key'),
  };
}

export function channelCredentials(security: Security) {
  if (security.kind === 'token') return credentials.createInsecure();
  return credentials.createSsl(security.authority, security.key, security.certificate);
}

/** A server is known by its role in the job, not by the name or address that it was reached under. */
export function channelIdentity(security: Security): ChannelOptions {
  if (security.kind === 'token') return {};
  return { 'grpc.ssl_target_name_override': nameOf('server', security.jobUid) };
}

export function serverCredentials(security: Security): ServerCredentials {
  if (security.kind === 'token') return ServerCredentials.createInsecure();
  const pair = { private_key: security.key, cert_chain: security.certificate };
  return ServerCredentials.createSsl(security.authority, [pair], true);
}

export function callMetadata(security: Security): Metadata {
  // A peer that is being restarted is waited for, up to the call's deadline.
  const metadata = new Metadata({ waitForReady: true });
  if (security.kind === 'token') metadata.set(TOKEN_KEY, security.token);
  return metadata;
}

/** Throws WRONG_TOKEN or WRONG_IDENTITY. */
export function authorize(security: Security, call: SeenCall, allowed: readonly PeerRole[]): void {
  if (security.kind === 'token') {
    if (!isToken(call.metadata.get(TOKEN_KEY)[0], security.token))
      throw new RuntimeError('WRONG_TOKEN', `metadata ${TOKEN_KEY}: expected the token of this job`);
    return;
  }
  const names = namesOf(call.getAuthContext().sslPeerCertificate);
  if (allowed.some((role) => names.includes(nameOf(role, security.jobUid)))) return;
  const expected = `a certificate of this job as ${allowed.join(' or ')}`;
  throw new RuntimeError('WRONG_IDENTITY', `expected ${expected}, got ${names.join(', ') || 'no name'}`);
}

function nameOf(role: PeerRole, jobUid: string): string {
  return `${role}.${jobUid}`;
}

function namesOf(certificate: PeerCertificate | undefined): string[] {
  const names = certificate?.subjectaltname ?? '';
  return names.split(', ').flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4)] : []));
}
