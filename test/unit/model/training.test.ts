// fit, evaluate, predict, callbacks, save and load on small nets with the real engine.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  callbacks,
  distributedTrain,
  input,
  layers,
  Model,
  optimizers,
  Sequential,
  type Tensor,
  tensor,
} from '../../../index.ts';
import { Random } from '../../../worker/random/philox.ts';

async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'lepton-model-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Points of a plane and whether they lie in two opposite quarters: no line parts them. */
function quarters(samples: number): { x: Tensor; y: Tensor } {
  const random = new Random(2, 'quarters');
  const points = Float32Array.from({ length: 2 * samples }, () => 2 * random.uniform() - 1);
  const classes = Int32Array.from({ length: samples }, (_, i) =>
    Number(points[2 * i]! * points[2 * i + 1]! > 0),
  );
  return { x: tensor(points, [samples, 2]), y: tensor(classes, [samples]) };
}

function net(seed = 3): Sequential {
  const model = new Sequential(
    [
      layers.dense({ units: 16, activation: 'relu' }),
      layers.dense({ units: 16, activation: 'relu' }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
    { seed },
  );
  model.compile({
    optimizer: optimizers.adam({ learningRate: 0.01 }),
    loss: 'sparseCategoricalCrossentropy',
    metrics: ['accuracy'],
  });
  return model;
}

const weightsOf = (model: Model): number[] =>
  [...model.getWeights().values()].flatMap(({ data }) => [...data]);

test('fit learns; evaluate and predict agree with it; the same seed gives the same bits', async () => {
  const { x, y } = quarters(600);
  const model = net();
  const { history, epoch } = await model.fit(x, y, {
    epochs: 30,
    batchSize: 20,
    validationSplit: 0.2,
    verbose: 0,
  });
  assert.equal(epoch.length, 30);
  assert.deepEqual(Object.keys(history).sort(), ['accuracy', 'loss', 'val_accuracy', 'val_loss']);
  const { accuracy } = await model.evaluate(x, y);
  assert.ok(accuracy! > 0.95, `accuracy ${accuracy}`);
  const output = (await model.predict(x, { batchSize: 37 })) as Tensor;
  assert.deepEqual(output.shape, [600, 2]);
  let right = 0;
  for (let i = 0; i < 600; i++) right += Number(output.data[2 * i + 1]! > 0.5 === (y.data[i] === 1));
  assert.ok(Math.abs(right / 600 - accuracy!) < 1e-6);
  const again = net();
  await again.fit(x, y, { epochs: 30, batchSize: 20, validationSplit: 0.2, verbose: 0 });
  assert.deepEqual(weightsOf(again), weightsOf(model));
  const other = net(4);
  other.build([{ name: 'x', shape: [2], type: 'float32' }]);
  assert.notDeepEqual(weightsOf(other), weightsOf(model));
});

test('early stopping restores the best weights; reduceLROnPlateau and terminateOnNaN act', async () => {
  const { x, y } = quarters(100);
  const model = net();
  const seen: number[] = [];
  let best: number[] = [];
  const watch = {
    onEpochEnd(_epoch: number, logs: Readonly<Record<string, number>>) {
      if (seen.every((loss) => logs['val_loss']! < loss)) best = weightsOf(model);
      seen.push(logs['val_loss']!);
    },
  };
  model.learningRate = 0.3;
  await model.fit(x, y, {
    epochs: 100,
    validationSplit: 0.3,
    verbose: 0,
    callbacks: [watch, callbacks.earlyStopping({ patience: 3, restoreBestWeights: true })],
  });
  assert.ok(seen.length < 100, `${seen.length} epochs`);
  assert.deepEqual(weightsOf(model), best);
  const stuck = net();
  await stuck.fit(x, y, {
    epochs: 5,
    verbose: 0,
    callbacks: [callbacks.reduceLROnPlateau({ monitor: 'loss', patience: 1, minDelta: 100, factor: 0.5 })],
  });
  assert.ok(stuck.learningRate < 0.01, `learning rate ${stuck.learningRate}`);
  const broken = net();
  broken.learningRate = Number.MAX_VALUE;
  const { epoch } = await broken
    .fit(x, y, { epochs: 20, verbose: 0, callbacks: [callbacks.terminateOnNaN()] })
    .catch(() => ({ epoch: [] }));
  assert.ok(epoch.length < 20);
});

test('checkpoint, CSV and TensorBoard callbacks leave files', async () => {
  await using folder = await temporaryFolder();
  const { x, y } = quarters(50);
  const model = net();
  await model.fit(x, y, {
    epochs: 3,
    verbose: 0,
    callbacks: [
      callbacks.modelCheckpoint({ folder: join(folder.path, 'best'), monitor: 'loss', saveBestOnly: true }),
      callbacks.csvLogger({ path: join(folder.path, 'log.csv') }),
      callbacks.tensorBoard({ folder: join(folder.path, 'events') }),
    ],
  });
  const lines = (await readFile(join(folder.path, 'log.csv'), 'utf8')).trim().split('\n');
  assert.deepEqual([lines.length, lines[0]], [4, 'epoch,accuracy,loss']);
  assert.ok(
    (await readdir(join(folder.path, 'events'), { recursive: true })).some((name) =>
      name.includes('tfevents'),
    ),
  );
  const best = await Model.load(join(folder.path, 'best'));
  assert.deepEqual(weightsOf(best), weightsOf(model)); // the loss fell in every epoch
});

test('save and load: the same bits, the same predictions, and training goes on', async () => {
  await using folder = await temporaryFolder();
  const image = input({ shape: [8, 8, 1] });
  const stem = layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same', useBias: false }).apply(image);
  const normal = layers.relu().apply(layers.batchNormalization().apply(stem));
  const sum = layers.add().apply(normal, layers.conv2d({ filters: 4, kernelSize: 1 }).apply(image));
  const outputs = layers
    .dense({ units: 3, activation: 'softmax' })
    .apply(layers.globalAveragePooling2d().apply(sum));
  const model = new Model({ inputs: image, outputs, seed: 5 });
  model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });
  const random = new Random(6);
  const x = tensor(
    Float32Array.from({ length: 30 * 64 }, () => random.normal()),
    [30, 8, 8, 1],
  );
  const y = tensor(
    Int32Array.from({ length: 30 }, () => random.integer(3)),
    [30],
  );
  await model.fit(x, y, { epochs: 2, batchSize: 10, verbose: 0 });
  await model.save(join(folder.path, 'model'));
  const loaded = await Model.load(join(folder.path, 'model'));
  assert.deepEqual(weightsOf(loaded), weightsOf(model));
  assert.deepEqual(await loaded.predict(x), await model.predict(x));
  assert.deepEqual(await loaded.evaluate(x, y), await model.evaluate(x, y));
  await loaded.fit(x, y, { epochs: 1, verbose: 0 });
  assert.notDeepEqual(weightsOf(loaded), weightsOf(model));
});

