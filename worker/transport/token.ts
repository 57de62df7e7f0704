// The job's token: proof that a peer belongs to this job, where connections are plain text on the loopback interface.
import { randomBytes, timingSafeEqual } from 'node:crypto';

export const TOKEN_KEY = 'lepton-token';

export function newToken(): string {
  return randomBytes(24).toString('base64url');
}

export function isToken(given: unknown, expected: string): boolean {
  if (typeof given !== 'string' || given.length !== expected.length) return false;
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
