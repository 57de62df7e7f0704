// From what a coordinator sends to what decisions and the status may be made of. It runs code of users: whatever it says, no number
// is none, out of bounds or below zero, and no text or list is longer than the API server takes. Pure.
import { BOUNDS, type PhaseTimes } from '../../protos/phases.ts';
import type { Report, Waits } from './job.ts';

/** As `crds/status.ts` has it for ratios and reals. */
const LARGEST = 1e18;
const LONGEST_TEXT = 4096;
const LONGEST_URI = 1024;
/** More than a job may have workers. */
const MOST_WORKERS = 2048;

/** Those that make up a step; what else a coordinator tells of is in its trace. No name is in both. */
const STEP_PHASES = { worker: ['compute', 'encode', 'push', 'wait', 'pull'], server: ['update'] } as const;

/** A decoded JobProgress, with every field that protobuf has a default for. */
export type Heard = Omit<Report, 'heardMs' | 'phases'> & {
  readonly workerPhases?: readonly PhaseTimes[];
  readonly serverPhases?: readonly PhaseTimes[];
};

export function reportOf(heard: Heard, heardMs: number): Report {
  const { loss, remainingSeconds, workerCount, message, errorCode, checkpoint, waits } = heard;
  return {
    phase: heard.phase,
    step: count(heard.step),
    steps: count(heard.steps),
    epoch: count(heard.epoch),
    samplesPerSecond: amount(heard.samplesPerSecond),
    metrics: reals(heard.metrics),
    evaluation: reals(heard.evaluation),
    ...(workerCount === undefined ? {} : { workerCount: count(workerCount) }),
    ...(loss === undefined ? {} : { loss: real(loss) }),
    ...(remainingSeconds === undefined ? {} : { remainingSeconds: amount(remainingSeconds) }),
    ...(message === undefined ? {} : { message: text(message, LONGEST_TEXT) }),
    ...(errorCode === undefined ? {} : { errorCode: text(errorCode, LONGEST_TEXT) }),
    ...(checkpoint === undefined ? {} : { checkpoint: checkpoint && checkpointOf(checkpoint) }),
    ...(waits === undefined ? {} : { waits: waits && waitsOf(waits) }),
    checkpointSeconds: amount(heard.checkpointSeconds ?? 0),
    phases: [
      ...phasesOf(heard.workerPhases, STEP_PHASES.worker),
      ...phasesOf(heard.serverPhases, STEP_PHASES.server),
    ],
    heardMs,
  };
}

function checkpointOf({ step, uri, failing }: NonNullable<Report['checkpoint']>) {
  return {
    step: count(step),
    uri: text(uri, LONGEST_URI),
    ...(failing === undefined ? {} : { failing: text(failing, LONGEST_TEXT) }),
  };
}

function waitsOf({ silent, absent, awaited, standingSeconds }: Waits): Waits {
  return {
    silent: silent
      .slice(0, MOST_WORKERS)
      .map(({ seconds, ...worker }) => ({ ...worker, seconds: amount(seconds) })),
    absent: absent.slice(0, MOST_WORKERS),
    awaited: awaited.slice(0, MOST_WORKERS),
    standingSeconds: amount(standingSeconds),
  };
}

/** Each once. Buckets that are others than ours are those of another version: nothing can be said of them. */
function phasesOf(told: readonly PhaseTimes[] = [], known: readonly string[]): PhaseTimes[] {
  return known.flatMap((phase) => {
    const times = told.find((each) => each.phase === phase);
    if (times?.counts.length !== BOUNDS.length + 1) return [];
    return [{ phase, counts: times.counts.map(count), seconds: amount(times.seconds) }];
  });
}

function real(value: number): number {
  return Number.isNaN(value) ? 0 : Math.max(-LARGEST, Math.min(LARGEST, value));
}

function amount(value: number): number {
  return Math.max(0, real(value));
}

function count(value: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.floor(amount(value)));
}

function reals(values: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, real(value)]));
}

/** No half of a character is left at the cut: the server would make another one of it, and every pass would write it anew. */
export function text(words: string, longest: number): string {
  return words.slice(0, longest).toWellFormed();
}
