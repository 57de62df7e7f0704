// What a process holds at this moment, by the kernel's word: memory, sockets, segments of shared memory.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Held {
  readonly residentMiB: number;
  readonly sockets: number;
  readonly segments: number;
}

export function heldBy(pid: number): Held {
  const kinds = descriptorsOf(pid);
  return {
    residentMiB: residentMiB(pid),
    sockets: kinds.filter((kind) => kind.startsWith('socket:')).length,
    segments: kinds.filter((kind) => kind.startsWith('/memfd:lepton')).length,
  };
}

export function residentMiB(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

/** Processes, in whatever state, that were started with this text among their arguments. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text) ? [Number(name)] : [];
    } catch {
      return []; // it has ended meanwhile
    }
  });
}

function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
}
