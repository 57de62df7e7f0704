// What a process measures of itself: phases always, spans where its config names a file for them.
import { threadId } from 'node:worker_threads';
import type { RoleConfig } from '../../protos/role-config.ts';
import type { Log } from '../roles/log.ts';
import { PartWriter } from './part.ts';
import { PhaseClock } from './phase-times.ts';

/** A server inside a worker's process is pictured as a process of its own, under a number that no process has. */
const MOST_PROCESSES = 2 ** 22;

/** A trace that cannot be written is a warning: training goes on. */
export function openTrace(config: RoleConfig, log: Log): PhaseClock {
  const { traceFile: path, role, rank, attempt } = config;
  if (path === undefined) return new PhaseClock();
  const failed = (error: Error): void =>
    log('warning', 'time is not traced any more', { error: error.message });
  const pid = process.pid + threadId * MOST_PROCESSES;
  try {
    const part = new PartWriter({ path, role, rank, attempt, process: pid, failed });
    process.once('exit', () => part[Symbol.dispose]());
    return new PhaseClock(part);
  } catch (error) {
    failed(error as Error);
    return new PhaseClock();
  }
}
