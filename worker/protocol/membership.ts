// Who belongs to the job and under which epoch: servers enlist and load, workers join and are admitted, whoever is lost is
// replaced, and how many there are may change. Time comes in as a number; sending and loading are effects.
import type { RuntimeErrorCode } from './errors.ts';

/** Epochs of one life of the coordinator; its next life starts above them, so no epoch is ever given twice. */
const EPOCHS_PER_ATTEMPT = 2 ** 20;

/** No job has more workers. */
const MOST_WORKERS = 1024;

export interface MembershipOptions {
  /** At first; until somebody asks for another number, ranks above wait for that. */
  readonly workers: number;
  readonly servers: number;
  /** How often the coordinator's process was started before. */
  readonly attempt: number;
  /** The newest epoch that a life before has given, where one is remembered: not every start may have counted as an attempt. */
  readonly given?: number;
  /** A worker that says nothing for this long is reported lost. */
  readonly silentMs: number;
}

export type MembershipMessage =
  | { readonly kind: 'enlist'; readonly server: number }
  | { readonly kind: 'left'; readonly server: number }
  /** The newest usable checkpoint; undefined: there is none, rank 0 brings the initial parameters. */
  | {
      readonly kind: 'restorePoint';
      readonly epoch: number;
      readonly step: number | undefined;
      readonly foreign: boolean;
    }
  | { readonly kind: 'loaded'; readonly server: number; readonly epoch: number }
  | { readonly kind: 'initialized'; readonly server: number; readonly epoch: number }
  /** The first cut of this run is committed. */
  | { readonly kind: 'anchored'; readonly epoch: number }
  | {
      readonly kind: 'join';
      readonly rank: number;
      readonly attempt: number;
      /** Digest of model, data and training as this worker sees them. */
      readonly digest: string;
      readonly nowMs: number;
    }
  | { readonly kind: 'heartbeat'; readonly rank: number; readonly epoch: number; readonly nowMs: number }
  | { readonly kind: 'leave'; readonly rank: number; readonly epoch: number }
  /** Somebody wants another number of workers. `gone`: ranks above are not there any more, so no boundary can be waited for. */
  | { readonly kind: 'resize'; readonly workers: number; readonly gone: boolean }
  /** The boundary that `resizeAtBoundary` asked for is reached, and its checkpoint is committed. */
  | { readonly kind: 'boundary'; readonly workers: number }
  | { readonly kind: 'tick'; readonly nowMs: number };

export type MembershipEffect =
  | {
      readonly kind: 'refuse';
      readonly rank: number;
      readonly code: RuntimeErrorCode;
      readonly message: string;
    }
  | { readonly kind: 'findRestorePoint'; readonly epoch: number }
  /** Load the checkpoint of `step`; undefined: wait for initial parameters. */
  | {
      readonly kind: 'load';
      readonly server: number;
      readonly epoch: number;
      readonly step: number | undefined;
    }
  /** All servers hold `step`: set the ledger back to it. */
  | { readonly kind: 'restored'; readonly epoch: number; readonly step: number }
  /** Write a checkpoint before anybody trains, so that there is always one to go back to. */
  | { readonly kind: 'anchor'; readonly epoch: number; readonly step: number }
  | { readonly kind: 'askInitial'; readonly rank: number; readonly epoch: number }
  | { readonly kind: 'admit'; readonly rank: number; readonly epoch: number }
  | { readonly kind: 'rejoin'; readonly rank: number }
  /** The number of workers to go on with from the next fitting boundary; the present one: nothing is to change any more. */
  | { readonly kind: 'resizeAtBoundary'; readonly workers: number }
  /** From now on the job has this number of workers. */
  | { readonly kind: 'resized'; readonly workers: number }
  /** This worker is not needed: it may end. */
  | { readonly kind: 'dismiss'; readonly rank: number }
  | { readonly kind: 'lost'; readonly rank: number };

/** A worker that has joined and says nothing. */
export interface Silence {
  readonly rank: number;
  readonly attempt: number;
  readonly silentMs: number;
}

