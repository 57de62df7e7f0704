// What a finished job leaves in its output folder: model.json, weights.safetensors, history.json, metrics.json, TensorBoard
// events. The weights come from the last checkpoint, so that no further transfer exists. model.json is written last: a folder
// that has it is complete.
import { join } from 'node:path';
import type { RoleConfig } from '../../protos/role-config.ts';
import type { Checkpoints } from '../checkpoint/checkpoints.ts';
import { writeAtomically } from '../formats/atomic-file.ts';
import { EventWriter } from '../formats/tensorboard.ts';
import type { ModelConfig } from '../model/config.ts';
import { saveModelFiles } from '../model/persist.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Log } from './log.ts';
import type { Plan } from './plan.ts';
import type { ReportedProgress } from './progress-board.ts';

export interface Results {
  readonly config: RoleConfig;
  readonly checkpoints: Checkpoints;
  readonly plan: Plan;
  /** Of the last checkpoint. */
  readonly folder: string;
  readonly progress: ReportedProgress;
  readonly log: Log;
}

/** Throws OUTPUT_WRITE_FAILED naming the file. */
export async function writeResults({
  config,
  checkpoints,
  plan,
  folder,
  progress,
  log,
}: Results): Promise<void> {
  const arena = await readArena(checkpoints, folder, plan.layout.length);
  const { directory } = config;
  try {
    await writeJson(join(directory, 'history.json'), progress.history);
    await writeJson(join(directory, 'metrics.json'), summaryOf(config, progress));
    writeEvents(join(directory, 'tensorboard'), progress);
    await saveModelFiles(directory, plan.model as ModelConfig, arena, plan.layout);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new RuntimeError('OUTPUT_WRITE_FAILED', `output: ${message}`, { cause });
  }
  log('info', 'results written', { directory });
}

/** All parameters of a checkpoint in arena order. */
export async function readArena(
  checkpoints: Checkpoints,
  folder: string,
  length: number,
): Promise<Float32Array> {
  const arena = new Float32Array(length);
  const { files } = await checkpoints.manifest(folder);
  for (const file of files) {
    const { from, tensors } = await checkpoints.readShard(folder, file);
    arena.set(tensors['parameters']!, from);
  }
  return arena;
}

function summaryOf({ job, seed }: RoleConfig, progress: ReportedProgress): unknown {
  const { step, epochs, history, evaluation, workerCount: workers } = progress;
  const seconds = history.reduce((sum, record) => sum + record.seconds, 0);
  const samples = history.reduce((sum, record) => sum + (record.samples ?? 0), 0);
  return {
    name: job.name,
    seed,
    workers,
    steps: step,
    epochs,
    seconds,
    samples,
    samplesPerSecond: seconds > 0 ? samples / seconds : 0,
    train: history.at(-1)?.train ?? {},
    evaluate: evaluation,
  };
}

function writeEvents(folder: string, { history }: ReportedProgress): void {
  const events = new EventWriter(folder);
  for (const { step, train, evaluate = {}, samplesPerSecond } of history) {
    for (const [name, value] of Object.entries(train)) events.scalar(`train/${name}`, value, step);
    for (const [name, value] of Object.entries(evaluate)) events.scalar(`evaluate/${name}`, value, step);
    events.scalar('speed/samplesPerSecond', samplesPerSecond, step);
  }
}

async function writeJson(path: string, content: unknown): Promise<void> {
  await writeAtomically(path, [`${JSON.stringify(content, undefined, 2)}\n`]);
}
