// The nets of test/golden/make.py, from Lepton's layers, with the same weights and samples.
import resnet20 from '../../../examples/residual/resnet20.ts';
import { input, layers, Model, Sequential, type SymbolicTensor } from '../../../index.ts';
import type { InputSpec } from '../../../native/graph.ts';

export interface GoldenNet {
  readonly make: () => Model;
  readonly batch: number;
  readonly input: InputSpec;
  readonly classes: number;
}

const floats = (...shape: number[]): InputSpec => ({ name: 'x', shape, type: 'float32' });
const VOCABULARY = 500;

function encoderBlock(x: SymbolicTensor, numHeads: number, causal: boolean): SymbolicTensor {
  const normal = layers.layerNormalization().apply(x);
  const attended = layers.multiHeadAttention({ numHeads, keyDim: 16 / numHeads, causal }).apply(normal);
  const sum = layers.add().apply(x, attended);
  const hidden = layers
    .dense({ units: 32, activation: 'gelu' })
    .apply(layers.layerNormalization().apply(sum));
  return layers.add().apply(sum, layers.dense({ units: 16 }).apply(hidden));
}

export const NETS: Readonly<Record<string, GoldenNet>> = {
  mlp: {
    make: () =>
      new Sequential([
        layers.dense({ units: 256, activation: 'relu' }),
        layers.dense({ units: 128, activation: 'relu' }),
        layers.dense({ units: 10, activation: 'softmax' }),
      ]),
    batch: 16,
    input: floats(784),
    classes: 10,
  },
  lenet: {
    make: () =>
      new Sequential([
        layers.conv2d({ filters: 6, kernelSize: 5, padding: 'same', activation: 'relu' }),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.conv2d({ filters: 16, kernelSize: 5, activation: 'relu' }),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.flatten(),
        layers.dense({ units: 120, activation: 'relu' }),
        layers.dense({ units: 84, activation: 'relu' }),
        layers.dense({ units: 10, activation: 'softmax' }),
      ]),
    batch: 8,
    input: floats(28, 28, 1),
    classes: 10,
  },
  resnet20: {
    make: () => resnet20({ seed: 0, rank: 0, workers: 1 }) as Model,
    batch: 8,
    input: floats(32, 32, 3),
    classes: 10,
  },
  text: {
    make: () =>
      new Sequential([
        layers.embedding({ inputDim: VOCABULARY, outputDim: 16 }),
        layers.globalAveragePooling1d(),
        layers.dense({ units: 16, activation: 'relu' }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ]),
    batch: 8,
    input: { name: 'x', shape: [12], type: 'int32' },
    classes: 4,
  },
  transformer: {
    make: () => {
      const words = input({ shape: [12], type: 'int32', name: 'x' });
      const embedded = layers.embedding({ inputDim: VOCABULARY, outputDim: 16 }).apply(words);
      const positioned = layers.positionEmbedding({ maxLength: 14 }).apply(embedded);
      const encoded = encoderBlock(encoderBlock(positioned, 2, false), 4, true);
      const pooled = layers.globalAveragePooling1d().apply(encoded);
      const outputs = layers.dense({ units: 4, activation: 'softmax' }).apply(pooled);
      return new Model({ inputs: words, outputs });
    },
    batch: 8,
    input: { name: 'x', shape: [12], type: 'int32' },
    classes: 4,
  },
};

/** `count` numbers in [-1, 1): x <- 1664525 x + 1013904223 mod 2^32 (Numerical Recipes). */
function numbers(seed: number, count: number): Float64Array {
  let x = (Math.imul(seed, 2_654_435_761) + 12_345) >>> 0;
  return Float64Array.from({ length: count }, () => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return x / 2 ** 31 - 1;
  });
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Sets every trainable parameter as make.py does: by its number and its layout. */
export function setWeights(model: Model): void {
  const trainable = model.layout.entries.filter((entry) => entry.trainable);
  const weights = trainable.map(({ name, shape }, seed) => {
    const [scale, offset] = rangeOf(name, shape);
    const data = Float32Array.from(numbers(seed, product(shape)), (value) => offset + scale * value);
    return [name, { data, shape }] as const;
  });
  model.setWeights(weights);
}

function rangeOf(name: string, shape: readonly number[]): [scale: number, offset: number] {
  if (name.endsWith('/gamma')) return [0.1, 1];
  if (shape.length === 1) return [0.1, 0];
  const fanIn = name.startsWith('embedding') ? 1 : product(shape.slice(0, -1));
  return [Math.sqrt(6 / fanIn), 0];
}

export function samplesOf({ batch, input, classes }: GoldenNet): {
  x: Float32Array | Int32Array;
  y: Int32Array;
} {
  const values = numbers(1000, batch * product(input.shape));
  const whole = (value: number, limit: number): number => Math.floor(((value + 1) / 2) * limit);
  const x =
    input.type === 'int32'
      ? Int32Array.from(values, (value) => whole(value, VOCABULARY))
      : Float32Array.from(values);
  return { x, y: Int32Array.from(numbers(1001, batch), (value) => whole(value, classes)) };
}