test('batch normalization: moving statistics follow Keras, and inference uses them', async () => {
  const model = new Sequential([layers.batchNormalization({ momentum: 0.9 })]);
  model.compile({ optimizer: { sgd: { learningRate: 1e-9 } }, loss: 'meanSquaredError' });
  const x = tensor(Float32Array.of(1, 3, 5, 7), [4, 1]);
  await model.fit(x, x, { epochs: 1, batchSize: 4, shuffle: false, verbose: 0 });
  const weights = model.getWeights();
  const of = (name: string): number => [...weights].find(([key]) => key.endsWith(name))![1].data[0]!;
  assert.ok(Math.abs(of('movingMean') - 0.1 * 4) < 1e-6, `mean ${of('movingMean')}`);
  assert.ok(Math.abs(of('movingVariance') - (0.9 + 0.1 * 5)) < 1e-6, `variance ${of('movingVariance')}`);
  const { data } = (await model.predict(x)) as Tensor;
  assert.ok(Math.abs(data[0]! - (1 - 0.4) / Math.sqrt(1.4 + 1e-3)) < 1e-4, String(data));
});

test('dropout: off in inference, repeatable in training', async () => {
  const x = tensor(new Float32Array(400).fill(1), [4, 100]);
  const make = () => {
    const model = new Sequential([layers.dropout({ rate: 0.5 }), layers.dense({ units: 1 })], { seed: 8 });
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    return model;
  };
  const one = make();
  const other = make();
  const y = tensor(new Float32Array(4), [4, 1]);
  assert.deepEqual(
    await one.fit(x, y, { epochs: 3, verbose: 0 }),
    await other.fit(x, y, { epochs: 3, verbose: 0 }),
  );
  assert.deepEqual(await one.predict(x), await one.predict(x));
});

