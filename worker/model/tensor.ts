// Arrays with a shape, batch first: how data enters and leaves a model. No arithmetic.
import { formatShape, ModelError } from './errors.ts';

export interface Tensor {
  readonly data: Float32Array | Int32Array;
  /** Row-major; the first dimension counts samples. */
  readonly shape: readonly number[];
}

/**
 * `tensor(values, [samples, ...])`. Plain number arrays become float32.
 * @throws ModelError DATA_SHAPE where shape and length differ.
 */
export function tensor(
  values: Float32Array | Int32Array | readonly number[],
  shape: readonly number[],
): Tensor {
  const data =
    values instanceof Float32Array || values instanceof Int32Array ? values : Float32Array.from(values);
  const expected = shape.reduce((product, size) => product * size, 1);
  if (shape.length === 0 || expected !== data.length) {
    const got = `${data.length} values for the shape ${formatShape(shape)}`;
    throw new ModelError(
      'DATA_SHAPE',
      `tensor: expected a shape [samples, ...] with the product of its sizes, got ${got}`,
    );
  }
  return { data, shape };
}
