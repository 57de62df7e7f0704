// Attention: what its layers become, what they refuse, that a position sees what it should, and that nets learn with them.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { layerSchema } from '../../../crds/layers.ts';
import {
  input,
  layers,
  Model,
  Sequential,
  type SymbolicTensor,
  type Tensor,
  tensor,
} from '../../../index.ts';
import { layerFromSpec } from '../../../worker/model/layers.ts';
import { Random } from '../../../worker/random/philox.ts';

const sequence = [{ name: 'x', shape: [6, 10], type: 'float32' }] as const;

function normal(shape: readonly number[], name: string): Tensor {
  const random = new Random(5, name);
  const length = shape.reduce((product, size) => product * size, 1);
  return tensor(
    Float32Array.from({ length }, () => random.normal()),
    shape,
  );
}

test('one input reads itself: four projections with Keras names and shapes', () => {
  const model = new Sequential([layers.multiHeadAttention({ numHeads: 2, keyDim: 3, valueDim: 4 })]);
  model.build(sequence);
  assert.deepEqual(model.network.outputShapes, [[6, 10]]);
  assert.deepEqual(
    model.graph.parameters.map(({ name, shape }) => [name, ...shape]),
    [
      ['multiHeadAttention/query/kernel', 10, 6],
      ['multiHeadAttention/query/bias', 6],
      ['multiHeadAttention/key/kernel', 10, 6],
      ['multiHeadAttention/key/bias', 6],
      ['multiHeadAttention/value/kernel', 10, 8],
      ['multiHeadAttention/value/bias', 8],
      ['multiHeadAttention/attentionOutput/kernel', 8, 10],
      ['multiHeadAttention/attentionOutput/bias', 10],
    ],
  );
  assert.match(model.summary(), /multiHeadAttention \(multiHeadAttention\) +\(6, 10\) +310/);
});

test('without biases there are none', () => {
  const model = new Sequential([layers.multiHeadAttention({ numHeads: 2, keyDim: 3, useBias: false })]);
  model.build(sequence);
  assert.deepEqual(model.countParameters(), { trainable: 4 * 60, state: 0 });
});

test('query, value and key may be three tensors; the query gives the length and the channels', async () => {
  const [query, value, key] = [input({ shape: [3, 8] }), input({ shape: [5, 6] }), input({ shape: [5, 4] })];
  const outputs = layers.multiHeadAttention({ numHeads: 2, keyDim: 4 }).apply(query, value, key);
  const model = new Model({ inputs: [query, value, key], outputs });
  const kernels = model.graph.parameters.filter(({ name }) => name.endsWith('kernel'));
  assert.deepEqual(
    kernels.map(({ shape }) => shape),
    [
      [8, 8],
      [4, 8],
      [6, 8],
      [8, 8],
    ],
  );
  const fed = [normal([2, 3, 8], 'q'), normal([2, 5, 6], 'v'), normal([2, 5, 4], 'k')];
  const { shape } = (await model.predict(fed)) as Tensor;
  assert.deepEqual(shape, [2, 3, 8]);
});

/** The model's outputs at every position, before and after the last position of the input is changed. */
async function changedPositions(causal: boolean): Promise<boolean[]> {
  const model = new Sequential([layers.multiHeadAttention({ numHeads: 2, keyDim: 3, causal })]);
  model.build(sequence);
  const x = normal([1, 6, 10], 'x');
  const other = tensor(x.data.slice(), x.shape);
  other.data[55] = 3;
  const [before, after] = [(await model.predict(x)) as Tensor, (await model.predict(other)) as Tensor];
  return Array.from({ length: 6 }, (_, position) =>
    after.data
      .subarray(10 * position, 10 * position + 10)
      .some((value, i) => value !== before.data[10 * position + i]),
  );
}

test('causal: a position does not see those after it', async () => {
  assert.deepEqual(await changedPositions(true), [false, false, false, false, false, true]);
  assert.deepEqual(await changedPositions(false), [true, true, true, true, true, true]);
});

test('positions: the first rows of the table are added, and a shorter sequence uses fewer', async () => {
  const model = new Sequential([layers.positionEmbedding({ maxLength: 9, name: 'positions' })]);
  model.build(sequence);
  const { data: table, shape } = model.getWeights().get('positions/embeddings') as Tensor;
  assert.deepEqual(shape, [9, 10]);
  const x = normal([2, 6, 10], 'x');
  const y = (await model.predict(x)) as Tensor;
  assert.deepEqual(
    [...y.data],
    [...x.data].map((value, i) => Math.fround(value + table[i % 60]!)),
  );
});

