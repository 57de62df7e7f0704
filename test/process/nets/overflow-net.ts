// A finite loss with an infinite gradient: outputs are zero, so only the gradient multiplies what is too large with what is large.
import { fromArrays, layers, type Program, Sequential, tensor } from '../../../index.ts';

const SAMPLES = 1920;

const program: Program = ({ seed }) => {
  const inputs = new Float32Array(SAMPLES * 4).fill(1e38);
  const targets = new Float32Array(SAMPLES).fill(1e5);
  const model = new Sequential([layers.dense({ units: 1, kernelInitializer: 'zeros' })], { seed });
  return {
    model,
    data: { train: fromArrays([tensor(inputs, [SAMPLES, 4])], [tensor(targets, [SAMPLES, 1])]) },
  };
};
export default program;
