// What makes a run repeatable: the resolved manifest and run.json (versions, seed, machine, outcome). No training results.
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { LeptonJob } from '../crds/leptonjob.ts';
import { engine } from '../native/engine.ts';

import { writeAtomically } from '../worker/formats/atomic-file.ts';
import type { JobPhase, JobResult } from '../worker/protocol/progress.ts';
import { leptonVersion } from './version.ts';

export const RECORD_FILE = 'run.json';
export const MANIFEST_FILE = 'leptonjob.yaml';

export interface RunStart {
  readonly job: LeptonJob;
  readonly directory: string;
  readonly arguments: readonly string[];
  readonly startTime: Date;
}

/** The manifest with every default, override and path resolved: `lepton run` on it repeats the run. */
export async function writeResolvedManifest({ job, directory }: RunStart): Promise<void> {
  // The folder of this run is not part of what to repeat.
  const { uri: _, ...output } = job.spec.output;
  const repeatable = { ...job, spec: { ...job.spec, output } };
  const text = stringify(repeatable, { lineWidth: 110, aliasDuplicateObjects: false });
  await writeAtomically(join(directory, MANIFEST_FILE), [text]);
}

/** Written at the start, and again with the result at the end. */
export async function writeRunRecord(start: RunStart, result?: JobResult): Promise<void> {
  const { job } = start;
  const record = {
    format: 'lepton/run',
    version: 1,
    name: job.metadata.name,
    seed: job.spec.training.seed,
    command: ['lepton', ...start.arguments],
    startTime: start.startTime.toISOString(),
    ...(result ? { completionTime: new Date().toISOString() } : {}),
    status: statusOf(result),
    ...(result ? { result: resultOf(result) } : {}),
    versions: { lepton: leptonVersion(), node: process.versions.node, ...engine.versions },
    machine: {
      platform: process.platform,
      architecture: process.arch,
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
    },
  };
  await writeAtomically(join(start.directory, RECORD_FILE), [`${JSON.stringify(record, null, 2)}\n`]);
}

function statusOf(result: JobResult | undefined): { phase: JobPhase; message?: string } {
  if (!result) return { phase: 'Starting' };
  return { phase: result.phase, ...(result.error ? { message: result.error.message } : {}) };
}

function resultOf({ steps, epochs, train, evaluate, samplesPerSecond, seconds, error }: JobResult) {
  return { steps, epochs, train, evaluate, samplesPerSecond, seconds, ...(error ? { error } : {}) };
}