/** Ticks come four times a second; in a longer gap the coordinator itself stood still and could hear nobody. */
const AWAY_MS = 5000;

type Phase = 'gathering' | 'choosing' | 'loading' | 'initializing' | 'anchoring' | 'ready';

interface Member {
  attempt: number;
  /** 0 before the first admission and after a rollback. */
  epoch: number;
  /** Before the rollback: whoever still speaks under it is alive, and late. */
  formerEpoch: number;
  /** Joined and not yet answered. */
  waiting: boolean;
  lastSeenMs: number;
  state: 'absent' | 'present' | 'lost' | 'done';
}

export class Membership {
  readonly #options: MembershipOptions;
  #epoch: number;
  #phase: Phase = 'gathering';
  readonly #enlisted = new Set<number>();
  /** Servers that loaded, and those whose initial parameters are complete (an empty shard's are at once). */
  #loaded = new Set<number>();
  #initialized = new Set<number>();
  /** Epoch of the last load. */
  #base = 0;
  #step: number | undefined;
  #foreign = false;
  #digest: string | undefined;
  #lastTickMs: number | undefined;
  /** By rank: those of the job, and newcomers. */
  readonly #members = new Map<number, Member>();
  #workers: number;
  /** The number that somebody asked this life of the coordinator for. */
  #asked: number | undefined;
  /** What the next boundary is for; the present number while nothing is to change. */
  #next: number;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#epoch = Math.max(options.attempt * EPOCHS_PER_ATTEMPT, options.given ?? 0);
    this.#workers = options.workers;
    this.#next = options.workers;
    this.#keepPlaces();
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** How many workers share a step. */
  get workers(): number {
    return this.#workers;
  }

  /** How many are to share a step from the next fitting boundary on. */
  get nextWorkers(): number {
    return this.#next;
  }

  get baseEpoch(): number {
    return this.#base;
  }

  stateOf(rank: number): Member['state'] {
    return this.#members.get(rank)?.state ?? 'absent';
  }

  /** The newest epoch that anybody was given. */
  get newest(): number {
    return this.#epoch;
  }

  attemptOf(rank: number): number {
    return this.#members.get(rank)?.attempt ?? 0;
  }

  /** Ranks that have no session and ask for none. */
  get absent(): readonly number[] {
    return [...this.#members].flatMap(([rank, { epoch, waiting, state }]) =>
      rank < this.#workers && epoch === 0 && !waiting && state !== 'done' ? [rank] : [],
    );
  }

  /** Workers that joined and have not been heard for longer than `beyondMs`. */
  silent(nowMs: number, beyondMs: number): readonly Silence[] {
    if (this.#phase !== 'ready') return [];
    return [...this.#members].flatMap(([rank, { state, waiting, attempt, lastSeenMs }]) => {
      const silentMs = nowMs - lastSeenMs;
      const joined = (state === 'present' || state === 'lost') && !waiting;
      return joined && silentMs > beyondMs ? [{ rank, attempt, silentMs }] : [];
    });
  }

  /** True when this is the rank's present session. */
  isCurrent(rank: number, epoch: number): boolean {
    return this.#phase === 'ready' && this.#members.get(rank)?.epoch === epoch;
  }

