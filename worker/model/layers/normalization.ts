// Batch and layer normalisation.
import { type FullOptions, type Lower, onlyInput, type ParameterPlan } from './layer.ts';

/** The learned factor and offset of a normalization over `width` channels. */
export function affine(
  { scale, center }: { scale: boolean; center: boolean },
  width: number,
): ParameterPlan[] {
  return [
    ...(scale ? [{ name: 'gamma', shape: [width], trainable: true, initializer: 'ones' } as const] : []),
    ...(center ? [{ name: 'beta', shape: [width], trainable: true, initializer: 'zeros' } as const] : []),
  ];
}

export const batchNormalization: Lower<FullOptions<'batchNormalization'>> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse);
  const width = shape.at(-1) ?? refuse('input shape', 'at least one dimension', '()');
  const { momentum, epsilon, scale, center } = options;
  const parameters: ParameterPlan[] = [
    ...affine(options, width),
    { name: 'movingMean', shape: [width], trainable: false, initializer: 'zeros' },
    { name: 'movingVariance', shape: [width], trainable: false, initializer: 'ones' },
  ];
  const uses = parameters.map(({ name }) => name);
  return { shape, parameters, nodes: [{ op: 'batchNormalization', momentum, epsilon, scale, center, uses }] };
};

export const layerNormalization: Lower<FullOptions<'layerNormalization'>> = (options, inputs, refuse) => {
  const { shape } = onlyInput(inputs, refuse);
  const width = shape.at(-1) ?? refuse('input shape', 'at least one dimension', '()');
  const { epsilon, scale, center } = options;
  const parameters = affine(options, width);
  const uses = parameters.map(({ name }) => name);
  return { shape, parameters, nodes: [{ op: 'layerNormalization', epsilon, scale, center, uses }] };
};
