// Losses and gradients against PyTorch's in float64 (test/golden), on both devices.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { engine } from '../../../native/engine.ts';
import { lossesOf } from '../../../worker/model/compile.ts';
import { NETS, samplesOf, setWeights } from './nets.ts';

interface Golden {
  readonly torch: string;
  readonly nets: Readonly<
    Record<
      string,
      {
        readonly learningRate: number;
        readonly losses: readonly number[];
        readonly gradients: readonly {
          readonly norm: number;
          readonly stride: number;
          readonly entries: readonly number[];
        }[];
      }
    >
  >;
}

const golden = JSON.parse(
  await readFile(join(import.meta.dirname, '../../golden/golden.json'), 'utf8'),
) as Golden;
const TOLERANCE = 1e-4;
/** A norm of float64 below which a gradient is zero but for rounding: the bias of attention's keys moves all scores of a query alike. */
const ROUNDING = 1e-12;

for (const device of ['cpu', 'reference'] as const)
  for (const [name, net] of Object.entries(NETS))
    test(`${name} on ${device}: ten losses and the first gradients`, {
      timeout: 300_000,
    }, async (context) => {
      const expected = golden.nets[name]!;
      const model = net.make();
      model.compile({
        optimizer: { sgd: { learningRate: 0.01, momentum: 0.9 } },
        loss: 'sparseCategoricalCrossentropy',
      });
      model.build([net.input]);
      setWeights(model);
      const session = engine.createModel(model.graph, {
        device,
        losses: lossesOf(model.compiled.config, model.network),
      });
      session.parameters.set(model.parameters());
      const { x, y } = samplesOf(net);
      // float64 on reference, so the update is done here and not by the engine's float32 optimizer
      const velocity = new Float64Array(session.layout.trainableLength);
      let worst = 0;
      const steps = device === 'reference' && name === 'resnet20' ? 2 : expected.losses.length; // it is slow
      for (let step = 0; step < steps; step++) {
        const { loss } = await session.trainStep([x], [y], { batchSize: net.batch, step });
        worst = Math.max(worst, Math.abs(loss / expected.losses[step]! - 1));
        if (step === 0) worst = Math.max(worst, worstGradient(session, expected.gradients));
        for (let i = 0; i < velocity.length; i++) {
          velocity[i] = 0.9 * velocity[i]! + session.gradients[i]!;
          session.parameters[i]! -= expected.learningRate * velocity[i]!;
        }
      }
      session.dispose();
      context.diagnostic(`worst relative difference ${worst.toExponential(1)}`);
      assert.ok(worst <= TOLERANCE, `expected ${TOLERANCE} at most, got ${worst}`);
    });

/** Of norms, and of entries relative to themselves or, where they are small, to the tensor's root mean square. */
function worstGradient(
  session: ReturnType<typeof engine.createModel>,
  gradients: Golden['nets'][string]['gradients'],
): number {
  const entries = session.layout.entries.filter(({ trainable }) => trainable);
  assert.equal(entries.length, gradients.length);
  let worst = 0;
  for (const [i, { offset, length, name }] of entries.entries()) {
    const { norm, stride, entries: wanted } = gradients[i]!;
    const values = session.gradients.subarray(offset, offset + length);
    let squares = 0;
    for (const value of values) squares += value * value;
    const got = Math.sqrt(squares);
    if (norm < ROUNDING) {
      assert.ok(got < TOLERANCE / 100, `${name}: norm ${got} instead of zero`);
      continue;
    }
    assert.ok(Math.abs(got - norm) <= TOLERANCE * norm, `${name}: norm ${got} instead of ${norm}`);
    const scale = norm / Math.sqrt(length);
    for (const [j, value] of wanted.entries())
      worst = Math.max(worst, Math.abs(values[j * stride]! - value) / Math.max(scale, Math.abs(value)));
  }
  return worst;
}
