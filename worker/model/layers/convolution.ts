// Convolutions and pooling over images (height, width, channels).

import type { Padding, Pair, Shape } from '../../../native/graph.ts';
import { formatShape } from '../errors.ts';
import { activationNodes, biasPlan } from './core.ts';
import type { NodePlan, ParameterPlan } from './layer.ts';
import { type FullOptions, type Lower, onlyInput, pairOf, type Refuse } from './layer.ts';

const IMAGE = ['height', 'width', 'channels'];

interface Window {
  readonly size: Pair;
  readonly strides: Pair;
  readonly dilation: Pair;
  readonly padding: Padding;
}

/** Rows and columns that a window gives. `same`: ceil(input / strides), as TensorFlow pads. */
function windowOutput(input: Shape, { size, strides, dilation, padding }: Window, refuse: Refuse): Pair {
  const along = (axis: 0 | 1): number => {
    const length = input[axis] as number;
    if (padding === 'same') return Math.ceil(length / strides[axis]);
    const extent = dilation[axis] * (size[axis] - 1) + 1;
    const padded = length + (padding === 'valid' ? 0 : padding[axis][0] + padding[axis][1]);
    if (padded < extent) {
      return refuse(
        'window',
        `at most ${padded} ${axis === 0 ? 'rows' : 'columns'} in the input ${formatShape(input)}`,
        `${extent}`,
      );
    }
    return Math.floor((padded - extent) / strides[axis]) + 1;
  };
  return [along(0), along(1)];
}

interface Kernel {
  readonly name: string;
  readonly groups: number;
  readonly filters: number;
  readonly initializer: ParameterPlan['initializer'];
}

type Convolution = Pick<
  FullOptions<'conv2d'>,
  'kernelSize' | 'strides' | 'padding' | 'dilationRate' | 'activation' | 'useBias' | 'biasInitializer'
>;

function convolution(
  options: Convolution,
  input: Shape,
  { name, groups, filters, initializer }: Kernel,
  refuse: Refuse,
) {
  const window: Window = {
    size: pairOf(options.kernelSize),
    strides: pairOf(options.strides),
    dilation: pairOf(options.dilationRate),
    padding: options.padding,
  };
  const channels = input[2] as number;
  const kernel: ParameterPlan = {
    name,
    shape: [...window.size, channels / groups, filters],
    trainable: true,
    initializer,
  };
  const parameters = [kernel, ...biasPlan(options, filters)];
  const { size: _, ...attributes } = window;
  const node: NodePlan = {
    op: 'conv2d',
    ...attributes,
    groups,
    uses: parameters.map((parameter) => parameter.name),
  };
  return {
    shape: [...windowOutput(input, window, refuse), filters],
    parameters,
    nodes: [node, ...activationNodes(options.activation)],
  };
}

export const conv2d: Lower<FullOptions<'conv2d'>> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse, IMAGE);
  const { groups, filters, kernelInitializer: initializer } = options;
  const channels = shape[2] as number;
  if (channels % groups !== 0)
    return refuse('groups', `a divisor of the ${channels} input channels`, `${groups}`);
  if (filters % groups !== 0) return refuse('groups', `a divisor of the ${filters} filters`, `${groups}`);
  return convolution(options, shape, { name: 'kernel', groups, filters, initializer }, refuse);
};

export const depthwiseConv2d: Lower<FullOptions<'depthwiseConv2d'>> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse, IMAGE);
  const groups = shape[2] as number;
  const filters = groups * options.depthMultiplier;
  return convolution(
    options,
    shape,
    { name: 'kernel', groups, filters, initializer: options.depthwiseInitializer },
    refuse,
  );
};

export function pooling(op: 'maxPooling2d' | 'averagePooling2d'): Lower<FullOptions<'maxPooling2d'>> {
  return (options, inputs, refuse) => {
    const { shape } = onlyInput(inputs, refuse, IMAGE);
    const poolSize = pairOf(options.poolSize);
    const strides = pairOf(options.strides ?? poolSize);
    const { padding } = options;
    const output = windowOutput(shape, { size: poolSize, strides, dilation: [1, 1], padding }, refuse);
    return {
      shape: [...output, shape[2] as number],
      parameters: [],
      nodes: [{ op, poolSize, strides, padding }],
    };
  };
}

export const globalAveragePooling2d: Lower<object> = (_options, inputs, refuse) => ({
  shape: [onlyInput(inputs, refuse, IMAGE).shape[2] as number],
  parameters: [],
  nodes: [{ op: 'globalAveragePooling2d' }],
});

export const globalAveragePooling1d: Lower<object> = (_options, inputs, refuse) => {
  const [length, channels] = onlyInput(inputs, refuse, ['length', 'channels']).shape as Pair;
  return {
    shape: [channels],
    parameters: [],
    nodes: [{ op: 'reshape', shape: [length, 1, channels] }, { op: 'globalAveragePooling2d' }],
  };
};
