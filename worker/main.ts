// The entry point of every process of a job: reads its RoleConfig, runs its role, leaves its last words, ends
// with a code of the table.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { engine } from '../native/engine.ts';
import { EXIT } from '../protos/exit-codes.ts';
import type { LastWords, RoleConfig } from '../protos/role-config.ts';
import { codeOf, exitCodeOf } from './roles/exit-codes.ts';
import { HostedServer, hostedBy } from './roles/hosted-server.ts';
import { FATAL, type Log, stderrLog } from './roles/log.ts';
import { openWorkload } from './roles/open-workload.ts';
import { readRoleConfig } from './roles/read-config.ts';
import { type Leaving, runServer } from './roles/run-server.ts';
import { Trainer } from './roles/trainer.ts';

async function main(argv: readonly string[]): Promise<void> {
  const { config, path } = readRoleConfig(argv);
  const log = stderrLog(`${config.role}-${config.rank}`);
  const end = (error: unknown): never => fail(log, error, config.lastWordsFile);
  if (config.exitWithParent) endWithParent(dirname(path));
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
  const leaving = endInOrder(config);
  try {
    const words = await run(config, log, leaving);
    if (words) leave(words, config.lastWordsFile);
    process.exit(EXIT.done);
  } catch (error) {
    end(error);
  }
}

async function run(config: RoleConfig, log: Log, leaving: Leaving): Promise<LastWords | undefined> {
  if (config.role === 'server') return await runServer(config, engine, log, leaving);
  const hosted = hostedBy(config);
  if (!hosted) return await train(config, log, leaving);
  const server = new HostedServer(hosted);
  const trained = train(config, log, leaving, server);
  // Whichever fails first ends the process; the server outlives the worker's last step.
  await Promise.race([trained, server.ended.then(() => trained)]);
  return await server.ended;
}

async function train(
  config: RoleConfig,
  log: Log,
  leaving: Leaving,
  server?: HostedServer,
): Promise<LastWords | undefined> {
  await using workload = await openWorkload(config, engine);
  const trainer = new Trainer(config, workload, log);
  // The server's checkpoint needs this worker's share, so it comes first.
  leaving.prepare = async () => {
    await server?.leave();
    await trainer.leave();
  };
  const end = await trainer.run();
  if (end === 'terminated') process.exit(EXIT.terminated);
  return end === 'leave' ? { phase: 'Left' } : undefined;
}

/**
 * On SIGTERM (an eviction, a drained node) a role brings to an end what it has under way, as long as it may take. The first process
 * of a container ignores the signal unless it says otherwise.
 */
function endInOrder({ deadlines }: RoleConfig): Leaving {
  const leaving: Leaving = { prepare: async () => {} };
  process.once('SIGTERM', () => {
    const end = (): never => process.exit(EXIT.terminated);
    setTimeout(end, deadlines.leaveSeconds * 1000);
    leaving.prepare().then(end, end);
  });
  return leaving;
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

function fail(log: Log, error: unknown, lastWordsFile?: string): never {
  const code = codeOf(error) ?? 'INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const stack = code === 'INTERNAL' && error instanceof Error ? { stack: error.stack } : {};
  log('error', FATAL, { code, error: message, ...stack });
  leave({ phase: 'Failed', code, message: message.slice(0, 2000) }, lastWordsFile);
  process.exit(exitCodeOf(error));
}

/** Best effort: a process that cannot leave words must end all the same. */
function leave(words: LastWords, file: string | undefined): void {
  if (file === undefined) return;
  try {
    writeFileSync(file, JSON.stringify(words));
  } catch {
    // the log has said the same
  }
}

main(process.argv.slice(2)).catch((error: unknown) => fail(stderrLog('process'), error));
