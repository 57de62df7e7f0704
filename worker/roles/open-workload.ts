// Opens what a worker computes with: the job's model, its data and the engine, as the spec says. No training.
import { consistencyOf, type LeptonJobSpec } from '../../crds/leptonjob.ts';
import type { Engine } from '../../native/engine.ts';
import type { RoleConfig } from '../../protos/role-config.ts';
import type { Dataset } from '../data/dataset.ts';
import { openDataset } from '../data/open.ts';
import { checkBatchSize } from '../data/order.ts';
import { splitDataset } from '../data/views.ts';
import { lossesOf } from '../model/compile.ts';
import { modelFromSpec, type ProgramData } from '../model/from-spec.ts';
import { resolveOptimizer, scheduleFactor } from '../model/training.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { gradientCodecOf } from './gradient-codec.ts';
import type { Workload } from './workload.ts';

/** Throws ModelError, DataError and engine errors, each naming the part of the spec that is wrong. */
export async function openWorkload(config: RoleConfig, engine: Engine): Promise<Workload> {
  const { spec, seed, rank, workers, threads } = config;
  const { batchSize, epochs } = spec.training;
  const made = await modelFromSpec(spec.model, spec.training, { seed, rank, workers });
  const { train, evaluate } = await openData(config, made.data);
  const { model } = made;
  model.build(train.inputs);
  checkBatchSize(train.length, batchSize, workers, 'data.train');
  const { config: compiled, metrics } = model.compiled;
  const losses = lossesOf(compiled, model.network);
  const engineModel = engine.createModel(model.graph, { losses, seed, rank, threads });
  const { stepsPerEpoch } = spec.training;
  const { optimizer, learningRate } = resolveOptimizer(compiled.optimizer);
  return {
    engine,
    engineModel,
    train,
    ...(evaluate ? { evaluate } : {}),
    shuffle: spec.data?.shuffle ?? true,
    batchSize,
    epochs,
    ...(stepsPerEpoch === undefined ? {} : { stepsPerEpoch }),
    consistency: consistencyOf(spec.exchange.consistency),
    optimizer,
    ...(spec.exchange.gradientCodec ? { gradientCodec: gradientCodecOf(spec.exchange.gradientCodec) } : {}),
    clip: compiled.clip,
    metrics,
    learningRate: (step, steps) => learningRate * scheduleFactor(compiled.schedule, steps)(step),
    initialParameters: () => model.initialParameters(engineModel.layout, seed),
    modelConfig: model.toJSON(),
    async [Symbol.asyncDispose]() {
      engineModel.dispose();
      await train[Symbol.asyncDispose]();
      await evaluate?.[Symbol.asyncDispose]();
    },
  };
}

/** The manifest's data; where it has none, the program's. */
async function openData({ spec, seed }: RoleConfig, program: ProgramData | undefined): Promise<ProgramData> {
  if (spec.data) return await openSources(spec.data, seed, spec.training.loss);
  if (program) return program;
  throw new RuntimeError(
    'BAD_ROLE_CONFIG',
    'data: expected data in the manifest or from model.program, got neither',
  );
}

async function openSources(
  data: NonNullable<LeptonJobSpec['data']>,
  seed: number,
  loss: string,
): Promise<ProgramData> {
  const train = await openDataset(data.train, { seed, training: true, loss });
  if (data.evaluate)
    return { train, evaluate: await openDataset(data.evaluate, { seed, training: false, loss }) };
  if (data.validationSplit === undefined) return { train };
  const [learn, measure]: [Dataset, Dataset] = splitDataset(train, data.validationSplit, seed);
  return { train: learn, evaluate: measure };
}