const REFUSED: Readonly<Record<string, [() => unknown, RegExp]>> = {
  'heads that are missing': [() => layers.multiHeadAttention({ keyDim: 4 } as never), /numHeads/],
  'a vector': [
    () =>
      new Sequential([layers.multiHeadAttention({ numHeads: 1, keyDim: 2, name: 'flat' })]).build([
        { name: 'x', shape: [4], type: 'float32' },
      ]),
    /\[multiHeadAttention 'flat'\] input shape: expected \(length, channels\), got \(4\)/,
  ],
  'four inputs': [
    () => {
      const x = input({ shape: [2, 2] });
      const outputs = layers.multiHeadAttention({ numHeads: 1, keyDim: 2 }).apply(x, x, x, x);
      return new Model({ inputs: x, outputs });
    },
    /one to three tensors, got 4/,
  ],
  'a key longer than its value': [
    () => {
      const [x, long] = [input({ shape: [2, 2] }), input({ shape: [3, 2] })];
      const outputs = layers.multiHeadAttention({ numHeads: 1, keyDim: 2 }).apply(x, x, long);
      return new Model({ inputs: [x, long], outputs });
    },
    /length of the key: expected 2 as of the value, got 3/,
  ],
  'heads that do not divide the channels': [
    () => new Sequential([layers.transformerEncoder({ intermediateDim: 4, numHeads: 3 })]).build(sequence),
    /numHeads: expected a divisor of the 10 channels, got 3/,
  ],
  'a sequence longer than the table': [
    () => new Sequential([layers.positionEmbedding({ maxLength: 5 })]).build(sequence),
    /expected at most maxLength \(5\), got 6/,
  ],
};

for (const [what, [make, says]] of Object.entries(REFUSED))
  test(`refused: ${what}`, () => assert.throws(make, { message: says, code: /^LAYER_/ }));

/** The encoder block out of single layers, in the order of transformerEncoder's parameters. */
function byHand(x: SymbolicTensor, normalizeFirst: boolean): SymbolicTensor {
  const around = (from: SymbolicTensor, body: (x: SymbolicTensor) => SymbolicTensor): SymbolicTensor => {
    const normal = layers.layerNormalization({ epsilon: 0.00001 });
    if (normalizeFirst) return layers.add().apply(from, body(normal.apply(from)));
    return normal.apply(layers.add().apply(from, body(from)));
  };
  const attended = around(x, (from) =>
    layers.multiHeadAttention({ numHeads: 2, keyDim: 5, causal: true }).apply(from),
  );
  return around(attended, (from) =>
    layers.dense({ units: 10 }).apply(layers.dense({ units: 7, activation: 'gelu' }).apply(from)),
  );
}

for (const normalizeFirst of [false, true])
  test(`transformerEncoder is the same layers by hand, normalizeFirst ${normalizeFirst}`, async () => {
    const options = { intermediateDim: 7, numHeads: 2, activation: 'gelu', causal: true } as const;
    const block = new Sequential([layers.transformerEncoder({ ...options, normalizeFirst })]);
    block.build(sequence);
    const x = input({ shape: [6, 10], name: 'x' });
    const hand = new Model({ inputs: x, outputs: byHand(x, normalizeFirst) });
    const weights = [...block.getWeights().values()].map(({ data, shape }, i) =>
      // Away from zeros and ones, or swapped biases and factors would not show.
      tensor(
        data.map((value, j) => value + 0.01 * Math.sin(i + j)),
        shape,
      ),
    );
    for (const model of [block, hand]) {
      const names = [...model.getWeights().keys()];
      model.setWeights(names.map((name, i) => [name, weights[i]!] as const));
    }
    const fed = normal([3, 6, 10], 'x');
    assert.deepEqual(await block.predict(fed), await hand.predict(fed));
  });

