// Layers that join several tensors: for residual and multi-branch nets.
import { formatShape } from '../errors.ts';
import type { Lower, Refuse, TensorSpec } from './layer.ts';

function several(inputs: readonly TensorSpec[], refuse: Refuse): TensorSpec {
  if (inputs.length < 2) return refuse('inputs', 'two or more tensors', `${inputs.length}`);
  return inputs[0] as TensorSpec;
}

export function merge(op: 'add' | 'multiply'): Lower<object> {
  return (_options, inputs, refuse) => {
    const { shape } = several(inputs, refuse);
    for (const other of inputs) {
      if (other.shape.join() !== shape.join())
        refuse('input shapes', formatShape(shape), formatShape(other.shape));
    }
    return { shape, parameters: [], nodes: [{ op }] };
  };
}

/** `axis` counts after batch from 0; negative counts from the end. */
export const concatenate: Lower<{ axis: number }> = ({ axis }, inputs, refuse) => {
  const { shape } = several(inputs, refuse);
  const at = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(at) || at < 0 || at >= shape.length)
    refuse('axis', `-${shape.length} to ${shape.length - 1}`, `${axis}`);
  for (const other of inputs) {
    const fits =
      other.shape.length === shape.length && other.shape.every((size, i) => i === at || size === shape[i]);
    if (!fits) refuse(`input shapes apart from axis ${axis}`, formatShape(shape), formatShape(other.shape));
  }
  const joined = inputs.reduce((sum, input) => sum + (input.shape[at] as number), 0);
  return { shape: shape.with(at, joined), parameters: [], nodes: [{ op: 'concat', axis: at }] };
};
