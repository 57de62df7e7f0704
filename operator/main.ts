// The operator's process: reads its config, runs until it is told to stop or loses leadership.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { readOperatorConfig } from './config.ts';
import type { Access } from './kube/client.ts';
import { ServiceAccount } from './kube/service-account.ts';
import { Operator } from './operator.ts';

const EXIT = { done: 0, failed: 1, lostLeadership: 2, badConfig: 3 } as const;

function log(level: string, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
}

function end(code: number, message: string, error?: unknown): never {
  const stack = error instanceof Error ? error.stack : error;
  log(code === EXIT.done ? 'info' : 'error', message, error === undefined ? {} : { error: stack });
  process.exit(code);
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      config: text,
      kubeconfig: text,
      'service-account': text,
      version: { ...text, default: 'unknown' },
    },
  });
  if (values.config === undefined) end(EXIT.badConfig, 'expected --config FILE');
  const operator = new Operator({
    kubeConfig: await accessOf(values.kubeconfig, values['service-account']),
    config: readConfig(values.config),
    identity: `${hostname()}_${randomBytes(4).toString('hex')}`,
    version: values.version,
    log,
    onLost: (reason) => end(EXIT.lostLeadership, 'leadership lost', reason),
  });
  process.on('uncaughtException', (error) => end(EXIT.failed, 'unexpected error', error));
  process.on('unhandledRejection', (error) => end(EXIT.failed, 'unexpected error', error));
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => void operator.stop().then(() => end(EXIT.done, 'stopped', undefined)));
  await operator.start();
}

/** In a pod its own account, mounted in `folder`, unless a kubeconfig is named; else what kubectl would use. */
async function accessOf(kubeconfig: string | undefined, folder: string | undefined): Promise<Access> {
  const named = kubeconfig ?? process.env['KUBECONFIG'];
  const own = named === undefined ? ServiceAccount.ofPod(process.env, folder) : undefined;
  if (own) return own;
  const { defaultKubeConfig } = await import('./kube/kubeconfig.ts');
  return defaultKubeConfig(kubeconfig);
}

function readConfig(path: string) {
  try {
    return readOperatorConfig(path);
  } catch (error) {
    end(EXIT.badConfig, 'bad configuration', (error as Error).message);
  }
}

main().catch((error: unknown) => end(EXIT.failed, 'cannot start', error));
