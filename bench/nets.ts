// The nets of the benchmarks; those of torch_peer.py are the same. Nothing is measured here.
import resnet20 from '../examples/residual/resnet20.ts';
import { input, layers, Model, Sequential } from '../index.ts';
import type { LossSpec } from '../native/graph.ts';
import { lossesOf } from '../worker/model/compile.ts';
import type { Random } from '../worker/random/philox.ts';

interface Net {
  readonly batch: number;
  /** Of one sample. */
  readonly shape: readonly number[];
  /** Samples are whole numbers below this; without it, floats. */
  readonly vocabulary?: number;
  readonly make: () => Model;
}

const LENGTH = 64;
const VOCABULARY = 400;
const WIDTH = 128;
const BLOCKS = 2;

/** Two encoder blocks with the normalisation first, over learned positions; the mean over positions is classified. */
function transformer(): Model {
  const words = input({ shape: [LENGTH], type: 'int32' });
  const embedded = layers.embedding({ inputDim: VOCABULARY, outputDim: WIDTH }).apply(words);
  let x = layers.positionEmbedding({ maxLength: LENGTH }).apply(embedded);
  for (let block = 0; block < BLOCKS; block++) {
    const attended = layers
      .multiHeadAttention({ numHeads: 4, keyDim: WIDTH / 4 })
      .apply(layers.layerNormalization().apply(x));
    x = layers.add().apply(x, attended);
    const hidden = layers
      .dense({ units: 4 * WIDTH, activation: 'gelu' })
      .apply(layers.layerNormalization().apply(x));
    x = layers.add().apply(x, layers.dense({ units: WIDTH }).apply(hidden));
  }
  const pooled = layers.globalAveragePooling1d().apply(layers.layerNormalization().apply(x));
  return new Model({
    inputs: words,
    outputs: layers.dense({ units: 10, activation: 'softmax' }).apply(pooled),
  });
}

export const NETS: Readonly<Record<string, Net>> = {
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
  transformer: { batch: 16, shape: [LENGTH], vocabulary: VOCABULARY, make: transformer },
  /** So little to compute that nearly all of a step is the way through JavaScript and back. */
  tiny: {
    batch: 1,
    shape: [2],
    make: () => new Sequential([layers.dense({ units: 2, activation: 'softmax' })]),
  },
};

/** A batch of random samples. */
export function samplesOf(name: string, random: Random): Float32Array | Int32Array {
  const { batch, shape, vocabulary } = NETS[name]!;
  const length = shape.reduce((product, size) => product * size, batch);
  return vocabulary === undefined
    ? Float32Array.from({ length }, () => random.normal())
    : Int32Array.from({ length }, () => random.integer(vocabulary));
}

/** Ready to be made into a model of the engine. */
export function compiledNet(name: string): { model: Model; losses: readonly LossSpec[] } {
  const { shape, vocabulary, make } = NETS[name]!;
  const model = make();
  model.compile({
    optimizer: { sgd: { learningRate: 0.001, momentum: 0.9 } },
    loss: 'sparseCategoricalCrossentropy',
  });
  model.build([{ name: 'x', shape, type: vocabulary === undefined ? 'float32' : 'int32' }]);
  return { model, losses: lossesOf(model.compiled.config, model.network) };
}