test('transformerEncoder in a manifest: names of its parameters; dropout is part of training alone', async () => {
  const encoder = { transformerEncoder: { intermediateDim: 8, numHeads: 2, dropout: 0.5, name: 'block' } };
  const model = new Sequential([layerFromSpec(layerSchema.parse(encoder))]);
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  model.build(sequence);
  assert.deepEqual(
    model.graph.parameters.map(({ name }) => name),
    [
      ...['query', 'key', 'value', 'attentionOutput'].flatMap((part) => [
        `block/selfAttention/${part}/kernel`,
        `block/selfAttention/${part}/bias`,
      ]),
      'block/selfAttentionLayerNorm/gamma',
      'block/selfAttentionLayerNorm/beta',
      'block/feedforwardIntermediateDense/kernel',
      'block/feedforwardIntermediateDense/bias',
      'block/feedforwardOutputDense/kernel',
      'block/feedforwardOutputDense/bias',
      'block/feedforwardLayerNorm/gamma',
      'block/feedforwardLayerNorm/beta',
    ],
  );
  const x = normal([8, 6, 10], 'x');
  assert.deepEqual(await model.predict(x), await model.predict(x));
  const { loss } = await model.evaluate(x, x);
  const { history } = await model.fit(x, x, { epochs: 1, batchSize: 8, verbose: 0 });
  assert.notEqual(history['loss']![0], loss);
});

const LENGTH = 8;
const LETTERS = 12;

/** Sequences of letters, and whether the first letter comes again: which letters there are says nothing about it, only pairs do. */
function repeats(samples: number, name: string): { x: Tensor; y: Tensor } {
  const random = new Random(7, name);
  const x = new Int32Array(samples * LENGTH);
  const y = Int32Array.from({ length: samples }, () => random.integer(2));
  for (let i = 0; i < samples; i++) {
    const letters = Array.from({ length: LETTERS }, (_, letter) => letter);
    // Distinct letters, drawn in turn; then one of the later places takes the first letter, or the second place's.
    for (let j = 0; j < LENGTH; j++)
      x[i * LENGTH + j] = letters.splice(random.integer(letters.length), 1)[0]!;
    const place = 2 + random.integer(LENGTH - 2);
    x[i * LENGTH + place] = x[i * LENGTH + (y[i] ? 0 : 1)]!;
  }
  return { x: tensor(x, [samples, LENGTH]), y: tensor(y, [samples]) };
}

/** An encoder block; without attention every position is by itself. */
function block(x: SymbolicTensor, attends: boolean): SymbolicTensor {
  const inner = attends ? layers.multiHeadAttention({ numHeads: 2, keyDim: 8 }) : layers.dense({ units: 16 });
  const sum = layers.add().apply(x, inner.apply(layers.layerNormalization().apply(x)));
  const hidden = layers.dense({ units: 32, activation: 'gelu' });
  const back = layers.dense({ units: 16 });
  return layers.add().apply(sum, back.apply(hidden.apply(layers.layerNormalization().apply(sum))));
}

async function trained(attends: boolean, { x, y }: { x: Tensor; y: Tensor }): Promise<Model> {
  const words = input({ shape: [LENGTH], type: 'int32', name: 'words' });
  const embedded = layers.embedding({ inputDim: LETTERS, outputDim: 16 }).apply(words);
  const positioned = layers.positionEmbedding({ maxLength: LENGTH }).apply(embedded);
  const pooled = layers.globalAveragePooling1d().apply(block(positioned, attends));
  const outputs = layers.dense({ units: 2, activation: 'softmax' }).apply(pooled);
  const model = new Model({ inputs: words, outputs, seed: 1 });
  model.compile({
    optimizer: { adam: { learningRate: 0.005 } },
    loss: 'sparseCategoricalCrossentropy',
    metrics: ['accuracy'],
  });
  await model.fit(x, y, { epochs: 30, batchSize: 50, verbose: 0 });
  return model;
}

const weightsOf = (model: Model): number[] =>
  [...model.getWeights().values()].flatMap(({ data }) => [...data]);

test('a transformer learns whether the first letter comes again; the same seed gives the same bits; a saved one is the same', async () => {
  const [train, other] = [repeats(4000, 'train'), repeats(500, 'test')];
  const model = await trained(true, train);
  const end = await model.evaluate(other.x, other.y);
  assert.ok(end['accuracy']! > 0.9, `accuracy ${end['accuracy']}`);
  assert.deepEqual(weightsOf(await trained(true, train)), weightsOf(model));

  const blind = await (await trained(false, train)).evaluate(other.x, other.y);
  assert.ok(blind['accuracy']! < 0.7, `accuracy without attention ${blind['accuracy']}`);

  const folder = await mkdtemp(join(tmpdir(), 'lepton-attention-'));
  try {
    await model.save(folder);
    const loaded = await Model.load(folder);
    assert.deepEqual(await loaded.evaluate(other.x, other.y), end);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
