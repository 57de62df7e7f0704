// A model and arrays as files, and back in another process: what distributedTrain gives its workers. Trains nothing.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fromArrays } from '../data/arrays.ts';
import type { Dataset } from '../data/dataset.ts';
import { splitDataset } from '../data/views.ts';
import { bytesOf, type NamedTensor, readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import type { Program } from '../model/from-spec.ts';
import { Model } from '../model/model.ts';
import type { Tensor } from '../model/tensor.ts';

/** The module that a worker runs; it holds nothing but a call of `takeOver`. */
export const PROGRAM_FILE = 'program.ts';
const DATA_FILE = 'data.safetensors';

export interface HandedOver {
  readonly x: readonly Tensor[];
  readonly y: readonly Tensor[];
  readonly validation?: { readonly x: readonly Tensor[]; readonly y: readonly Tensor[] };
  readonly validationSplit?: number;
}

/**
 * Writes everything that `takeOver` needs into `folder`. Builds the model from the arrays where that is still open.
 * @throws DataError, ModelError where arrays and model do not fit.
 */
export async function handOver(folder: string, model: Model, data: HandedOver): Promise<void> {
  const { validation, validationSplit } = data;
  model.build(fromArrays(data.x, data.y).inputs);
  await model.save(join(folder, 'model'));
  const tensors = [...named('x', data.x), ...named('y', data.y)];
  if (validation) tensors.push(...named('validationX', validation.x), ...named('validationY', validation.y));
  const metadata = validationSplit === undefined ? {} : { validationSplit: String(validationSplit) };
  await writeSafetensors(join(folder, DATA_FILE), tensors, metadata);
  const own = JSON.stringify(pathToFileURL(import.meta.filename).href);
  await writeFile(
    join(folder, PROGRAM_FILE),
    `import { takeOver } from ${own};\nexport default takeOver(import.meta.dirname);\n`,
  );
}

function named(kind: string, tensors: readonly Tensor[]): NamedTensor[] {
  return tensors.map(({ data, shape }, i) => ({
    name: `${kind}.${i}`,
    dtype: data instanceof Int32Array ? 'I32' : 'F32',
    shape,
    data: bytesOf(data),
  }));
}

/**
 * The program of a folder that `handOver` wrote, called by the module in it.
 * @public
 */
export function takeOver(folder: string): Program {
  return async ({ seed }) => {
    const [model, { tensors, metadata }] = await Promise.all([
      Model.load(join(folder, 'model')),
      readSafetensors(join(folder, DATA_FILE)),
    ]);
    const of = (kind: string): Tensor[] => numbered(kind, tensors);
    const all = fromArrays(of('x'), of('y'));
    const split = metadata['validationSplit'];
    if (split !== undefined) {
      const [train, evaluate] = splitDataset(all, Number(split), seed);
      return { model, data: { train, evaluate } };
    }
    const measured = of('validationX');
    const evaluate: Dataset | undefined =
      measured.length > 0 ? fromArrays(measured, of('validationY')) : undefined;
    return { model, data: { train: all, ...(evaluate ? { evaluate } : {}) } };
  };
}

/** The tensors `kind.0`, `kind.1`, ... */
function numbered(kind: string, tensors: ReadonlyMap<string, NamedTensor>): Tensor[] {
  const found: Tensor[] = [];
  for (let next = tensors.get(`${kind}.0`); next; next = tensors.get(`${kind}.${found.length}`))
    found.push(tensorOf(next));
  return found;
}

function tensorOf({ dtype, data, shape }: NamedTensor): Tensor {
  const { buffer } = Uint8Array.from(data); // aligned
  return { data: dtype === 'I32' ? new Int32Array(buffer) : new Float32Array(buffer), shape };
}
