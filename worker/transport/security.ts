// How the processes of a job know each other: by the job's token on plain connections, or by certificates of the job's own
// authority (SAN `<role>.<job uid>`, TLS both ways). Decides who may call what.
import type { PeerCertificate } from 'node:tls';
import { type ChannelOptions, credentials, experimental, Metadata, ServerCredentials } from '@grpc/grpc-js';
import { RuntimeError } from '../protocol/errors.ts';
import type { Certificates } from './certificates.ts';
import { isToken, TOKEN_KEY } from './token.ts';

export type Security =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'mutualTls'; readonly jobUid: string; readonly certificates: Certificates };

export type PeerRole = 'worker' | 'server' | 'operator';

/** What a listener sees of a call. */
export interface SeenCall {
  getAuthContext(): { readonly sslPeerCertificate?: PeerCertificate };
}

export function channelCredentials(security: Security) {
  if (security.kind === 'token') return credentials.createInsecure();
  const { certificates } = security;
  return experimental.createCertificateProviderChannelCredentials(certificates, certificates);
}

/** A server is known by its role in the job, not by the name or address that it was reached under. */
export function channelIdentity(security: Security): ChannelOptions {
  if (security.kind === 'token') return {};
  return { 'grpc.ssl_target_name_override': nameOf('server', security.jobUid) };
}

export function serverCredentials(security: Security): ServerCredentials {
  if (security.kind === 'token') return ServerCredentials.createInsecure();
  const { certificates } = security;
  return experimental.createCertificateProviderServerCredentials(certificates, certificates, true);
}

/** What a connection of our own shows and believes: the pair of this moment. */
export function identityOf({ certificates, jobUid }: Extract<Security, { kind: 'mutualTls' }>) {
  const { authority, certificate, key } = certificates.current();
  return { ca: authority, cert: certificate, key, servername: nameOf('server', jobUid) };
}

export function callMetadata(security: Security): Metadata {
  // A peer that is being restarted is waited for, up to the call's deadline.
  const metadata = new Metadata({ waitForReady: true });
  if (security.kind === 'token') metadata.set(TOKEN_KEY, security.token);
  return metadata;
}

/** Throws WRONG_TOKEN. Where peers show certificates, nobody else has got as far as a call. */
export function mustBelong(security: Security, metadata: Pick<Metadata, 'get'>): void {
  if (security.kind === 'token' && !isToken(metadata.get(TOKEN_KEY)[0], security.token))
    throw new RuntimeError('WRONG_TOKEN', `metadata ${TOKEN_KEY}: expected the token of this job`);
}

/** Throws WRONG_IDENTITY. The token is the same for all roles. */
export function authorize(security: Security, call: SeenCall, allowed: readonly PeerRole[]): void {
  if (security.kind === 'token') return;
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
