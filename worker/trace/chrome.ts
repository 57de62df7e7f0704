// One Chrome trace from the parts that the processes of a job left: opens in Perfetto and chrome://tracing. Spans become complete
// events; a process is a job's process, a thread one of its lanes.
import { createWriteStream } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Phase } from '../../protos/phases.ts';
import { type Part, readPart, type Span } from './part.ts';

/** Phases of one lane never overlap, unless one lies within the other. */
const LANES: Readonly<Record<Phase, string>> = {
  step: 'steps',
  data: 'compute',
  compute: 'compute',
  evaluate: 'compute',
  encode: 'push',
  push: 'push',
  wait: 'wait',
  pull: 'pull',
  receive: 'receive',
  sum: 'update',
  update: 'update',
  send: 'send',
};
/** From top to bottom; the lanes of what a server receives, one for each worker, come last. */
const ORDER = ['steps', 'compute', 'push', 'wait', 'pull', 'update', 'send'];

/** Replaces `path`; it is there whole or as it was. */
export async function writeChromeTrace(folder: string, path: string): Promise<void> {
  const names = (await readdir(folder)).sort();
  const parts = await Promise.all(names.map((name) => readPart(join(folder, name))));
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const text = chromeTrace(parts.filter((part) => part !== undefined));
    await pipeline(Readable.from(text), createWriteStream(temporary));
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The text of the trace, an event a line. Time 0 is the begin of the earliest span. */
export function* chromeTrace(parts: readonly Part[]): Generator<string> {
  const zeroMs = parts
    .flatMap(({ spans }) => spans)
    .reduce((least, { fromMs }) => Math.min(least, fromMs), Number.POSITIVE_INFINITY);
  yield '[';
  let separator = '\n';
  for (const part of parts) {
    for (const event of [...describe(part), ...part.spans.map((span) => complete(part, span, zeroMs))]) {
      yield separator + JSON.stringify(event);
      separator = ',\n';
    }
  }
  yield '\n]\n';
}

function complete({ process: pid }: Part, { phase, step, fromMs, milliseconds, rank }: Span, zeroMs: number) {
  const about = phase === 'receive' ? 'worker' : 'last';
  return {
    name: phase,
    ph: 'X',
    pid,
    tid: laneOf(phase, rank).tid,
    ts: microseconds(fromMs - zeroMs),
    dur: microseconds(milliseconds),
    args: { step, ...(rank === undefined ? {} : { [about]: rank }) },
  };
}

/** Names of a process and of its lanes, and their order: servers first, then workers. */
function* describe({ role, rank, attempt, process: pid, spans, overwritten }: Part) {
  const metadata = (name: string, args: object, tid = 0) => ({ name, ph: 'M', pid, tid, args });
  const start = attempt === 0 ? '' : `, start ${attempt + 1}`;
  yield metadata('process_name', { name: `${role} ${rank}${start}` });
  yield metadata('process_sort_index', { sort_index: role === 'server' ? rank : 10_000 + rank });
  if (overwritten > 0)
    yield metadata('process_labels', { labels: `${overwritten} older spans were not kept` });
  const lanes = new Map(
    spans.map(({ phase, rank: about }) => [laneOf(phase, about).tid, laneOf(phase, about).name]),
  );
  for (const [tid, name] of lanes) {
    yield metadata('thread_name', { name }, tid);
    yield metadata('thread_sort_index', { sort_index: tid }, tid);
  }
}

function laneOf(phase: Phase, rank = 0): { tid: number; name: string } {
  const name = LANES[phase];
  if (name === 'receive') return { tid: 100 + rank, name: `from worker ${rank}` };
  return { tid: 1 + ORDER.indexOf(name), name };
}

/** To the nanosecond. */
function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1e6) / 1e3;
}
