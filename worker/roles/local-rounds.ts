// Local steps: a worker trains on a copy of the parameters for a round of batches and then says by how much they have moved. Local SGD
// (Stich 2019) and DiLoCo (Douillard et al. 2023): the optimizer of the manifest here, the outer one in the servers. Sends nothing.
import type { Engine, Memory, Optimizer, PagedArena, UpdateOptions } from '../../native/engine.ts';
import type { Batch } from '../data/dataset.ts';
import { NORM_BLOCK } from '../protocol/chunks.ts';
import type { Totals } from '../protocol/ledger.ts';
import type { Workload } from './workload.ts';

/** Computes the gradients of one batch; gives its totals. */
export type Compute = (batch: Batch, step: number) => Promise<Totals>;

/** A round of one worker. */
export interface Round {
  /** Batches of this worker. */
  readonly count: number;
  readonly batches: AsyncIterator<Batch>;
  /** Steps of the model that came before the round: no two batches of a worker have the same number. */
  readonly first: number;
  /** Of the i-th batch. */
  readonly learningRate: (batch: number) => number;
}

export class LocalRounds {
  readonly #workload: Workload;
  readonly #parameters: PagedArena;
  /** Its slots stay from round to round and are this process's alone: whoever takes its place begins without. */
  readonly #optimizer: Optimizer;
  #updates = 0;

  constructor(workload: Workload) {
    const { engine, engineModel, optimizer } = workload;
    this.#workload = workload;
    this.#parameters = engine.createArena(engineModel.layout.length);
    this.#optimizer = engine.createOptimizer(optimizer, engineModel.layout.trainableLength);
  }

  /** Leaves in `gradients` what the parameters have moved by, with the sign of a gradient, and the state as it is at the end. */
  async train(parameters: Memory, gradients: Memory, round: Round, compute: Compute): Promise<Totals> {
    const { engineModel } = this.#workload;
    const { trainableLength } = engineModel.layout;
    const { values } = this.#parameters;
    const totals = { samples: 0, sums: [] as number[] };
    values.set(parameters.values);
    engineModel.bind(this.#parameters, gradients);
    for (let at = 0; at < round.count; at++) {
      const next = await round.batches.next();
      if (next.done) break;
      add(totals, await compute(next.value, round.first + at));
      this.#update(gradients.values, round.learningRate(at));
      values.set(gradients.values.subarray(trainableLength), trainableLength);
    }
    for (let at = 0; at < trainableLength; at++) gradients.values[at] = parameters.values[at]! - values[at]!;
    return totals;
  }

  #update(gradients: Float32Array, learningRate: number): void {
    const { engine, clip, engineModel } = this.#workload;
    const { trainableLength } = engineModel.layout;
    const options: UpdateOptions = {
      learningRate,
      iteration: ++this.#updates,
      scale: clip.norm === undefined ? 1 : clipFactor(engine, gradients, trainableLength, clip.norm),
      ...(clip.value === undefined ? {} : { clipValue: clip.value }),
    };
    this.#optimizer.update(this.#parameters.values, gradients, 0, trainableLength, options);
  }
}

/** By which a gradient is scaled so that its norm keeps the limit, as Keras' clip_by_global_norm. */
export function clipFactor(engine: Engine, gradients: Float32Array, length: number, limit: number): number {
  let total = 0;
  for (let at = 0; at < length; at += NORM_BLOCK)
    total += engine.sumOfSquares(gradients, at, Math.min(at + NORM_BLOCK, length));
  const norm = Math.sqrt(total);
  return norm > limit ? limit / norm : 1;
}

function add(totals: { samples: number; sums: number[] }, { samples, sums }: Totals): void {
  totals.samples += samples;
  sums.forEach((sum, index) => {
    totals.sums[index] = (totals.sums[index] ?? 0) + sum;
  });
}
