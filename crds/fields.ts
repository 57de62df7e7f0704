// Scalar fields that several parts of a spec share, each with its bounds. No objects.
import { z } from 'zod';

export const whole = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum);
export const text = (maximum: number) => z.string().min(1).max(maximum);

/** Sizes of kernels, windows, units: far above anything useful, far below what overflows. */
export const size = () => whole(1, 65_536);
export const fraction = () => z.number().min(0).max(1);
export const rate = () => z.number().min(0).lt(1);
/** Of numbers: an API server compares whole ones (`1`) as 64-bit integers and overflows on bounds past 2^63. */
const LARGEST = 1e18;
/** Numbers that are added, multiplied or decayed by; finite in float32. */
export const positive = () => z.number().gt(0).max(LARGEST);
export const real = () => z.number().min(-LARGEST).max(LARGEST);

/** A path or file:// URI. Relative paths start at the manifest's folder. */
export const path = () => text(1024).regex(/^(file:\/\/.+|[^:]+)$/, 'expected a path or file:///path');

/** As `path`, or s3://bucket/key. */
export const location = () =>
  text(1024).regex(/^((file|s3):\/\/.+|[^:]+)$/, 'expected a path, file:///path or s3://bucket/key');
