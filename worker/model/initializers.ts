// First values of parameters, by Keras 3's formulas. The same (seed, parameter name) gives the same values.
import type { InitializerName } from '../../crds/leptonjob.ts';
import type { Shape } from '../../native/graph.ts';
import { Random } from '../random/philox.ts';

/** Deviation of a unit normal that is cut off at two deviations: Keras divides by it so that the variance comes out right. */
const TRUNCATED_DEVIATION = 0.8796256610342398;
/** Keras' default spread of randomUniform, randomNormal and truncatedNormal. */
const SPREAD = 0.05;

/** Inputs and outputs of one value: of a kernel (..., in, out) with its window, of a vector its length. */
function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2) return { fanIn: shape[0] ?? 1, fanOut: shape[0] ?? 1 };
  const window = shape.slice(0, -2).reduce((product, size) => product * size, 1);
  return { fanIn: window * (shape.at(-2) as number), fanOut: window * (shape.at(-1) as number) };
}

type Draw = (random: Random) => number;

const uniform =
  (limit: number): Draw =>
  (random) =>
    (2 * random.uniform() - 1) * limit;
const normal =
  (deviation: number): Draw =>
  (random) =>
    random.normal() * deviation;
const truncated =
  (deviation: number): Draw =>
  (random) => {
    let value = random.normal();
    while (Math.abs(value) > 2) value = random.normal();
    return value * deviation;
  };

/** Variance scaling (Glorot and Bengio 2010; He et al. 2015; LeCun 1998): variance = factor / fan. */
function drawOf(initializer: Exclude<InitializerName, 'zeros' | 'ones'>, shape: Shape): Draw {
  const { fanIn, fanOut } = fans(shape);
  const mean = (fanIn + fanOut) / 2;
  switch (initializer) {
    case 'glorotUniform':
      return uniform(Math.sqrt(3 / mean));
    case 'heUniform':
      return uniform(Math.sqrt(6 / fanIn));
    case 'lecunUniform':
      return uniform(Math.sqrt(3 / fanIn));
    case 'glorotNormal':
      return truncated(Math.sqrt(1 / mean) / TRUNCATED_DEVIATION);
    case 'heNormal':
      return truncated(Math.sqrt(2 / fanIn) / TRUNCATED_DEVIATION);
    case 'lecunNormal':
      return truncated(Math.sqrt(1 / fanIn) / TRUNCATED_DEVIATION);
    case 'randomUniform':
      return uniform(SPREAD);
    case 'randomNormal':
      return normal(SPREAD);
    case 'truncatedNormal':
      return truncated(SPREAD);
  }
}

/** Fills `values`, the parameter `name` of that shape, in place. */
export function initialize(
  values: Float32Array,
  shape: Shape,
  initializer: InitializerName,
  seed: number,
  name: string,
): void {
  if (initializer === 'zeros') values.fill(0);
  else if (initializer === 'ones') values.fill(1);
  else {
    const random = new Random(seed, 'initialize', name);
    const draw = drawOf(initializer, shape);
    for (let i = 0; i < values.length; i++) values[i] = draw(random);
  }
}
