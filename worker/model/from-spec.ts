// The model that a job asks for: layers of the manifest, a saved model, or a program of the user's.
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { ModelSpec, TrainingSpec } from '../../crds/leptonjob.ts';
import type { Dataset } from '../data/dataset.ts';
import { ModelError } from './errors.ts';
import { layerFromSpec } from './layers.ts';
import { Model, Sequential } from './model.ts';

/** What a program's default export is called with. */
export interface ProgramContext {
  readonly seed: number;
  readonly rank: number;
  readonly workers: number;
}

/** What it returns: a model, or a model with its own data. */
export interface ProgramData {
  readonly train: Dataset;
  readonly evaluate?: Dataset;
}
export type Program = (
  context: ProgramContext,
) => Model | { model: Model; data?: ProgramData } | Promise<Model | { model: Model; data?: ProgramData }>;

export interface ModelFromSpec {
  readonly model: Model;
  /** Only of programs that supply it. */
  readonly data?: ProgramData;
}

/**
 * Makes the model and compiles it with the job's training settings. It is built by `model.build(data.inputs)` afterwards.
 * @throws ModelError naming the layer, file or module.
 */
export async function modelFromSpec(
  spec: ModelSpec,
  training: TrainingSpec,
  context: ProgramContext,
): Promise<ModelFromSpec> {
  const made = await makeModel(spec, context);
  const { loss, optimizer, schedule, metrics, clipNorm, clipValue } = training;
  made.model.compile({
    loss,
    optimizer,
    metrics,
    ...(schedule ? { schedule } : {}),
    ...(clipNorm === undefined ? {} : { clipNorm }),
    ...(clipValue === undefined ? {} : { clipValue }),
  });
  return made;
}

async function makeModel(
  { layers, source, program }: ModelSpec,
  context: ProgramContext,
): Promise<ModelFromSpec> {
  if (layers) return { model: new Sequential(layers.map(layerFromSpec), { seed: context.seed }) };
  if (source) return { model: await Model.load(pathOf(source.uri)) };
  if (program) return runProgram(pathOf(program.module), context);
  throw new ModelError(
    'TRAINING_INVALID',
    'model: expected exactly one of layers, source, program, got none',
  );
}

function pathOf(uri: string): string {
  const path = uri.startsWith('file://') ? fileURLToPath(uri) : uri;
  return isAbsolute(path) ? path : resolve(path);
}

async function runProgram(path: string, context: ProgramContext): Promise<ModelFromSpec> {
  const bad = (what: string, cause?: unknown): never => {
    throw new ModelError('PROGRAM_INVALID', `model.program ${path}: ${what}`, { cause });
  };
  let program: unknown;
  try {
    program = ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
  } catch (error) {
    return bad(`cannot be loaded: ${(error as Error).message}`, error);
  }
  if (typeof program !== 'function')
    return bad(`expected a function as default export, got ${typeof program}`);
  let made: unknown;
  try {
    made = await (program as Program)(context);
  } catch (error) {
    return bad(`failed: ${(error as Error).message}`, error);
  }
  if (made instanceof Model) return { model: made };
  const { model, data } = (made ?? {}) as { model?: unknown; data?: ProgramData };
  if (!(model instanceof Model))
    return bad('expected a Model or {model, data} as result, got something else');
  return data ? { model, data } : { model };
}
