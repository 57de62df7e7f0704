// How this process proves that it is of the job, out of its config; what becomes of its certificates, and who had none that would do,
// is logged.
import type { RoleConfig } from '../../protos/role-config.ts';
import { type CertificateNews, Certificates } from '../transport/certificates.ts';
import type { Security } from '../transport/security.ts';
import type { Log } from './log.ts';

/** Whoever knocks for ever must not fill the disk: a reason is told once in this time. */
const REFUSALS_MS = 60_000;
/** Reasons are OpenSSL's, of which there are some dozens. */
const MOST_REASONS = 100;

/** Throws BAD_ROLE_CONFIG naming the file that cannot be read. */
export function openSecurity(config: RoleConfig['security'], log: Log): Security {
  if (config.kind === 'token') return config;
  const { jobUid, directory } = config;
  const onNews = (news: CertificateNews): void => {
    if (news.kind === 'changed')
      log('info', 'certificates changed: new connections use them', { validTo: news.validTo });
    else log('warning', 'certificates cannot be used: the earlier ones stay', { reason: news.reason });
  };
  return { kind: 'mutualTls', jobUid, certificates: Certificates.in(directory, { onNews }) };
}

/** What a listener tells of connections that it refused. */
export function refusalsIn(log: Log): (reason: string, from: string) => void {
  const told = new Map<string, number>();
  return (reason, from) => {
    const nowMs = performance.now();
    if (nowMs - (told.get(reason) ?? Number.NEGATIVE_INFINITY) < REFUSALS_MS) return;
    if (told.size >= MOST_REASONS) told.clear();
    told.set(reason, nowMs);
    log('warning', 'a connection was refused', { reason, from });
  };
}
