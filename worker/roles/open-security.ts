// How this process proves that it is of the job, out of its config; what becomes of its certificates is logged.
import type { RoleConfig } from '../../protos/role-config.ts';
import { type CertificateNews, Certificates } from '../transport/certificates.ts';
import type { Security } from '../transport/security.ts';
import type { Log } from './log.ts';

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
