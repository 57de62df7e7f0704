// Much to exchange and little to compute: 64 MiB of parameters, of which a step sees four samples.
import { fromArrays, layers, type Program, Sequential, tensor } from '../../../index.ts';
import { Random } from '../../../worker/random/philox.ts';

const SAMPLES = 1920;
const WIDTH = 128;
const UNITS = 65_536;

const program: Program = ({ seed }) => {
  const random = new Random(12, 'wide');
  const inputs = Float32Array.from({ length: SAMPLES * WIDTH }, () => random.normal());
  const classes = Int32Array.from({ length: SAMPLES }, () => random.integer(4));
  const model = new Sequential(
    [
      layers.dense({ units: UNITS, activation: 'relu' }),
      layers.dense({ units: WIDTH, activation: 'relu' }),
      layers.dense({ units: 4, activation: 'softmax' }),
    ],
    { seed },
  );
  const train = fromArrays([tensor(inputs, [SAMPLES, WIDTH])], [tensor(classes, [SAMPLES])]);
  return { model, data: { train } };
};
export default program;
