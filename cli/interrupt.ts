// Ctrl-C and SIGTERM while a job runs: the first asks it to stop in order, the second ends at once. No printing.
export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export interface Interrupts extends Disposable {
  /** The first signal, once there was one. */
  readonly signal: StopSignal | undefined;
}

export function watchInterrupts(onFirst: (signal: StopSignal) => void, onSecond: () => void): Interrupts {
  let signal: StopSignal | undefined;
  const listener = (received: NodeJS.Signals) => {
    if (signal !== undefined) return onSecond();
    signal = received as StopSignal;
    onFirst(signal);
  };
  for (const name of SIGNALS) process.on(name, listener);
  return {
    get signal() {
      return signal;
    },
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, listener);
    },
  };
}
