// ResNet-20 (He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2) for 32 x 32 images.
import { input, layers, Model, type Program, type SymbolicTensor } from 'lepton';

const CLASSES = 10;
const BLOCKS = 3; // of each stage; 6 * BLOCKS + 2 layers with weights

function convolve(x: SymbolicTensor, filters: number, kernelSize: number, strides = 1): SymbolicTensor {
  const convolution = layers.conv2d({
    filters,
    kernelSize,
    strides,
    padding: 'same',
    useBias: false,
    kernelInitializer: 'heNormal',
  });
  return layers.batchNormalization().apply(convolution.apply(x));
}

function block(x: SymbolicTensor, filters: number, strides: number): SymbolicTensor {
  const first = layers.relu().apply(convolve(x, filters, 3, strides));
  const second = convolve(first, filters, 3);
  const shortcut = strides === 1 ? x : convolve(x, filters, 1, strides);
  return layers.relu().apply(layers.add().apply(second, shortcut));
}

const program: Program = ({ seed }) => {
  const image = input({ shape: [32, 32, 3] });
  let x = layers.relu().apply(convolve(image, 16, 3));
  for (const [stage, filters] of [16, 32, 64].entries())
    for (let i = 0; i < BLOCKS; i++) x = block(x, filters, stage > 0 && i === 0 ? 2 : 1);
  const pooled = layers.globalAveragePooling2d().apply(x);
  const outputs = layers.dense({ units: CLASSES, activation: 'softmax' }).apply(pooled);
  return new Model({ name: 'resnet20', inputs: image, outputs, seed });
};
export default program;
