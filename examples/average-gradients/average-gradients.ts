// 100 nodes with ten samples each: the average of their gradients is the gradient over all samples.
import { layers, Sequential } from 'lepton';
import { engine } from '../../native/engine.ts';
import { lossesOf } from '../../worker/model/compile.ts';
import { Random } from '../../worker/random/philox.ts';

const NODES = 100;
const SAMPLES = 1000;
const FEATURES = 8;
const LEARNING_RATE = 0.01;
const STEPS = 600;

const random = new Random(1, 'samples');
const truth = Float64Array.from({ length: FEATURES }, (_, i) => i - 3.5);
const x = Float32Array.from({ length: SAMPLES * FEATURES }, () => random.normal());
const y = Float32Array.from(
  { length: SAMPLES },
  (_, i) => truth.reduce((sum, w, j) => sum + w * x[i * FEATURES + j]!, 0) + 0.01 * random.normal(),
);

const model = new Sequential([layers.dense({ units: 1, useBias: false })]);
model.compile({ optimizer: { sgd: { learningRate: LEARNING_RATE } }, loss: 'meanSquaredError' });
model.build([{ name: 'x', shape: [FEATURES], type: 'float32' }]);
const losses = lossesOf(model.compiled.config, model.network);
const node = engine.createModel(model.graph, { losses });
const weights = node.parameters as Float32Array;

/** Every node computes on its own samples; the gradients are summed in the order of the nodes. */
async function averageGradient(): Promise<Float32Array> {
  const share = SAMPLES / NODES;
  const sum = new Float32Array(FEATURES);
  for (let rank = 0; rank < NODES; rank++) {
    const features = x.subarray(rank * share * FEATURES, (rank + 1) * share * FEATURES);
    const targets = y.subarray(rank * share, (rank + 1) * share);
    await node.trainStep([features], [targets], { batchSize: share, step: 0 });
    for (let j = 0; j < FEATURES; j++) sum[j]! += node.gradients[j]! / NODES;
  }
  return sum;
}

/** 2/n Xᵀ(Xw - y), in double precision. */
function closedForm(): Float64Array {
  const gradient = new Float64Array(FEATURES);
  for (let i = 0; i < SAMPLES; i++) {
    let error = -y[i]!;
    for (let j = 0; j < FEATURES; j++) error += weights[j]! * x[i * FEATURES + j]!;
    for (let j = 0; j < FEATURES; j++) gradient[j]! += (2 / SAMPLES) * error * x[i * FEATURES + j]!;
  }
  return gradient;
}

let worst = 0;
for (let step = 0; step < STEPS; step++) {
  const gradient = await averageGradient();
  if (step % 100 === 0) {
    const exact = closedForm();
    const scale = Math.max(1e-3, ...exact.map(Math.abs));
    worst = Math.max(worst, ...exact.map((value, j) => Math.abs(value - gradient[j]!) / scale));
  }
  for (let j = 0; j < FEATURES; j++) weights[j]! -= LEARNING_RATE * gradient[j]!;
}
const distance = Math.max(...truth.map((w, j) => Math.abs(w - weights[j]!)));
console.log(
  JSON.stringify({ nodes: NODES, samples: SAMPLES, steps: STEPS, worstRelativeError: worst, distance }),
);
