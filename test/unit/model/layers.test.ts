// Layers: shapes, parameters, the summary, and what is refused in which words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { input, layers, Model, Sequential, tensor } from '../../../index.ts';

const image = [{ name: 'x', shape: [28, 28, 1], type: 'float32' }] as const;

test('summary: names, output shapes and parameters as Keras counts them', () => {
  const model = new Sequential([
    layers.conv2d({ filters: 32, kernelSize: 3, activation: 'relu' }),
    layers.maxPooling2d({ poolSize: 2 }),
    layers.batchNormalization(),
    layers.flatten(),
    layers.dense({ units: 10, activation: 'softmax' }),
  ]);
  model.build(image);
  assert.deepEqual(model.countParameters(), { trainable: 320 + 64 + 54_090, state: 64 });
  const text = model.summary();
  for (const part of ['conv2d', '26, 26, 32', '13, 13, 32', '5408', '54,090', 'Total parameters: 54,538'])
    assert.ok(text.includes(part), `${part} is not in\n${text}`);
});

test('shapes of every layer', () => {
  const cases: [ReturnType<typeof layers.dense>, readonly number[], readonly number[]][] = [
    [layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' }), [7, 8, 2], [4, 4, 4]],
    [layers.conv2d({ filters: 4, kernelSize: [2, 3], dilationRate: 2 }), [7, 8, 2], [5, 4, 4]],
    [layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2 }), [5, 5, 3], [3, 3, 6]],
    [layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }), [7, 8, 2], [4, 4, 2]],
    [layers.globalAveragePooling2d(), [7, 8, 2], [2]],
    [layers.reshape({ targetShape: [4, -1] }), [2, 6], [4, 3]],
    [layers.permute({ dims: [3, 1, 2] }), [4, 5, 6], [6, 4, 5]],
    [layers.layerNormalization(), [4, 5], [4, 5]],
    [layers.leakyRelu(), [4], [4]],
  ];
  for (const [layer, from, to] of cases) {
    const model = new Sequential([layer]);
    model.build([{ name: 'x', shape: from, type: 'float32' }]);
    assert.deepEqual(model.network.outputShapes, [to]);
  }
});

const REFUSED: Readonly<Record<string, [() => unknown, RegExp]>> = {
  'dense without units': [() => layers.dense({} as never), /units/],
  'a misspelt option': [() => layers.dense({ units: 3, actvation: 'relu' } as never), /actvation/],
  'an unknown activation': [
    () => layers.dense({ units: 3, activation: 'magic' as never }),
    /magic|activation/,
  ],
  'a kernel larger than its image': [
    () => new Sequential([layers.conv2d({ filters: 2, kernelSize: 30, name: 'wide' })]).build(image),
    /wide.*expected.*got/s,
  ],
  'convolution of a vector': [
    () =>
      new Sequential([layers.conv2d({ filters: 2, kernelSize: 3, name: 'flat' })]).build([
        { name: 'x', shape: [9], type: 'float32' },
      ]),
    /flat.*expected.*got/s,
  ],
  'adding different shapes': [
    () =>
      layers.add({ name: 'sum' }).apply(input({ shape: [3] }), input({ shape: [4] })) &&
      new Model({
        inputs: [],
        outputs: layers.add({ name: 'sum' }).apply(input({ shape: [3] }), input({ shape: [4] })),
      }),
    /sum|input/,
  ],
  'reshape that does not fit': [
    () =>
      new Sequential([layers.reshape({ targetShape: [5, -1], name: 'bent' })]).build([
        { name: 'x', shape: [12], type: 'float32' },
      ]),
    /bent.*expected.*got/s,
  ],
  'no layers': [() => new Sequential([]).build(image), /at least one layer/],
  'a shape that is no tensor': [() => tensor([1, 2, 3], [2, 2]), /3 values/],
};

for (const [what, [make, says]] of Object.entries(REFUSED)) {
  test(`refused: ${what}`, () =>
    assert.throws(make, (error: Error & { code?: string }) => {
      assert.match(error.message, says);
      assert.ok(error.code, 'no code');
      return true;
    }));
}

test('refused: data of another shape, before compile, a loss that does not fit', async () => {
  const model = new Sequential([layers.dense({ units: 2 })]);
  const x = tensor(new Float32Array(6), [2, 3]);
  await assert.rejects(model.fit(x, x), { code: 'MODEL_NOT_COMPILED' });
  assert.throws(() => model.compile({ loss: 'magic' as never }), /expected one of .*got 'magic'/);
  model.compile({ loss: 'meanSquaredError' });
  await model.fit(x, tensor(new Float32Array(4), [2, 2]), { verbose: 0 });
  await assert.rejects(
    model.predict(tensor(new Float32Array(8), [2, 4])),
    /expected inputs of shape \(3\), got \(4\)/,
  );
});
