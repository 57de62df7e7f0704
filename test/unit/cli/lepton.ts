// Runs the command as a user does, as a process of its own, and gives what it said.
import { execFile } from 'node:child_process';
import { join } from 'node:path';

const MAIN = join(import.meta.dirname, '../../../cli/main.ts');

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `wrapper` is a command that gets ours as its arguments, such as one that sets limits. */
export function lepton(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number; wrapper?: readonly string[] } = {},
): Promise<Said> {
  const { cwd = process.cwd(), env = {}, timeoutMs = 60_000, wrapper = [] } = options;
  const [file, ...rest] = [...wrapper, process.execPath, MAIN, ...args] as [string, ...string[]];
  return new Promise((resolve, reject) => {
    const settings = { cwd, env: { ...process.env, LEPTON_DEBUG: '', ...env }, timeout: timeoutMs };
    execFile(file, rest, settings, (error, stdout, stderr) => {
      if (error?.killed || typeof (error?.code ?? 0) !== 'number') reject(error ?? new Error('unreachable'));
      else resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}
