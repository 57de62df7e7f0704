// Cat or dog with ten workers, in TypeScript:   node train.ts FOLDER [--workers N] [--epochs N] [--limit N]
import { parseArgs } from 'node:util';
import { distributedTrain, layers, openDataset, Sequential, tensor } from 'lepton';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    workers: { type: 'string', default: '10' },
    epochs: { type: 'string', default: '10' },
    limit: { type: 'string' },
  },
});
const uri = positionals[0] ?? 'cifar-10-batches-bin';

/** All cats and dogs of a split as one pair of tensors. */
async function load(split: 'train' | 'test') {
  const limit = values.limit === undefined ? {} : { limit: Number(values.limit) };
  const source = { format: 'cifar10', uri, split, classes: ['cat', 'dog'], ...limit } as const;
  await using data = await openDataset(
    { ...source, classes: [...source.classes] },
    { seed: 0, training: false, loss: 'categoricalCrossentropy' },
  );
  const all = await data.read(
    Uint32Array.from({ length: data.length }, (_, i) => i),
    0,
  );
  return { x: tensor(all.inputs[0]!, [all.size, 32, 32, 3]), y: tensor(all.targets[0]!, [all.size, 2]) };
}

const model = new Sequential([
  layers.conv2d({ filters: 32, kernelSize: 3, activation: 'relu' }),
  layers.maxPooling2d({ poolSize: 2 }),
  layers.flatten(),
  layers.dense({ units: 64, activation: 'relu' }),
  layers.dense({ units: 2, activation: 'softmax' }),
]);
model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy', metrics: ['accuracy'] });

const { x, y } = await load('train');
const numWorkers = Number(values.workers);
const stepsPerEpoch = Math.max(1, Math.floor(x.shape[0]! / (32 * numWorkers)));
await distributedTrain(model, x, y, {
  batchSize: 32,
  numWorkers,
  stepsPerEpoch,
  epochs: Number(values.epochs),
});

const test = await load('test');
console.log(await model.evaluate(test.x, test.y));
await model.save('cat-dog-model');
