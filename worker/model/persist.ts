// A saved model is a folder: model.json (the net and its settings) and weights.safetensors (parameters by name).
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArenaLayout } from '../../native/engine.ts';
import { reasonOf, writeAtomically } from '../formats/atomic-file.ts';
import { bytesOf, floatsOf, readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import type { ModelConfig } from './config.ts';
import { ModelError } from './errors.ts';
import { type Tensor, tensor } from './tensor.ts';

const MAX_CONFIG_BYTES = 64 * 1024 * 1024;

/** Weights first, model.json last: a folder with a model.json is complete. */
export async function saveModelFiles(
  folder: string,
  config: ModelConfig,
  arena: Float32Array,
  layout: ArenaLayout,
): Promise<void> {
  const tensors = layout.entries.map(({ name, shape, offset, length }) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: bytesOf(arena.subarray(offset, offset + length)),
  }));
  await writeSafetensors(join(folder, 'weights.safetensors'), tensors, { format: 'lepton' });
  await writeAtomically(join(folder, 'model.json'), [`${JSON.stringify(config, undefined, 2)}\n`]);
}

/** @throws ModelError MODEL_FILE_INVALID naming the file. */
export async function loadModelFiles(
  folder: string,
): Promise<{ config: unknown; weights: Map<string, Tensor> }> {
  const path = join(folder, 'model.json');
  let config: unknown;
  try {
    const text = await readFile(path, 'utf8');
    if (text.length > MAX_CONFIG_BYTES)
      throw new Error(`expected at most ${MAX_CONFIG_BYTES} bytes, got ${text.length}`);
    config = JSON.parse(text);
  } catch (error) {
    throw new ModelError('MODEL_FILE_INVALID', `${path}: not a saved model: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const { tensors } = await readSafetensors(join(folder, 'weights.safetensors'));
  const weights = new Map<string, Tensor>();
  for (const [name, stored] of tensors) {
    weights.set(
      name,
      stored.shape.length === 0
        ? { data: floatsOf(stored), shape: [] }
        : tensor(floatsOf(stored), stored.shape),
    );
  }
  return { config, weights };
}
