// One life of an operator behind a proxy of its own: a process of its own, which a test can kill, or an object in this process, whose
// death is that its connections break for good.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Daemon, until } from '../cluster/daemon.ts';
import { FaultProxy } from './fault-proxy.ts';
import type { Fleet, OperatorInput } from './fleet.ts';

const MAIN = join(import.meta.dirname, '../../operator/main.ts');
const START_MS = 60_000;
let lives = 0;

interface ProcessLife extends Life {
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  ended(): boolean;
}

export interface Life {
  readonly proxy: FaultProxy;
  /** SIGKILL, or what it looks like from the server. */
  die(): void;
  /** SIGTERM, and what is left is tidied up. */
  stop(): Promise<void>;
}

export async function startHere(fleet: Fleet, config: OperatorInput): Promise<Life> {
  const proxy = await FaultProxy.start(fleet.plane);
  const operator = fleet.makeOperator(config, proxy.kubeConfig);
  await operator.start();
  return {
    proxy,
    die: () => proxy.kill(),
    stop: async () => {
      await operator.stop().catch(() => {});
      await proxy[Symbol.asyncDispose]();
    },
  };
}

/** Resolves when it has seen everything; whether it leads is another matter. */
export async function startProcess(fleet: Fleet, config: OperatorInput): Promise<ProcessLife> {
  const proxy = await FaultProxy.start(fleet.plane);
  const file = (ending: string): string => join(fleet.plane.folder, `operator-${id}.${ending}`);
  const id = ++lives;
  await writeFile(file('json'), JSON.stringify(fleet.configOf(config)));
  await writeFile(file('kubeconfig'), proxy.kubeConfig.exportConfig(), { mode: 0o600 });
  const daemon = new Daemon({
    name: 'operator',
    command: [process.execPath, MAIN, '--config', file('json'), '--kubeconfig', file('kubeconfig')],
    logFile: file('log'),
  });
  const stop = async (): Promise<void> => {
    await daemon.stop();
    await proxy[Symbol.asyncDispose]();
    for (const ending of ['json', 'kubeconfig', 'log']) await rm(file(ending), { force: true });
  };
  try {
    const started = (): boolean | undefined => daemon.lastWords.includes('caches are filled') || undefined;
    await until('the operator has started', START_MS, started, daemon);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    proxy,
    die: () => daemon.signal('SIGKILL'),
    stop,
    signal: (signal) => daemon.signal(signal),
    ended: () => !daemon.running,
  };
}
