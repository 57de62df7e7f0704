// Notices a stream that does not move although messages wait on it. Keepalive does not: such a peer may answer pings and take no data.

/** A message of 1 MiB takes that long at 140 kbit/s. */
export const STUCK_MS = 60_000;
/** A process that was stopped itself for longer than all of them sees one tick when it goes on, and not the last. */
const TICKS = 4;

export class Watchdog {
  readonly #timer: NodeJS.Timeout;
  #waiting = 0;
  #ticks = 0;

  /** `bark` is called once, with the number of messages that wait. */
  constructor(stuckMs: number, bark: (waiting: number) => void) {
    this.#timer = setInterval(() => {
      this.#ticks = this.#waiting === 0 ? 0 : this.#ticks + 1;
      if (this.#ticks <= TICKS) return;
      this.stop();
      bark(this.#waiting);
    }, stuckMs / TICKS).unref();
  }

  /** A message is queued. */
  queued(): void {
    this.#waiting++;
  }

  /** A message has left for the connection. */
  readonly left = (): void => {
    this.#waiting--;
    this.#ticks = 0;
  };

  stop(): void {
    clearInterval(this.#timer);
  }
}