  step(message: MembershipMessage): MembershipEffect[] {
    switch (message.kind) {
      case 'enlist':
        this.#enlisted.add(message.server);
        return this.#goBack();
      case 'left':
        this.#enlisted.delete(message.server);
        return this.#goBack();
      case 'restorePoint':
        return this.#load(message);
      case 'loaded':
        if (message.epoch === this.#base) this.#loaded.add(message.server);
        return this.#maybeLoaded();
      case 'initialized':
        if (message.epoch === this.#base) this.#initialized.add(message.server);
        return this.#maybeInitialized();
      case 'anchored':
        return this.#phase === 'anchoring' && message.epoch === this.#base ? this.#becomeReady() : [];
      case 'join':
        return this.#join(message);
      case 'heartbeat':
        return this.#heartbeat(message);
      case 'leave':
        if (this.isCurrent(message.rank, message.epoch)) this.#members.get(message.rank)!.state = 'done';
        return [];
      case 'resize':
        return this.#resize(message.workers, message.gone);
      case 'boundary':
        return message.workers === this.#next ? this.#change(message.workers) : [];
      case 'tick':
        return this.#tick(message.nowMs);
    }
  }

  /** Any change among the servers sends everybody back, to what is still held or the newest checkpoint, under a new epoch. */
  #goBack(): MembershipEffect[] {
    this.#phase = 'gathering';
    for (const member of this.#members.values()) {
      if (member.epoch !== 0) member.formerEpoch = member.epoch;
      member.epoch = 0;
    }
    if (this.#enlisted.size < this.#options.servers || this.#digest === undefined) return [];
    this.#phase = 'choosing';
    this.#base = ++this.#epoch;
    return [{ kind: 'findRestorePoint', epoch: this.#base }];
  }

  #load({ epoch, step, foreign }: Extract<MembershipMessage, { kind: 'restorePoint' }>): MembershipEffect[] {
    if (this.#phase !== 'choosing' || epoch !== this.#base) return [];
    this.#phase = 'loading';
    this.#loaded = new Set();
    this.#initialized = new Set();
    this.#step = step;
    this.#foreign = foreign;
    return Array.from({ length: this.#options.servers }, (_, server) => ({
      kind: 'load',
      server,
      epoch,
      step,
    }));
  }

  #maybeLoaded(): MembershipEffect[] {
    if (this.#phase !== 'loading' || this.#loaded.size < this.#options.servers) return [];
    if (this.#step !== undefined) return this.#restored(this.#step, this.#foreign);
    this.#phase = 'initializing';
    return [...(this.#members.get(0)?.waiting ? this.#askInitial() : []), ...this.#maybeInitialized()];
  }

  #maybeInitialized(): MembershipEffect[] {
    if (this.#phase !== 'initializing' || this.#initialized.size < this.#options.servers) return [];
    return this.#restored(0, true);
  }

  /** `anchor`: the checkpoint is not this run's own, so one is written first. */
  #restored(step: number, anchor: boolean): MembershipEffect[] {
    const restored: MembershipEffect = { kind: 'restored', epoch: this.#base, step };
    if (!anchor) return [restored, ...this.#becomeReady()];
    this.#phase = 'anchoring';
    return [restored, { kind: 'anchor', epoch: this.#base, step }];
  }

  #askInitial(): MembershipEffect[] {
    // It brings them and joins again; until then it has no session to give signs of life for.
    Object.assign(this.#members.get(0)!, { waiting: false, state: 'absent' });
    return [{ kind: 'askInitial', rank: 0, epoch: ++this.#epoch }];
  }

  #becomeReady(): MembershipEffect[] {
    this.#phase = 'ready';
    return ranks(0, this.#workers).flatMap((rank) => (this.#isWaiting(rank) ? this.#admit(rank) : []));
  }

  #admit(rank: number): MembershipEffect[] {
    const member = this.#members.get(rank)!;
    member.waiting = false;
    member.epoch = ++this.#epoch;
    return [{ kind: 'admit', rank, epoch: member.epoch }];
  }

  #join({ rank, attempt, digest, nowMs }: Extract<MembershipMessage, { kind: 'join' }>): MembershipEffect[] {
    if (rank >= MOST_WORKERS)
      return [refuse(rank, 'BAD_MESSAGE', `join: expected a rank below ${MOST_WORKERS}, got ${rank}`)];
    const member = this.#members.get(rank) ?? newMember();
    if (attempt < member.attempt)
      return [
        refuse(
          rank,
          'REPLACED',
          `join of rank ${rank}: attempt ${member.attempt} has its place, got ${attempt}`,
        ),
      ];
    if (this.#digest !== undefined && digest !== this.#digest)
      return [
        refuse(
          rank,
          'PLAN_MISMATCH',
          `join of rank ${rank}: its model, data or training differs from the first worker's (expected ${this.#digest}, got ${digest})`,
        ),
      ];
    // Until somebody has said how many there shall be, a rank above may be one that is wanted.
    if (rank >= this.#workers && this.#asked !== undefined && rank >= this.#asked)
      return [{ kind: 'dismiss', rank }];
    Object.assign(member, { attempt, waiting: true, epoch: 0, lastSeenMs: nowMs, state: 'present' });
    this.#members.set(rank, member);
    if (this.#digest === undefined) {
      this.#digest = digest;
      return this.#goBack();
    }
    if (rank >= this.#workers) return this.#maybeChange();
    if (this.#phase === 'ready') return this.#admit(rank);
    return this.#phase === 'initializing' && rank === 0 ? this.#askInitial() : [];
  }

  #heartbeat({ rank, epoch, nowMs }: Extract<MembershipMessage, { kind: 'heartbeat' }>): MembershipEffect[] {
    const member = this.#members.get(rank);
    // Somebody who evaluates hears of a rollback only afterwards.
    if (member && epoch === member.formerEpoch) member.lastSeenMs = nowMs;
    if (!member || !this.isCurrent(rank, epoch)) return [{ kind: 'rejoin', rank }];
    member.lastSeenMs = nowMs;
    if (member.state === 'lost') member.state = 'present';
    return [];
  }

  #resize(workers: number, gone: boolean): MembershipEffect[] {
    this.#asked = workers;
    if (workers < this.#workers && gone) return this.#change(workers);
    return [...this.#dismissAbove(Math.max(workers, this.#workers)), ...this.#maybeChange()];
  }

  /** Fewer workers leave at the next boundary; more are waited for, while those that are there train on. */
  #maybeChange(): MembershipEffect[] {
    const asked = this.#asked ?? this.#workers;
    const complete = ranks(this.#workers, asked).every((rank) => this.#isWaiting(rank));
    const next = complete ? asked : this.#workers;
    if (next === this.#next) return [];
    this.#next = next;
    return [{ kind: 'resizeAtBoundary', workers: next }];
  }

  /** Everybody goes back to the newest checkpoint, which is the boundary's, and goes on from there in another number. */
  #change(workers: number): MembershipEffect[] {
    if (workers === this.#workers) return [];
    this.#workers = workers;
    this.#next = workers;
    this.#keepPlaces();
    return [{ kind: 'resized', workers }, ...this.#dismissAbove(workers), ...this.#goBack()];
  }

  #keepPlaces(): void {
    for (const rank of ranks(0, this.#workers))
      if (!this.#members.has(rank)) this.#members.set(rank, newMember());
  }

  /** Those that train hear it when they join again. */
  #dismissAbove(workers: number): MembershipEffect[] {
    const above = [...this.#members].filter(([rank]) => rank >= workers);
    for (const [rank] of above) this.#members.delete(rank);
    return above.flatMap(([rank, { waiting }]) => (waiting ? [{ kind: 'dismiss', rank }] : []));
  }

  #isWaiting(rank: number): boolean {
    return this.#members.get(rank)?.waiting ?? false;
  }

  #tick(nowMs: number): MembershipEffect[] {
    const gapMs = nowMs - (this.#lastTickMs ?? nowMs);
    this.#lastTickMs = nowMs;
    if (gapMs > AWAY_MS) for (const member of this.#members.values()) member.lastSeenMs += gapMs;
    return [...this.#members].flatMap(([rank, member]) => {
      // Whoever waits for an answer of ours has no session to report on.
      if (member.state !== 'present' || member.waiting) return [];
      if (nowMs - member.lastSeenMs <= this.#options.silentMs) return [];
      member.state = 'lost';
      return [{ kind: 'lost', rank }];
    });
  }
}

function newMember(): Member {
  return { attempt: 0, epoch: 0, formerEpoch: 0, waiting: false, lastSeenMs: 0, state: 'absent' };
}

function ranks(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at);
}

function refuse(rank: number, code: RuntimeErrorCode, message: string): MembershipEffect {
  return { kind: 'refuse', rank, code, message };
}
