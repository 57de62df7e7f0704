// Holds messages back for random times, in order: shows in tests that results do not depend on timing. Off unless asked for.

export interface DelayOptions {
  readonly maxMs: number;
  readonly seed: number;
}

/** A `deliver` that is called later; messages of one stream keep their order. */
export function delayed<T>(deliver: (message: T) => void, options: DelayOptions): (message: T) => void {
  if (options.maxMs === 0) return deliver;
  let state = options.seed >>> 0;
  let tail: Promise<void> = Promise.resolve();
  return (message) => {
    // A linear congruential generator (Numerical Recipes) is random enough for waiting.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const ms = (state / 2 ** 32) * options.maxMs;
    tail = tail.then(async () => {
      await new Promise((resolve) => setTimeout(resolve, ms));
      deliver(message);
    });
  };
}
