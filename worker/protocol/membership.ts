// Who belongs to the job and under which epoch: servers enlist and load, workers join and are admitted, whoever is lost is
// replaced. Time comes in as a number; sending and loading are effects.
import type { RuntimeErrorCode } from './errors.ts';

/** Epochs of one life of the coordinator; its next life starts above them, so no epoch is ever given twice. */
export const EPOCHS_PER_ATTEMPT = 2 ** 20;

export interface MembershipOptions {
  readonly workers: number;
  readonly servers: number;
  /** How often the coordinator's process was started before. */
  readonly attempt: number;
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
  readonly #members: Member[];

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#epoch = options.attempt * EPOCHS_PER_ATTEMPT;
    this.#members = Array.from({ length: options.workers }, () => ({
      attempt: 0,
      epoch: 0,
      formerEpoch: 0,
      waiting: false,
      lastSeenMs: 0,
      state: 'absent',
    }));
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** How many workers share a step. */
  get workers(): number {
    return this.#options.workers;
  }

  get baseEpoch(): number {
    return this.#base;
  }

  stateOf(rank: number): Member['state'] {
    return this.#members[rank]?.state ?? 'absent';
  }

  /** The newest epoch that anybody was given. */
  get newest(): number {
    return this.#epoch;
  }

  attemptOf(rank: number): number {
    return this.#members[rank]?.attempt ?? 0;
  }

  /** Ranks that have no session and ask for none. */
  get absent(): readonly number[] {
    return this.#members.flatMap(({ epoch, waiting, state }, rank) =>
      epoch === 0 && !waiting && state !== 'done' ? [rank] : [],
    );
  }

  /** Workers that joined and have not been heard for longer than `beyondMs`. */
  silent(nowMs: number, beyondMs: number): readonly Silence[] {
    if (this.#phase !== 'ready') return [];
    return this.#members.flatMap(({ state, waiting, attempt, lastSeenMs }, rank) => {
      const silentMs = nowMs - lastSeenMs;
      const joined = (state === 'present' || state === 'lost') && !waiting;
      return joined && silentMs > beyondMs ? [{ rank, attempt, silentMs }] : [];
    });
  }

  /** True when this is the rank's present session. */
  isCurrent(rank: number, epoch: number): boolean {
    return this.#phase === 'ready' && this.#members[rank]?.epoch === epoch;
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
        if (this.isCurrent(message.rank, message.epoch)) this.#members[message.rank]!.state = 'done';
        return [];
      case 'tick':
        return this.#tick(message.nowMs);
    }
  }

  /** Any change among the servers sends everybody back to the newest checkpoint under a new epoch. */
  #goBack(): MembershipEffect[] {
    this.#phase = 'gathering';
    for (const member of this.#members) {
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
    return [...(this.#members[0]?.waiting ? this.#askInitial() : []), ...this.#maybeInitialized()];
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
    Object.assign(this.#members[0]!, { waiting: false, state: 'absent' });
    return [{ kind: 'askInitial', rank: 0, epoch: ++this.#epoch }];
  }

  #becomeReady(): MembershipEffect[] {
    this.#phase = 'ready';
    return this.#members.flatMap((member, rank) => (member.waiting ? this.#admit(rank) : []));
  }

  #admit(rank: number): MembershipEffect[] {
    const member = this.#members[rank]!;
    member.waiting = false;
    member.epoch = ++this.#epoch;
    return [{ kind: 'admit', rank, epoch: member.epoch }];
  }

  #join({ rank, attempt, digest, nowMs }: Extract<MembershipMessage, { kind: 'join' }>): MembershipEffect[] {
    const member = this.#members[rank];
    if (!member)
      return [
        refuse(rank, 'BAD_MESSAGE', `join: expected a rank below ${this.#options.workers}, got ${rank}`),
      ];
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
    Object.assign(member, { attempt, waiting: true, epoch: 0, lastSeenMs: nowMs, state: 'present' });
    if (this.#digest === undefined) {
      this.#digest = digest;
      return this.#goBack();
    }
    if (this.#phase === 'ready') return this.#admit(rank);
    return this.#phase === 'initializing' && rank === 0 ? this.#askInitial() : [];
  }

  #heartbeat({ rank, epoch, nowMs }: Extract<MembershipMessage, { kind: 'heartbeat' }>): MembershipEffect[] {
    const member = this.#members[rank];
    // Somebody who evaluates hears of a rollback only afterwards.
    if (member && epoch === member.formerEpoch) member.lastSeenMs = nowMs;
    if (!member || !this.isCurrent(rank, epoch)) return [{ kind: 'rejoin', rank }];
    member.lastSeenMs = nowMs;
    if (member.state === 'lost') member.state = 'present';
    return [];
  }

  #tick(nowMs: number): MembershipEffect[] {
    const gapMs = nowMs - (this.#lastTickMs ?? nowMs);
    this.#lastTickMs = nowMs;
    if (gapMs > AWAY_MS) for (const member of this.#members) member.lastSeenMs += gapMs;
    return this.#members.flatMap((member, rank) => {
      // Whoever waits for an answer of ours has no session to report on.
      if (member.state !== 'present' || member.waiting) return [];
      if (nowMs - member.lastSeenMs <= this.#options.silentMs) return [];
      member.state = 'lost';
      return [{ kind: 'lost', rank }];
    });
  }
}

function refuse(rank: number, code: RuntimeErrorCode, message: string): MembershipEffect {
  return { kind: 'refuse', rank, code, message };
}
