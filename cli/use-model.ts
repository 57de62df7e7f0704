// A saved model at work in this process: measured on data, applied to data. The numbers are the model's own.
import type { LossName } from '../crds/leptonjob.ts';
import type { Dataset } from '../worker/data/dataset.ts';
import type { Model } from '../worker/model/model.ts';
import type { Tensor } from '../worker/model/tensor.ts';
import type { ModelOptions } from './commands/options.ts';
import { CommandError } from './errors.ts';
import { formatMetric } from './render/format.ts';
import { renderTable } from './render/table.ts';
import { loadModel, openData } from './saved-model.ts';

/** What `lepton evaluate` prints. */
export async function evaluateModel(folder: string, options: ModelOptions): Promise<string> {
  const model = await loadModel(folder);
  const loss = model.compiled.config.losses[0]?.loss;
  await using data = await openData(folder, options, loss);
  const values = await model.evaluate(data, undefined, { batchSize: options.batchSize });
  if (options.outputFormat === 'json')
    return `${JSON.stringify({ model: folder, samples: data.length, values })}\n`;
  const rows = Object.entries(values).map(([name, value]) => [name, formatMetric(value)]);
  const table = renderTable(
    [{ title: 'value' }, { title: `on ${data.length} samples`, align: 'right' }],
    rows,
  );
  return `${table.join('\n')}\n`;
}

interface Prediction {
  readonly index: number;
  readonly outputs: readonly number[];
  readonly class?: string;
  readonly probability?: number;
  readonly label?: string;
}

/** What `lepton predict` prints. */
export async function predictModel(folder: string, options: ModelOptions): Promise<string> {
  const model = await loadModel(folder);
  const kind = kindOf(model);
  await using data = await openData(folder, options, LOSS_OF[kind]);
  const output = await model.predict(data, { batchSize: options.batchSize });
  if (Array.isArray(output)) {
    const what = `${folder}: expected a model with one output, got ${output.length}; use it from TypeScript`;
    throw new CommandError('USAGE', what);
  }
  const labels = await labelsOf(data, kind);
  const predictions = rowsOf(output as Tensor).map((outputs, index) => ({
    index,
    outputs,
    ...classOf(outputs, kind, data.classNames),
    ...(labels ? { label: nameOf(labels[index] as number, data.classNames) } : {}),
  }));
  if (options.outputFormat === 'json') return `${JSON.stringify({ model: folder, predictions })}\n`;
  return `${renderPredictions(predictions).join('\n')}\n`;
}

/** What the last node of a net says about its outputs. */
type OutputKind = 'classes' | 'yesNo' | 'values';

const LOSS_OF: Readonly<Record<OutputKind, LossName>> = {
  classes: 'sparseCategoricalCrossentropy',
  yesNo: 'binaryCrossentropy',
  values: 'meanSquaredError',
};

function kindOf(model: Model): OutputKind {
  const { nodes, outputs } = model.graph;
  const last = nodes.find(({ name }) => name === outputs[0]);
  if (last?.op === 'softmax') return 'classes';
  return last?.op === 'sigmoid' && model.network.outputShapes[0]?.join() === '1' ? 'yesNo' : 'values';
}

/** Samples read at once: their inputs come along. */
const LABEL_BATCH = 1024;

/** One true class per sample, where the data knows it. */
async function labelsOf(data: Dataset, kind: OutputKind): Promise<ArrayLike<number> | undefined> {
  if (kind === 'values' || data.targets.length !== 1 || data.length === 0) return undefined;
  const labels = new Float64Array(data.length);
  for (let from = 0; from < data.length; from += LABEL_BATCH) {
    const count = Math.min(LABEL_BATCH, data.length - from);
    const indices = Uint32Array.from({ length: count }, (_, i) => from + i);
    const [target] = (await data.read(indices, 0)).targets;
    if (target?.length !== count) return undefined;
    labels.set(target, from);
  }
  return labels;
}

function rowsOf({ data, shape }: Tensor): number[][] {
  const samples = shape[0] ?? 0;
  const width = samples === 0 ? 0 : data.length / samples;
  return Array.from({ length: samples }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width)));
}

function classOf(
  outputs: readonly number[],
  kind: OutputKind,
  names: readonly string[] | undefined,
): Pick<Prediction, 'class' | 'probability'> {
  if (kind === 'values') return {};
  const probabilities = kind === 'yesNo' ? [1 - (outputs[0] as number), outputs[0] as number] : outputs;
  const probability = Math.max(...probabilities);
  return { class: nameOf(probabilities.indexOf(probability), names), probability };
}

function nameOf(index: number, names: readonly string[] | undefined): string {
  return names?.[index] ?? String(index);
}

const SHOWN_OUTPUTS = 8;

function renderPredictions(predictions: readonly Prediction[]): string[] {
  const classifies = predictions.some((prediction) => prediction.class !== undefined);
  const columns = classifies
    ? [
        { title: 'sample' },
        { title: 'class' },
        { title: 'probability', align: 'right' } as const,
        { title: 'label' },
      ]
    : [{ title: 'sample' }, { title: 'outputs' }];
  const rows = predictions.map(({ index, outputs, class: name = '', probability = 0, label = '' }) => {
    if (classifies) return [String(index), name, probability.toFixed(4), label];
    const more = outputs.length > SHOWN_OUTPUTS ? ` … (${outputs.length})` : '';
    return [String(index), outputs.slice(0, SHOWN_OUTPUTS).map(formatMetric).join(' ') + more];
  });
  return renderTable(columns, rows);
}
