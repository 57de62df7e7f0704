// Who is waited for: workers that are not heard, workers that have not joined, workers whose share the step in progress lacks,
// and for how long it has lacked them. Made at every tick of the coordinator from what membership and ledger know. Pure.
import type { Ledger } from './ledger.ts';
import type { Membership, Silence } from './membership.ts';

export interface WaitReport {
  /** Joined, and not heard for a while. */
  readonly silent: readonly { readonly rank: number; readonly attempt: number; readonly seconds: number }[];
  /** Not joined. */
  readonly absent: readonly number[];
  /** Their share is missing in a step that takes longer than a moment. */
  readonly awaited: readonly AwaitedWorker[];
  /** For so long no step has ended although all had joined, all were heard, and nobody evaluated or took a checkpoint. */
  readonly standingSeconds: number;
}

export interface AwaitedWorker {
  readonly rank: number;
  readonly attempt: number;
  /** It says that it waits for parameters itself. */
  readonly waiting: boolean;
}

interface Heard {
  readonly rank: number;
  readonly state: string;
  readonly waiting?: boolean;
}

/** Heartbeats come every second. */
const SILENT_MS = 5000;
/** Steps shorter than this are nobody's wait. */
const MOMENT_MS = 1000;
/** Ticks come four times a second; in a longer gap the coordinator itself stood still, which is no step's fault. */
const LONGEST_TICK_MS = 1000;

export class Waits {
  readonly #states = new Map<number, Heard>();
  #step = -1;
  #newest = -1;
  #standingMs = 0;
  #lastMs: number | undefined;

  heard(heartbeat: Heard): void {
    this.#states.set(heartbeat.rank, heartbeat);
  }

  tick(
    nowMs: number,
    membership: Pick<Membership, 'phase' | 'absent' | 'newest' | 'attemptOf' | 'silent'>,
    ledger: Pick<Ledger, 'position' | 'awaited'> | undefined,
  ): WaitReport {
    const silent = membership.silent(nowMs, SILENT_MS);
    const { absent } = membership;
    const awaited = membership.phase === 'ready' ? (ledger?.awaited ?? []) : [];
    const evaluating = awaited.some((rank) => this.#states.get(rank)?.state === 'evaluating');
    const able = awaited.length > 0 && absent.length === 0 && silent.length === 0 && !evaluating;
    this.#count(nowMs, able, ledger?.position ?? -1, membership.newest);
    const missing = awaited.filter((rank) => !absent.includes(rank));
    return {
      silent: silent.map(secondsOf),
      absent,
      awaited:
        this.#standingMs >= MOMENT_MS || silent.length > 0
          ? missing.map((rank) => this.#view(rank, membership))
          : [],
      standingSeconds: this.#standingMs / 1000,
    };
  }

  /** Whoever joins, and every step, starts the count anew. */
  #count(nowMs: number, able: boolean, step: number, newest: number): void {
    const sinceMs = Math.min(nowMs - (this.#lastMs ?? nowMs), LONGEST_TICK_MS);
    const same = able && step === this.#step && newest === this.#newest;
    this.#standingMs = same ? this.#standingMs + sinceMs : 0;
    this.#lastMs = nowMs;
    this.#step = step;
    this.#newest = newest;
  }

  #view(rank: number, membership: Pick<Membership, 'attemptOf'>): AwaitedWorker {
    return { rank, attempt: membership.attemptOf(rank), waiting: this.#states.get(rank)?.waiting ?? false };
  }
}

function secondsOf({ rank, attempt, silentMs }: Silence): WaitReport['silent'][number] {
  return { rank, attempt, seconds: silentMs / 1000 };
}
