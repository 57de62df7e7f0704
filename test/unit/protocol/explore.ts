// Every order in which the events of a small world can happen, each state looked at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';

export interface World<E> {
  /** What must happen sooner or later; without any the run is at its end, or stuck. */
  due(): E[];
  /** What may happen besides. */
  faults(): E[];
  happen(event: E): void;
  /** Throws where this is no end. */
  assertEnded(): void;
  /** Equal for worlds in which the same can follow. */
  key(): string;
}

/** A test for each size. */
export function testEveryOrder<S, E>(sizes: readonly S[], begin: (size: S) => World<E>): void {
  for (const size of sizes)
    test(`every order of events: ${JSON.stringify(size)}`, (context) => {
      const { states, ends } = explore(() => begin(size));
      context.diagnostic(`${states} states, ${ends} of them ends`);
      assert.ok(states > 100 && ends > 0);
    });
}

function explore<E>(begin: () => World<E>): { states: number; ends: number } {
  const seen = new Set<string>();
  const paths: E[][] = [[]];
  let ends = 0;
  for (let path = paths.pop(); path; path = paths.pop()) {
    const world = begin();
    for (const event of path) world.happen(event);
    const key = world.key();
    if (seen.has(key)) continue;
    seen.add(key);
    const due = world.due();
    if (due.length === 0) {
      world.assertEnded();
      ends++;
    }
    for (const event of [...due, ...world.faults()]) paths.push([...path, event]);
  }
  return { states: seen.size, ends };
}
