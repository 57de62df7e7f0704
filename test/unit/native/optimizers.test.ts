// Optimizers, sums and norms of the engine against their formulas in float64.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engine, type OptimizerSpec } from '../../../native/engine.ts';
import { Random } from '../../../worker/random/philox.ts';

const LENGTH = 1003; // no multiple of any vector
const STEPS = 8;
const RATE = 0.05;

type State = Record<string, number>;
/** One update of one parameter; `t` counts from 1. Keras 3's formulas. */
type Formula = (w: number, g: number, state: State, t: number) => number;

const momentumOf = (state: State, g: number, momentum: number): number =>
  (state['m'] = momentum * (state['m'] ?? 0) - RATE * g);

function adam(decay: number): Formula {
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-7];
  return (w, g, state, t) => {
    state['m'] = beta1 * (state['m'] ?? 0) + (1 - beta1) * g;
    state['v'] = beta2 * (state['v'] ?? 0) + (1 - beta2) * g * g;
    const alpha = (RATE * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
    return w - decay * RATE * w - (alpha * state['m']) / (Math.sqrt(state['v']) + epsilon);
  };
}

const CASES: Readonly<Record<string, [OptimizerSpec, Formula]>> = {
  sgd: [{ optimizer: 'sgd', momentum: 0, nesterov: false }, (w, g) => w - RATE * g],
  'sgd with momentum': [
    { optimizer: 'sgd', momentum: 0.9, nesterov: false },
    (w, g, state) => w + momentumOf(state, g, 0.9),
  ],
  'sgd with Nesterov momentum': [
    { optimizer: 'sgd', momentum: 0.9, nesterov: true },
    (w, g, state) => w + 0.9 * momentumOf(state, g, 0.9) - RATE * g,
  ],
  adam: [{ optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 }, adam(0)],
  adamW: [{ optimizer: 'adamW', beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 0.004 }, adam(0.004)],
  rmsprop: [
    { optimizer: 'rmsprop', rho: 0.9, momentum: 0, epsilon: 1e-7 },
    (w, g, state) => {
      state['v'] = 0.9 * (state['v'] ?? 0) + 0.1 * g * g;
      return w - (RATE * g) / Math.sqrt(state['v'] + 1e-7);
    },
  ],
  'rmsprop with momentum': [
    { optimizer: 'rmsprop', rho: 0.9, momentum: 0.5, epsilon: 1e-7 },
    (w, g, state) => {
      state['v'] = 0.9 * (state['v'] ?? 0) + 0.1 * g * g;
      state['m'] = 0.5 * (state['m'] ?? 0) + (RATE * g) / Math.sqrt(state['v'] + 1e-7);
      return w - state['m'];
    },
  ],
};

const normals = (random: Random): Float32Array =>
  Float32Array.from({ length: LENGTH }, () => random.normal());

for (const [name, [spec, formula]] of Object.entries(CASES)) {
  test(`${name}: the formula, in parts or at once, with scale and clipValue`, () => {
    const random = new Random(4, name);
    const start = normals(random);
    const whole = start.slice();
    const parts = start.slice();
    const expected = Float64Array.from(start);
    const states: State[] = Array.from({ length: LENGTH }, () => ({}));
    const [atOnce, inParts] = [engine.createOptimizer(spec, LENGTH), engine.createOptimizer(spec, LENGTH)];
    for (let t = 1; t <= STEPS; t++) {
      const gradients = normals(random);
      const options = { learningRate: RATE, iteration: t, scale: 0.5, clipValue: 0.6 };
      atOnce.update(whole, gradients, 0, LENGTH, options);
      for (const [from, to] of [
        [500, LENGTH],
        [0, 16],
        [16, 500],
      ] as const)
        inParts.update(parts, gradients, from, to, options);
      for (let i = 0; i < LENGTH; i++) {
        const g = Math.max(-0.6, Math.min(0.6, 0.5 * gradients[i]!));
        expected[i] = formula(expected[i]!, g, states[i]!, t);
      }
    }
    assert.deepEqual(parts, whole);
    for (let i = 0; i < LENGTH; i++) {
      const error = Math.abs(whole[i]! - expected[i]!);
      assert.ok(
        error <= 1e-5 * Math.max(1, Math.abs(expected[i]!)),
        `${name}[${i}]: ${whole[i]} instead of ${expected[i]}`,
      );
    }
  });
}

test('accumulate: at any alignment', () => {
  const bytes = new Uint8Array(4 * 100 + 1);
  const values = Float32Array.from({ length: 100 }, (_, i) => i / 7);
  bytes.set(new Uint8Array(values.buffer), 1);
  const sum = new Float32Array(120).fill(1);
  engine.accumulate(sum, 11, bytes.subarray(1), 2);
  for (let i = 0; i < 120; i++) {
    const added = i >= 11 && i < 111 ? 2 * values[i - 11]! : 0;
    assert.ok(Math.abs(sum[i]! - (1 + added)) < 1e-5);
  }
});

test('sumOfSquares: blocks make the sum independent of how it is cut', () => {
  const values = normals(new Random(5));
  const expected = values.reduce((sum, value) => sum + value * value, 0);
  assert.ok(Math.abs(engine.sumOfSquares(values, 0, LENGTH) - expected) < 1e-9 * expected);
});

test('allFinite: every place and alignment, every kind of what is not finite', () => {
  const random = new Random(8, 'finite');
  for (const length of [0, 1, 15, 4096, 4097, 10_000]) {
    for (let offset = 0; offset < 4; offset++) {
      const bytes = new Uint8Array(4 * length + offset).subarray(offset);
      const view = new DataView(bytes.buffer, offset);
      for (let at = 0; at < length; at++) view.setFloat32(4 * at, (random.uniform() - 0.5) * 6e38, true);
      assert.equal(engine.allFinite(bytes), true, `${length} from ${offset}`);
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        if (length === 0) continue;
        const at = 4 * random.integer(length);
        const good = view.getFloat32(at, true);
        view.setFloat32(at, bad, true);
        assert.equal(engine.allFinite(bytes), false, `${bad} at ${at}`);
        view.setFloat32(at, good, true);
      }
    }
  }
  assert.throws(() => engine.allFinite(new Uint8Array(7)), { code: 'ENGINE_ARGUMENT' });
});
