// From the arguments of a process to its checked RoleConfig. One file on a laptop; in a pod, the job's file and the place in it.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { type RoleConfig, roleConfigSchema } from '../../protos/role-config.ts';
import { RuntimeError } from '../protocol/errors.ts';

/** `--config FILE`, or `--job FILE --role ROLE --rank N --attempt N`. Throws BAD_ROLE_CONFIG naming the file and the fields. */
export function readRoleConfig(argv: readonly string[]): {
  readonly config: RoleConfig;
  readonly path: string;
} {
  const { path, place } = readArguments(argv);
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new RuntimeError('BAD_ROLE_CONFIG', `${path}: expected a JSON file: ${String(cause)}`, { cause });
  }
  const checked = roleConfigSchema.safeParse({ ...(parsed as object), ...place });
  if (checked.success) return { config: checked.data, path };
  throw new RuntimeError('BAD_ROLE_CONFIG', `${path}: ${z.prettifyError(checked.error)}`);
}

function readArguments(argv: readonly string[]): { path: string; place: Partial<RoleConfig> } {
  const text = { type: 'string' } as const;
  try {
    const options = { config: text, job: text, role: text, rank: text, attempt: text };
    const { values } = parseArgs({ args: [...argv], options });
    if (values.config !== undefined) return { path: values.config, place: {} };
    if (values.job !== undefined) {
      const place = { role: values.role, rank: Number(values.rank), attempt: Number(values.attempt) };
      return { path: values.job, place: place as Partial<RoleConfig> };
    }
  } catch (cause) {
    throw new RuntimeError('BAD_ROLE_CONFIG', `arguments: ${(cause as Error).message}`, { cause });
  }
  const expected = '--config FILE or --job FILE --role ROLE --rank N --attempt N';
  throw new RuntimeError('BAD_ROLE_CONFIG', `arguments: expected ${expected}, got ${argv.join(' ')}`);
}