test('two inputs and two outputs with losses of their own', async () => {
  const left = input({ shape: [3], name: 'left' });
  const right = input({ shape: [2], name: 'right' });
  const both = layers.concatenate().apply(left, right);
  const first = layers.dense({ units: 1, name: 'first' }).apply(both);
  const second = layers.dense({ units: 2, activation: 'softmax', name: 'second' }).apply(both);
  const model = new Model({ inputs: [left, right], outputs: [first, second] });
  model.compile({
    optimizer: 'adam',
    loss: ['meanSquaredError', { loss: 'sparseCategoricalCrossentropy', weight: 0.5 }],
  });
  const x = [tensor(new Float32Array(30).fill(0.5), [10, 3]), tensor(new Float32Array(20).fill(-1), [10, 2])];
  const y = [tensor(new Float32Array(10).fill(2), [10, 1]), tensor(new Int32Array(10), [10])];
  const { history } = await model.fit(x, y, { epochs: 20, verbose: 0 });
  assert.ok(history['loss']!.at(-1)! < history['loss']![0]!);
  const outputs = (await model.predict(x)) as Tensor[];
  assert.deepEqual(
    outputs.map(({ shape }) => shape),
    [
      [10, 1],
      [10, 2],
    ],
  );
});

test('distributedTrain: the weights of one process with the whole batch, to rounding', {
  timeout: 60_000,
}, async () => {
  const { x, y } = quarters(400);
  const alone = net();
  const together = net();
  const one = await alone.fit(x, y, { epochs: 3, batchSize: 40, verbose: 0 });
  const two = await distributedTrain(together, x, y, {
    epochs: 3,
    batchSize: 20,
    numWorkers: 2,
    numParameterServers: 2,
    verbose: 0,
  });
  const [expected, got] = [weightsOf(alone), weightsOf(together)];
  for (const [i, value] of expected.entries())
    assert.ok(Math.abs(value - got[i]!) < 1e-4, `${i}: ${value} and ${got[i]}`);
  assert.ok(Math.abs(one.history['loss']!.at(-1)! - two.history['loss']!.at(-1)!) < 1e-4);
});

test('distributedTrain: a failed job throws and changes nothing', { timeout: 60_000 }, async () => {
  const { x, y } = quarters(50);
  const model = net();
  model.build([{ name: 'x', shape: [2], type: 'float32' }]);
  const before = weightsOf(model);
  await assert.rejects(distributedTrain(model, x, y, { batchSize: 100, numWorkers: 2, verbose: 0 }), {
    code: 'BATCH_TOO_LARGE',
  });
  assert.deepEqual(weightsOf(model), before);
  const untold = new Sequential([layers.dense({ units: 1 })]);
  await assert.rejects(distributedTrain(untold, x, y, { numWorkers: 1 }), { code: 'MODEL_NOT_COMPILED' });
});
