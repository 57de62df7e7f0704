// A saved model and the data it is applied to: which folder, which source. Computes nothing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DataSource, LossName } from '../crds/leptonjob.ts';
import { parseDataSource } from '../crds/manifest.ts';
import type { Dataset } from '../worker/data/dataset.ts';
import { openDataset } from '../worker/data/open.ts';
import { Model } from '../worker/model/model.ts';
import type { ModelOptions } from './commands/options.ts';
import { CommandError } from './errors.ts';
import { absolute, readManifest } from './manifest-file.ts';
import { MANIFEST_FILE } from './run-record.ts';

/** @throws CommandError NO_MODEL, ModelError MODEL_FILE_INVALID */
export async function loadModel(folder: string): Promise<Model> {
  for (const file of ['model.json', 'weights.safetensors']) {
    if (existsSync(join(folder, file))) continue;
    const what = `${folder}: expected the folder of a saved model, got one without ${file}`;
    throw new CommandError('NO_MODEL', what);
  }
  return Model.load(folder);
}

/** The samples of --data, or those that the run of the model was measured on. @throws CommandError NO_DATA */
export async function openData(
  folder: string,
  options: ModelOptions,
  loss: LossName | undefined,
): Promise<Dataset> {
  const source = await chooseSource(folder, options.data);
  const limit = Math.min(options.limit ?? Number.POSITIVE_INFINITY, source.limit ?? Number.POSITIVE_INFINITY);
  const limited = Number.isFinite(limit) ? { ...source, limit } : source;
  return openDataset(limited, { seed: 0, training: false, ...(loss ? { loss } : {}) });
}

async function chooseSource(folder: string, data: string | undefined): Promise<DataSource> {
  if (data?.trimStart().startsWith('{')) {
    const source = parseDataSource(data, '--data');
    return { ...source, uri: absolute(source.uri, process.cwd()) };
  }
  const file = data ?? join(folder, MANIFEST_FILE);
  if (data === undefined && !existsSync(file)) {
    const what = `${folder}: expected --data, or a ${MANIFEST_FILE} that says which data the model was measured on, got neither`;
    throw new CommandError('NO_DATA', what);
  }
  const { spec } = await readManifest(file);
  const source = spec.data?.evaluate ?? spec.data?.train;
  if (source) return source;
  throw new CommandError(
    'NO_DATA',
    `${file}: expected spec.data, got a program that supplies its own; use --data`,
  );
}
