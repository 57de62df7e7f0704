// One run from a checked job to its summary: prepares the folder, starts the job, shows it, stops it on Ctrl-C, records it.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LeptonJob } from '../crds/leptonjob.ts';
import { reasonOf, writeAtomically } from '../worker/formats/atomic-file.ts';
import { type LocalJob, startLocalJob } from '../worker/launch/local-job.ts';
import type { JobResult } from '../worker/protocol/progress.ts';
import { CommandError, EXIT } from './errors.ts';
import { watchInterrupts } from './interrupt.ts';
import { type OutputFolder, prepareFolder } from './output-folder.ts';
import { Course } from './render/course.ts';
import { renderCurvesSvg } from './render/curve.ts';
import { type RunStart, writeResolvedManifest, writeRunRecord } from './run-record.ts';
import { renderCharts, renderSummary, summaryJson } from './run-summary.ts';
import { openRunView, type RunView } from './run-view.ts';

export interface RunSettings {
  readonly output?: string;
  readonly resume?: boolean;
  /** File of the trace. */
  readonly trace?: string;
  readonly outputFormat: 'text' | 'json';
}

/** Returns the exit code; throws what was wrong before anything was started. */
export async function runJob(job: LeptonJob, options: RunSettings): Promise<number> {
  const resume = options.resume ?? false;
  const name = job.metadata.name;
  const output = options.output ?? job.spec.output.uri;
  const startTime = new Date();
  if (options.trace !== undefined) await tryTrace(options.trace);
  const folder = await prepareFolder({
    name,
    resume,
    now: startTime,
    ...(output === undefined ? {} : { output }),
  });
  const start: RunStart = { job, directory: folder.directory, arguments: process.argv.slice(2), startTime };
  await describeRun(start, folder);

  const stream = options.outputFormat === 'json' ? process.stderr : process.stdout;
  const course = new Course();
  const { result, signal } = await runToEnd(start, options, course, stream);
  await keepOutcome(start, folder, course, result);
  if (options.outputFormat === 'json') process.stdout.write(`${summaryJson(name, result)}\n`);
  else for (const line of endLines(name, result, course, stream)) stream.write(`${line}\n`);
  if (options.trace !== undefined) stream.write(`  trace in ${options.trace}\n`);
  if (result.error) process.stderr.write(`lepton: ${result.error.message}\n`);
  if (signal !== undefined) return signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated;
  return result.phase === 'Succeeded' ? EXIT.done : EXIT.failed;
}

/** A trace that holds nothing yet: what cannot be written is said before anything is started. */
async function tryTrace(file: string): Promise<void> {
  await writeFile(file, '[]\n').catch((cause: unknown) => {
    throw new CommandError('OUTPUT_UNWRITABLE', `${file}: cannot be written: ${reasonOf(cause)}`, { cause });
  });
}

/** Says what will run before it does; a disk that cannot take this cannot take results either. */
async function describeRun(start: RunStart, folder: OutputFolder): Promise<void> {
  try {
    await writeResolvedManifest(start);
    await writeRunRecord(start);
  } catch (error) {
    if (folder.isNew) await rm(folder.directory, { recursive: true, force: true });
    throw error;
  }
}

async function runToEnd(
  start: RunStart,
  { resume = false, trace }: RunSettings,
  course: Course,
  stream: NodeJS.WriteStream,
) {
  const { job: manifest, directory } = start;
  const seed = manifest.spec.training.seed;
  using view = openRunView(stream);
  await using job = await startLocalJob({
    name: manifest.metadata.name,
    spec: manifest.spec,
    directory,
    seed,
    resume,
    ...(trace === undefined ? {} : { traceFile: trace }),
  });
  using interrupts = watchInterrupts(
    () => stopInOrder(job, view),
    () => endAtOnce(job),
  );
  job.onLog((line) => view.log(line));
  job.onProgress((progress) => {
    course.add(progress);
    view.progress(progress);
  });
  const result = await job.finished;
  return { result, signal: interrupts.signal };
}

function stopInOrder(job: LocalJob, view: RunView): void {
  view.say('Stopping: writing a checkpoint (Ctrl-C again ends at once)');
  void job.stop();
}

function endAtOnce(job: LocalJob): void {
  void job[Symbol.asyncDispose](); // from here on nothing is started again
  for (const { pid } of [...job.progress.workers, ...job.progress.servers]) {
    if (pid !== undefined) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}

/** A run that failed before its first step leaves no folder behind; every other one keeps what it has. */
async function keepOutcome(
  start: RunStart,
  folder: OutputFolder,
  course: Course,
  result: JobResult,
): Promise<void> {
  if (result.phase === 'Failed' && result.steps === 0 && folder.isNew) {
    await rm(folder.directory, { recursive: true, force: true });
    return;
  }
  const charts = course.charts();
  if (charts.length > 0)
    await writeAtomically(join(folder.directory, 'curve.svg'), [renderCurvesSvg(charts)]);
  await writeRunRecord(start, result);
}

function endLines(name: string, result: JobResult, course: Course, stream: NodeJS.WriteStream): string[] {
  const charts = stream.isTTY ? renderCharts(course, stream.columns ?? 80) : [];
  return [...charts, '', ...renderSummary(name, result)];
}
