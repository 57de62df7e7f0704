// Metrics as sums over samples, so that batches, workers and servers add them up in any grouping. Keras' names and meaning.
import type { LossName, MetricName } from '../../crds/leptonjob.ts';
import type { Shape } from '../../native/graph.ts';
import { ModelError } from './errors.ts';

type Values = Float32Array | Int32Array;

/** `total` sums over the `size` samples of a batch; the metric is sum of totals / sum of sizes. */
export interface Metric {
  readonly name: string;
  total(outputs: readonly Values[], targets: readonly Values[], size: number): number;
}

/** How many samples of `row` values each, and where each begins, for a total over samples. */
type Count = (output: Values, target: Values, size: number) => number;

function argmax(values: Values, from: number, width: number): number {
  let best = from;
  for (let i = from + 1; i < from + width; i++)
    if ((values[i] as number) > (values[best] as number)) best = i;
  return best - from;
}

const THRESHOLD = 0.5; // keras.metrics.BinaryAccuracy
const TOP_K = 5; // keras.metrics.TopKCategoricalAccuracy

/** Sums `score(i)` over the `rows` predictions and brings it to samples: predictions per sample are averaged. */
function overRows(rows: number, size: number, score: (row: number) => number): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) sum += score(row);
  return rows === 0 ? 0 : (sum * size) / rows;
}

const binary: Count = (output, target, size) =>
  overRows(output.length, size, (i) =>
    Number((output[i] as number) > THRESHOLD === (target[i] as number) > THRESHOLD),
  );

const categorical =
  (width: number): Count =>
  (output, target, size) =>
    overRows(output.length / width, size, (row) =>
      Number(argmax(output, row * width, width) === argmax(target, row * width, width)),
    );

const sparse =
  (width: number): Count =>
  (output, target, size) =>
    overRows(output.length / width, size, (row) =>
      Number(argmax(output, row * width, width) === target[row]),
    );

const topK =
  (width: number, oneHot: boolean): Count =>
  (output, target, size) =>
    overRows(output.length / width, size, (row) => {
      const label = oneHot ? argmax(target, row * width, width) : (target[row] as number);
      const value = output[row * width + label] as number;
      let above = 0;
      for (let i = 0; i < width; i++) above += Number((output[row * width + i] as number) > value);
      return Number(above < TOP_K);
    });

const mean =
  (error: (difference: number) => number): Count =>
  (output, target, size) =>
    overRows(output.length, size, (i) => error((output[i] as number) - (target[i] as number)));

/** The counting rule of a metric for outputs of this shape and targets of this loss. */
function countOf(name: MetricName, loss: LossName, outputShape: Shape): Count {
  const width = outputShape.at(-1) ?? 1;
  const oneHot = loss !== 'sparseCategoricalCrossentropy';
  switch (name) {
    case 'accuracy':
      if (!oneHot) return sparse(width);
      return width === 1 || loss === 'binaryCrossentropy' ? binary : categorical(width);
    case 'binaryAccuracy':
      return binary;
    case 'categoricalAccuracy':
      return categorical(width);
    case 'sparseCategoricalAccuracy':
      return sparse(width);
    case 'topKCategoricalAccuracy':
      return topK(width, oneHot);
    case 'meanSquaredError':
      return mean((difference) => difference * difference);
    case 'meanAbsoluteError':
      return mean(Math.abs);
  }
}

/** What each metric needs of the targets: one-hot rows (of the output's shape) or class numbers. */
const NEEDS: Partial<Record<MetricName, 'rows' | 'numbers'>> = {
  binaryAccuracy: 'rows',
  categoricalAccuracy: 'rows',
  sparseCategoricalAccuracy: 'numbers',
  meanSquaredError: 'rows',
  meanAbsoluteError: 'rows',
};

/**
 * A metric on output `index`. With several outputs its name is `<output>_<metric>`, as Keras prints it.
 * @throws ModelError TRAINING_INVALID where metric and loss disagree about the targets.
 */
export function resolveMetric(
  name: MetricName,
  loss: LossName,
  outputShape: Shape,
  index = 0,
  prefix = '',
): Metric {
  const given = loss === 'sparseCategoricalCrossentropy' ? 'numbers' : 'rows';
  const needed = NEEDS[name] ?? given;
  if (needed !== given) {
    throw new ModelError(
      'TRAINING_INVALID',
      `metric ${name}: expected targets as ${needed === 'rows' ? 'rows of the output' : 'class numbers'}, but the loss ${loss} takes ${given === 'rows' ? 'rows' : 'class numbers'}`,
    );
  }
  const count = countOf(name, loss, outputShape);
  return {
    name: prefix === '' ? name : `${prefix}_${name}`,
    total: (outputs, targets, size) => count(outputs[index] as Values, targets[index] as Values, size),
  };
}
