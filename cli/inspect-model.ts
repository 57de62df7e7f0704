// What `lepton inspect` prints of a saved model: layers, arrays, training settings. Computes nothing with it.
import { join } from 'node:path';
import { readSafetensors } from '../worker/formats/safetensors.ts';
import { renderTable } from './render/table.ts';
import { loadModel } from './saved-model.ts';

export interface InspectOptions {
  readonly outputFormat: 'text' | 'json';
}

export async function inspectModel(folder: string, { outputFormat }: InspectOptions): Promise<string> {
  const model = await loadModel(folder);
  const { tensors } = await readSafetensors(join(folder, 'weights.safetensors'));
  const arrays = [...tensors.values()].map(({ name, dtype, shape, data }) => ({
    name,
    dtype,
    shape,
    bytes: data.byteLength,
  }));
  const { training } = model.toJSON();
  if (outputFormat === 'json') {
    const { name, inputs, layers, outputs } = model.toJSON();
    const content = {
      name,
      inputs,
      layers,
      outputs,
      parameters: model.countParameters(),
      weights: arrays,
      training,
    };
    return `${JSON.stringify(content)}\n`;
  }
  const table = renderTable(
    [{ title: 'weights' }, { title: 'type' }, { title: 'shape' }],
    arrays.map(({ name, dtype, shape }) => [name, dtype, `(${shape.join(', ')})`]),
  );
  const settings = training ? ['', `Trained with ${JSON.stringify(training)}`] : [];
  return `${[model.summary(), '', ...table, ...settings].join('\n')}\n`;
}
