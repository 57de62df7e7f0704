// What a worker computes with: model, data and training, opened from the job's spec. Knows nothing of servers.
import type { Consistency } from '../../crds/leptonjob.ts';
import type { Engine, EngineModel, OptimizerSpec } from '../../native/engine.ts';
import type { Dataset } from '../data/dataset.ts';
import type { GradientCodec } from './gradient-codec.ts';

/** A sum over samples of one output, such as the number of right answers. */
export interface WorkloadMetric {
  readonly name: string;
  total(
    outputs: readonly Float32Array[],
    targets: readonly (Float32Array | Int32Array)[],
    size: number,
  ): number;
}

export interface Workload extends AsyncDisposable {
  readonly engine: Engine;
  readonly engineModel: EngineModel;
  readonly train: Dataset;
  readonly evaluate?: Dataset;
  readonly shuffle: boolean;
  readonly batchSize: number;
  readonly epochs: number;
  /** Where the manifest says how long an epoch is, in batches of each worker. */
  readonly stepsPerEpoch?: number;
  /** When workers meet. */
  readonly consistency: Consistency;
  readonly optimizer: OptimizerSpec;
  /** Undefined: gradients travel as they are. */
  readonly gradientCodec?: GradientCodec;
  readonly clip: { readonly norm?: number; readonly value?: number };
  readonly metrics: readonly WorkloadMetric[];
  /** Of a step among all `steps` of the job. */
  learningRate(step: number, steps: number): number;
  initialParameters(): Float32Array;
  /** model.json without the weights. */
  readonly modelConfig: unknown;
}
