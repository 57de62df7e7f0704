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

/** An event after those before it. */
interface Path<E> {
  readonly before: Path<E> | undefined;
  readonly event: E;
}

function explore<E>(begin: () => World<E>): { states: number; ends: number } {
  const seen = new Set<string>();
  const paths: (Path<E> | undefined)[] = [undefined];
  let ends = 0;
  while (paths.length > 0) {
    let path = paths.pop();
    try {
      const world = begin();
      for (const event of eventsOf(path)) world.happen(event);
      // One of the events that can follow happens in place, so that the way to it need not be gone again.
      for (let key = world.key(); !seen.has(key); key = world.key()) {
        seen.add(key);
        const due = world.due();
        if (due.length === 0) {
          world.assertEnded();
          ends++;
        }
        const [next, ...others] = [...due, ...world.faults()];
        for (const event of others) paths.push({ before: path, event });
        if (next === undefined) break;
        path = { before: path, event: next };
        world.happen(next);
      }
    } catch (cause) {
      const events = eventsOf(path).map((event) => JSON.stringify(event));
      throw new Error(`after\n${events.join('\n')}`, { cause });
    }
  }
  return { states: seen.size, ends };
}

function eventsOf<E>(path: Path<E> | undefined): E[] {
  const events: E[] = [];
  for (let at = path; at; at = at.before) events.push(at.event);
  return events.reverse();
}
