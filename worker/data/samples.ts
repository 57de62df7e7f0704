// What a format hands to the pipeline: raw samples by index and all labels. No scaling, no batches.
import type { Shape } from '../../native/graph.ts';

/** Raw numbers as the pipeline takes them; formats turn every other stored type into one of these. */
export type Element = 'uint8' | 'int32' | 'float32';
export type SampleArray = Uint8Array | Int32Array | Float32Array;

/** Labels of all samples. Class labels are indices from 0; `where` says where label i is stored, for messages. */
export type Labels =
  | {
      readonly kind: 'class';
      readonly values: Int32Array;
      readonly names?: readonly string[];
      readonly where: (index: number) => string;
    }
  | { readonly kind: 'value'; readonly values: Float32Array; readonly shape: Shape };

export interface SampleSource extends AsyncDisposable {
  /** Path or URI, for messages. */
  readonly name: string;
  readonly length: number;
  /** Of one sample; images are (height, width, channels). */
  readonly shape: Shape;
  readonly element: Element;
  readonly labels?: Labels;
  /** Decoding is dear (images): samples are kept as they are first read, not read ahead. */
  readonly costly?: boolean;
  /** Fills `into` with the samples at `indices`, in that order, row-major. */
  read(indices: Uint32Array, into: SampleArray): Promise<void>;
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, side) => product * side, 1);
}

export function allocate(element: Element, length: number): SampleArray {
  if (element === 'uint8') return new Uint8Array(length);
  return element === 'int32' ? new Int32Array(length) : new Float32Array(length);
}
