// Clipping by the norm of the whole gradient (global_clipnorm in Keras; Pascanu et al. 2013).
import { engine } from '../../native/engine.ts';

/** The factor for all gradients so that their norm is at most `limit`; 1 where it already is. Not finite norms pass through. */
export function globalNormFactor(gradients: Float32Array, length: number, limit: number): number {
  const norm = Math.sqrt(engine.sumOfSquares(gradients, 0, length));
  return norm > limit ? limit / norm : 1;
}
