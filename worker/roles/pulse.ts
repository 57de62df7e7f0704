// A worker's signs of life: a heartbeat every second with its speed, and what the coordinator answers to it.
import { RuntimeError } from '../protocol/errors.ts';
import type { PhaseClock } from '../trace/phase-times.ts';
import type { CoordinationClient } from '../transport/clients.ts';

const INTERVAL_MS = 1000;
/** A heartbeat that is not answered is only missed; the session's own streams tell when the coordinator is gone. */
const CALL_MS = 5000;

interface Watched {
  fail(error: RuntimeError): void;
}

export class Pulse {
  readonly #coordinator: CoordinationClient;
  readonly #rank: number;
  readonly #trace: PhaseClock;
  readonly #timer: NodeJS.Timeout;
  #session: Watched | undefined;
  #epoch = 0;
  #state = 'running';
  #step = 0;
  #samples = 0;
  #waitedMs = 0;
  /** Since when it waits for others. */
  #waitsSinceMs: number | undefined;
  #sinceMs = performance.now();
  #busy = false;

  constructor(coordinator: CoordinationClient, rank: number, trace: PhaseClock) {
    this.#coordinator = coordinator;
    this.#rank = rank;
    this.#trace = trace;
    this.#timer = setInterval(() => void this.#beat(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** The session to end when the coordinator does not know it any more. */
  watch(session: Watched, epoch: number): void {
    this.#session = session;
    this.#epoch = epoch;
    this.#state = 'running';
    this.#waitsSinceMs = undefined;
  }

  trained(step: number, samples: number): void {
    this.#step = step;
    this.#samples += samples;
  }

  /** It waits for others from now on, until `waited`. */
  waits(): void {
    this.#waitsSinceMs = performance.now();
  }

  waited(): void {
    const now = performance.now();
    this.#waitedMs += now - (this.#waitsSinceMs ?? now);
    this.#waitsSinceMs = undefined;
  }

  enter(state: 'running' | 'evaluating'): void {
    this.#state = state;
  }

  /** The last heartbeat: this worker has done its part. */
  async finish(): Promise<void> {
    this.#session = undefined;
    this.#state = 'done';
    await this.#beat();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #beat(): Promise<void> {
    if (this.#busy || this.#epoch === 0) return;
    this.#busy = true;
    const [epoch, session] = [this.#epoch, this.#session];
    try {
      const { rejoin } = await this.#coordinator.heartbeat(this.#report(), CALL_MS);
      if (rejoin && session === this.#session)
        session?.fail(new RuntimeError('OLD_EPOCH', `the coordinator does not know epoch ${epoch}`));
    } catch {
      // The session's streams notice a coordinator that is gone.
    } finally {
      this.#busy = false;
    }
  }

  #report() {
    const waiting = this.#waitsSinceMs !== undefined;
    if (waiting) this.waited();
    if (waiting) this.waits();
    const now = performance.now();
    const seconds = (now - this.#sinceMs) / 1000;
    const report = {
      rank: this.#rank,
      epoch: this.#epoch,
      step: this.#step,
      samplesPerSecond: seconds > 0 ? this.#samples / seconds : 0,
      waitRatio: seconds > 0 ? Math.min(1, this.#waitedMs / 1000 / seconds) : 0,
      state: this.#state,
      waiting,
      phases: this.#trace.times(),
    };
    this.#samples = 0;
    this.#waitedMs = 0;
    this.#sinceMs = now;
    return report;
  }
}
