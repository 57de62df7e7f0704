// The model and data of the process tests: a convolutional net without dropout on 1920 made-up images of 4 classes.
import { fromArrays, layers, type Program, Sequential, tensor } from '../../../index.ts';
import { Random } from '../../../worker/random/philox.ts';

const SAMPLES = 1920;
const SIDE = 12;

export const netWith =
  (units: number): Program =>
  ({ seed }) => {
    const random = new Random(11, 'images');
    const images = new Float32Array(SAMPLES * SIDE * SIDE);
    const classes = new Int32Array(SAMPLES);
    for (let sample = 0; sample < SAMPLES; sample++) {
      const label = random.integer(4);
      classes[sample] = label;
      for (let at = 0; at < SIDE * SIDE; at++) {
        const [row, column] = [Math.floor(at / SIDE), at % SIDE];
        const inside = row < SIDE / 2 === label < 2 && column < SIDE / 2 === (label % 2 === 0);
        images[sample * SIDE * SIDE + at] = (inside ? 0.6 : 0) + 0.5 * random.normal();
      }
    }
    const model = new Sequential(
      [
        layers.conv2d({ filters: 8, kernelSize: 3, activation: 'relu' }),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.flatten(),
        layers.dense({ units, activation: 'tanh' }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ],
      { seed },
    );
    const all = fromArrays([tensor(images, [SAMPLES, SIDE, SIDE, 1])], [tensor(classes, [SAMPLES])]);
    return { model, data: { train: all } };
  };
export default netWith(64);
