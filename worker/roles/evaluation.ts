// One worker's share of an evaluation: a contiguous slice of the evaluation data, summed in float64. No network.
import type { Dataset } from '../data/dataset.ts';
import type { Totals } from '../protocol/ledger.ts';
import type { Workload } from './workload.ts';

export async function evaluateShare(
  workload: Workload,
  data: Dataset,
  rank: number,
  workers: number,
): Promise<Totals> {
  const { engineModel, metrics, batchSize } = workload;
  const from = Math.floor((data.length * rank) / workers);
  const to = Math.floor((data.length * (rank + 1)) / workers);
  const sums = new Array<number>(1 + metrics.length).fill(0);
  for (let at = from; at < to; at += batchSize) {
    const indices = Uint32Array.from({ length: Math.min(batchSize, to - at) }, (_, index) => at + index);
    const batch = await data.read(indices, 0);
    const result = await engineModel.evaluateStep(batch.inputs, batch.targets, { batchSize: batch.size });
    sums[0] = sums[0]! + result.loss * batch.size;
    const outputs = result.outputs as readonly Float32Array[];
    metrics.forEach((metric, index) => {
      sums[index + 1] = sums[index + 1]! + metric.total(outputs, batch.targets, batch.size);
    });
  }
  return { samples: to - from, sums };
}
