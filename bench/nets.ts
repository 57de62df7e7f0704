// The nets of the benchmarks; those of torch_peer.py are the same. Nothing is measured here.
import resnet20 from '../examples/residual/resnet20.ts';
import { layers, type Model, Sequential } from '../index.ts';
import type { LossSpec } from '../native/graph.ts';
import { lossesOf } from '../worker/model/compile.ts';

export const NETS: Readonly<Record<string, { batch: number; shape: readonly number[]; make: () => Model }>> =
  {
    mlp: {
      batch: 128,
      shape: [784],
      make: () =>
        new Sequential([
          layers.dense({ units: 1024, activation: 'relu' }),
          layers.dense({ units: 1024, activation: 'relu' }),
          layers.dense({ units: 10, activation: 'softmax' }),
        ]),
    },
    lenet: {
      batch: 64,
      shape: [28, 28, 1],
      make: () =>
        new Sequential([
          layers.conv2d({ filters: 32, kernelSize: 5, padding: 'same', activation: 'relu' }),
          layers.maxPooling2d({ poolSize: 2 }),
          layers.conv2d({ filters: 64, kernelSize: 5, padding: 'same', activation: 'relu' }),
          layers.maxPooling2d({ poolSize: 2 }),
          layers.flatten(),
          layers.dense({ units: 512, activation: 'relu' }),
          layers.dense({ units: 10, activation: 'softmax' }),
        ]),
    },
    resnet20: {
      batch: 64,
      shape: [32, 32, 3],
      make: () => resnet20({ seed: 0, rank: 0, workers: 1 }) as Model,
    },
    /** So little to compute that nearly all of a step is the way through JavaScript and back. */
    tiny: {
      batch: 1,
      shape: [2],
      make: () => new Sequential([layers.dense({ units: 2, activation: 'softmax' })]),
    },
  };

/** Ready to be made into a model of the engine. */
export function compiledNet(name: string): { model: Model; losses: readonly LossSpec[] } {
  const { shape, make } = NETS[name]!;
  const model = make();
  model.compile({
    optimizer: { sgd: { learningRate: 0.001, momentum: 0.9 } },
    loss: 'sparseCategoricalCrossentropy',
  });
  model.build([{ name: 'x', shape, type: 'float32' }]);
  return { model, losses: lossesOf(model.compiled.config, model.network) };
}
