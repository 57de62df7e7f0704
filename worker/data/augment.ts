// Random changes of images: flip, crop after padding, shift; a pure function of (seed, epoch, index). No decoding.
import type { Shape } from '../../native/graph.ts';
import { Random } from '../random/philox.ts';
import { DataError } from './errors.ts';
import type { SampleArray } from './samples.ts';
import type { Scaler } from './scale.ts';

/** `shift` and `crop.padding` in pixels. Cropping a padded image to its own size is a shift by up to the padding. */
export interface Augmentation {
  readonly flipHorizontal?: boolean;
  readonly crop?: { readonly padding: number };
  readonly shift?: number;
}

/** How one sample is moved; positive numbers move the picture down and right. */
export interface Move {
  readonly flip: boolean;
  readonly down: number;
  readonly right: number;
}

export function moveOf(augmentation: Augmentation, seed: number, epoch: number, index: number): Move {
  const random = new Random(seed, 'augment', epoch, index);
  const flip = augmentation.flipHorizontal === true && random.uniform() < 0.5;
  let down = 0;
  let right = 0;
  for (const reach of [augmentation.crop?.padding ?? 0, augmentation.shift ?? 0]) {
    if (reach === 0) continue;
    down += random.integer(2 * reach + 1) - reach;
    right += random.integer(2 * reach + 1) - reach;
  }
  return { flip, down, right };
}

/** @throws DataError SHAPE_MISMATCH where the samples are not images. */
export function requireImages(shape: Shape, where: string): void {
  if (shape.length === 3) return;
  const what = `${where}: augment: expected images (height, width, channels), got samples of shape (${shape.join(', ')})`;
  throw new DataError('SHAPE_MISMATCH', what);
}

/** Writes the moved image at raw[from..] to out[to..], scaled; what comes in from outside is a raw zero. */
export function copyMoved(
  raw: SampleArray,
  from: number,
  out: Float32Array,
  to: number,
  shape: Shape,
  move: Move,
  scaler: Scaler,
): void {
  const [height = 0, width = 0, channels = 0] = shape;
  const rowLength = width * channels;
  const left = Math.max(0, Math.min(width, move.right)); // first column that the picture covers
  const right = Math.max(0, Math.min(width, width + move.right)); // first column after it
  for (let y = 0; y < height; y++) {
    const target = to + y * rowLength;
    const row = y - move.down;
    if (row < 0 || row >= height || left >= right) {
      fill(out, target, width, scaler.zero);
      continue;
    }
    fill(out, target, left, scaler.zero);
    fill(out, target + right * channels, width - right, scaler.zero);
    const source = from + row * rowLength + (left - move.right) * channels;
    scaler.copy(raw, source, out, target + left * channels, (right - left) * channels);
    if (move.flip) reverse(out, target, width, channels);
  }
}

function fill(out: Float32Array, from: number, pixels: number, colour: Float32Array): void {
  for (let i = 0; i < pixels; i++) out.set(colour, from + i * colour.length);
}

function reverse(out: Float32Array, from: number, width: number, channels: number): void {
  for (let a = 0, b = width - 1; a < b; a++, b--) {
    for (let c = 0; c < channels; c++) {
      const i = from + a * channels + c;
      const j = from + b * channels + c;
      const kept = out[i]!;
      out[i] = out[j]!;
      out[j] = kept;
    }
  }
}
