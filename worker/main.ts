// The entry point of every process of a job: reads its RoleConfig, runs its role, ends with a code of the table. No flags
// beside --config.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { engine } from '../native/engine.ts';
import { RuntimeError } from './protocol/errors.ts';
import { codeOf, EXIT, exitCodeOf } from './roles/exit-codes.ts';
import { FATAL, type Log, stderrLog } from './roles/log.ts';
import { openWorkload } from './roles/open-workload.ts';
import { type RoleConfig, readRoleConfig } from './roles/role-config.ts';
import { runServer } from './roles/run-server.ts';
import { Trainer } from './roles/trainer.ts';

async function main(argv: readonly string[]): Promise<void> {
  const [flag, path] = argv;
  if (flag !== '--config' || !path)
    throw new RuntimeError('BAD_ROLE_CONFIG', `arguments: expected --config FILE, got ${argv.join(' ')}`);
  const config = readRoleConfig(path);
  const log = stderrLog(`${config.role}-${config.rank}`);
  if (config.exitWithParent) endWithParent(dirname(path));
  process.on('uncaughtException', (error) => fail(log, error));
  process.on('unhandledRejection', (error) => fail(log, error));
  try {
    await run(config, log);
    process.exit(EXIT.done);
  } catch (error) {
    fail(log, error);
  }
}

async function run(config: RoleConfig, log: Log): Promise<void> {
  if (config.role === 'server') {
    await runServer(config, engine, log);
    return;
  }
  await using workload = await openWorkload(config, engine);
  await new Trainer(config, workload, log).run();
}

/**
 * The launcher holds the other end of standard input; when it dies, however it dies, the pipe ends. Its folder of role
 * configs, tokens among them, is then removed by whoever notices.
 */
function endWithParent(configs: string): void {
  const end = (): void => {
    rmSync(configs, { recursive: true, force: true });
    process.exit(EXIT.orphaned);
  };
  process.stdin.resume();
  process.stdin.on('end', end);
  process.stdin.on('error', end);
}

function fail(log: Log, error: unknown): never {
  const code = codeOf(error) ?? 'INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const stack = code === 'INTERNAL' && error instanceof Error ? { stack: error.stack } : {};
  log('error', FATAL, { code, error: message, ...stack });
  process.exit(exitCodeOf(error));
}

main(process.argv.slice(2)).catch((error: unknown) => fail(stderrLog('process'), error));
