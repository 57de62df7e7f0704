// Waits for a job on a cluster, telling what changes. Reads the job every second: a command has no need of a watch.
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { type Connection, readJob } from './connection.ts';

const EVERY_MS = 1000;

/** Resolves with the finished job; `onChange` gets every state that differs from the one before. */
export async function waitForEnd(
  connection: Connection,
  name: string,
  onChange: (job: LeptonJobObject) => void,
): Promise<LeptonJobObject> {
  let known = '';
  for (;;) {
    const job = await readJob(connection, name);
    if (job.metadata.resourceVersion !== known) onChange(job);
    known = job.metadata.resourceVersion;
    if (job.status?.phase === 'Succeeded' || job.status?.phase === 'Failed') return job;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

/** One line: what a person who waits wants to know. */
export function progressLine({ metadata, status = {} }: LeptonJobObject): string {
  const { phase = 'Pending', waiting, progress } = status;
  const where = progress && phase === 'Running' ? ` step ${progress.step}/${progress.steps}` : '';
  const loss = progress?.loss !== undefined && phase === 'Running' ? ` loss ${progress.loss}` : '';
  const on = waiting ? ` (${waiting.on}: ${waiting.message})` : '';
  return `${metadata.name}: ${phase}${where}${loss}${on}`;
}
