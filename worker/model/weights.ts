// The numbers of a model: one arena laid out by the engine, addressed by parameter name.
import type { ArenaEntry, ArenaLayout } from '../../native/engine.ts';
import { formatShape, ModelError } from './errors.ts';
import { initialize } from './initializers.ts';
import type { Network } from './network.ts';
import type { Tensor } from './tensor.ts';

/** First values of the whole arena, state included: a function of the seed and the parameters' names. */
export function initialArena({ initializers }: Network, layout: ArenaLayout, seed: number): Float32Array {
  const arena = new Float32Array(layout.length);
  for (const { name, shape, offset, length } of layout.entries) {
    initialize(arena.subarray(offset, offset + length), shape, initializers.get(name) ?? 'zeros', seed, name);
  }
  return arena;
}

/** Copies of all parameters by name. */
export function readWeights(arena: Float32Array, layout: ArenaLayout): Map<string, Tensor> {
  return new Map(
    layout.entries.map(({ name, shape, offset, length }) => [
      name,
      { shape, data: arena.slice(offset, offset + length) },
    ]),
  );
}

/**
 * Sets parameters by name.
 * @throws ModelError DATA_SHAPE for an unknown name or another shape, before anything is changed.
 */
export function writeWeights(
  arena: Float32Array,
  layout: ArenaLayout,
  weights: Iterable<readonly [string, Tensor]>,
): void {
  const entries = new Map(layout.entries.map((entry) => [entry.name, entry]));
  const checked: [ArenaEntry, Tensor][] = [];
  for (const [name, value] of weights) {
    const entry = entries.get(name);
    if (!entry)
      throw new ModelError(
        'DATA_SHAPE',
        `weights: expected one of ${[...entries.keys()].join(', ')}, got '${name}'`,
      );
    if (entry.shape.join() !== value.shape.join() || value.data.length !== entry.length) {
      throw new ModelError(
        'DATA_SHAPE',
        `weights '${name}': expected the shape ${formatShape(entry.shape)}, got ${formatShape(value.shape)}`,
      );
    }
    checked.push([entry, value]);
  }
  for (const [{ offset }, { data }] of checked) arena.set(data, offset);
}
