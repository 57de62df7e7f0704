// The coordinator's ledger of work: every share of a step, or every batch where batches are leased, is counted exactly once. Decides
// when a step begins, when a cut is due, when the job has ended. No numbers of the model.
import type { RuntimeErrorCode } from './errors.ts';
import { type Directive, type Ending, isEnding } from './gather.ts';
import { type Lease, Leases } from './leases.ts';
import { mayBegin, type Pace } from './pace.ts';

export interface LedgerOptions {
  readonly workers: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** Steps between checkpoints; the last step always has one. */
  readonly checkpointEvery: number;
  readonly evaluates: boolean;
  /** Workers that no step waits for: the slowest ones. Default 0. */
  readonly backupWorkers?: number;
  /** Batches are leased one by one; a worker may be so many steps ahead of the oldest one that is not done. */
  readonly leaseBound?: number;
}

/** Sums over samples: the loss first, then each metric in the order of the plan. */
export interface Totals {
  readonly samples: number;
  readonly sums: readonly number[];
}

export interface LedgerEpoch {
  readonly epoch: number; // counted from 1
  readonly step: number;
  readonly milliseconds: number;
  readonly train: Totals;
  readonly evaluation?: Totals;
}

/** All that a checkpoint keeps of the ledger. */
export interface LedgerState {
  /** Every share of every step below it is done and counted. */
  readonly step: number;
  /** Of the epoch in progress. */
  readonly train: Totals;
  readonly milliseconds: number;
  readonly history: readonly LedgerEpoch[];
}

export type LedgerMessage =
  | { readonly kind: 'restore'; readonly state: LedgerState | undefined; readonly nowMs: number }
  /** The share of `rank` in `step` is done. */
  | {
      readonly kind: 'record';
      readonly rank: number;
      /** Or the batch, where batches are leased. */
      readonly step: number;
      readonly totals: Totals;
      readonly nowMs: number;
    }
  | { readonly kind: 'evaluation'; readonly rank: number; readonly step: number; readonly totals: Totals }
  /** All is as it was at a step that was restored from memory: of that there need not be a checkpoint. */
  | { readonly kind: 'resume' }
  /** The cut before `step` is taken: training may go on. */
  | { readonly kind: 'cutTaken'; readonly step: number }
  /** The checkpoint of `step` is committed. */
  | { readonly kind: 'committed'; readonly step: number }
  /** No checkpoint of `step` could be made. */
  | { readonly kind: 'abandoned'; readonly step: number }
  | { readonly kind: 'stop' }
  /** Go no further than the next boundary from which this number of workers can go on; the present number takes it back. */
  | ({ readonly kind: 'resize' } & Pick<Pace, 'workers' | 'samplesPerStep' | 'fixed'>)
  /** Go no further than the next boundary: this process is about to end. */
  | { readonly kind: 'hold' }
  /** A rank listens from now on, and hears what it has to know; or it does not any more. */
  | { readonly kind: 'listen' | 'leave'; readonly rank: number };

export type LedgerEffect =
  | { readonly kind: 'refuse'; readonly code: RuntimeErrorCode; readonly message: string }
  | { readonly kind: 'cut'; readonly step: number }
  /** Everybody hears it. */
  | { readonly kind: 'begin'; readonly step: number; readonly directive: Directive }
  /** The same for one rank that listens anew. */
  | { readonly kind: 'tell'; readonly rank: number; readonly step: number; readonly directive: Directive }
  /** Steps go on from here; their batches are leased. */
  | { readonly kind: 'goOn'; readonly step: number }
  | ({ readonly kind: 'lease' } & Lease)
  /** The step is made of these ranks, in ascending order. */
  | { readonly kind: 'quorum'; readonly step: number; readonly ranks: readonly number[] }
  | { readonly kind: 'epochEnded'; readonly record: LedgerEpoch }
  | { readonly kind: 'evaluated'; readonly record: LedgerEpoch }
  | { readonly kind: 'ended'; readonly directive: Ending }
  /** The boundary that `resize` asked for is reached, and its checkpoint is committed. */
  | { readonly kind: 'boundary'; readonly step: number; readonly workers: number }
  /** The same for `hold`. */
  | { readonly kind: 'held'; readonly step: number };

interface Fold {
  samples: number;
  sums: number[];
}

export class Ledger {
  readonly #options: LedgerOptions;
  #step = 0;
  #done: (Totals | undefined)[] = [];
  #train: Fold = emptyFold();
  #milliseconds = 0;
  #sinceMs = 0;
  #history: LedgerEpoch[] = [];
  /** Step -> totals by rank, of evaluations that are not complete. */
  #evaluations = new Map<number, (Totals | undefined)[]>();
  #stopping = false;
  /** The newest step whose begin was announced; behind #step while a cut is taken. */
  #begun = -1;
  #directive: Directive = 'train';
  #committed = -1;
  /** The newest step before which a cut is taken. */
  #taken = -1;
  #next: Extract<LedgerMessage, { kind: 'resize' }> | undefined;
  #holding = false;
  #ended = false;
  /** Whether training stands at the present boundary until a cut is taken. */
  #cutDue = true;
  readonly #leases: Leases | undefined;

  constructor(options: LedgerOptions) {
    this.#options = options;
    const { workers, leaseBound: bound } = options;
    if (bound !== undefined) this.#leases = new Leases({ workers, bound });
  }

  /** The announcement that a worker which joins late must hear. */
  get begun(): { readonly step: number; readonly directive: Directive } | undefined {
    return this.#begun < 0 ? undefined : { step: this.#begun, directive: this.#directive };
  }

  /** Grows with whatever is done. */
  get position(): number {
    return this.#leasing?.done ?? this.#step;
  }

  /** While batches are out. */
  get #leasing(): Leases | undefined {
    return this.#begun === this.#step && this.#directive === 'train' ? this.#leases : undefined;
  }

  /** Ranks whose share the step in progress lacks; none before it has begun, and none when there is nothing left to train. */
  get awaited(): readonly number[] {
    if (this.#begun < this.#step || this.#directive !== 'train') return [];
    if (this.#leases) return this.#leases.awaited;
    return Array.from({ length: this.#options.workers }, (_, rank) => rank).filter(
      (rank) => this.#done[rank] === undefined,
    );
  }

  /** Nothing goes on before the checkpoint of the present step is committed. */
  get awaitsCommit(): boolean {
    const stands = this.#begun < this.#step || isEnding(this.#directive);
    return stands && !this.#ended && this.#committed < this.#step;
  }

  state(nowMs: number): LedgerState {
    return {
      step: this.#leasing?.step ?? this.#step,
      train: { samples: this.#train.samples, sums: [...this.#train.sums] },
      milliseconds: this.#milliseconds + (nowMs - this.#sinceMs),
      history: [...this.#history],
    };
  }

  step(message: LedgerMessage): LedgerEffect[] {
    switch (message.kind) {
      case 'restore':
        return this.#restore(message.state, message.nowMs);
      case 'record':
        return this.#record(message);
      case 'evaluation':
        return this.#evaluation(message);
      case 'resume':
        return this.#cutOrBegin();
      case 'cutTaken':
        this.#taken = Math.max(this.#taken, message.step);
        return this.#atBoundary();
      case 'committed':
        this.#committed = Math.max(this.#committed, message.step);
        return [...this.#atBoundary(), ...this.#maybeEnded()];
      case 'abandoned':
        return this.#abandon(message.step);
      case 'stop':
        this.#stopping = true;
        return this.#nextBoundary();
      case 'resize':
        this.#next = message;
        return this.#nextBoundary();
      case 'hold':
        this.#holding = true;
        return this.#nextBoundary();
      case 'listen':
        return this.#listen(message.rank);
      case 'leave':
        return this.#leased(this.#leases?.leave(message.rank) ?? []);
    }
  }

  #leased(leases: readonly Lease[]): LedgerEffect[] {
    return leases.map((lease) => ({ kind: 'lease', ...lease }));
  }

  #listen(rank: number): LedgerEffect[] {
    const leases = this.#leased(this.#leases?.listen(rank) ?? []);
    if (this.#begun < 0 || this.#leasing) return leases;
    return [{ kind: 'tell', rank, step: this.#begun, directive: this.#directive }];
  }

  /** Somebody waits for the next boundary: leased batches lead there, and no others. */
  #nextBoundary(): LedgerEffect[] {
    if (this.#isAskedToStay()) this.#leasing?.shorten();
    return this.#atBoundary();
  }

  #isAskedToStay(): boolean {
    const { workers } = this.#options;
    return this.#stopping || this.#holding || (this.#next?.workers ?? workers) !== workers;
  }

  /** Between two steps: whether the next begins, or somebody waits for this moment. */
  #atBoundary(): LedgerEffect[] {
    const step = this.#step;
    if (this.#begun === step) return [];
    const stays = this.#stays();
    if (!this.#cutDue && (stays || this.#stopping)) {
      this.#cutDue = true;
      return [{ kind: 'cut', step }];
    }
    if (stays) return this.#committed === step ? [{ ...stays, step }] : [];
    return this.#cutDue && this.#taken !== step ? [] : this.#begin();
  }

  /** Who waited for this boundary waits for the next: training goes on. */
  #abandon(step: number): LedgerEffect[] {
    const standing = this.#begun < this.#step && this.#taken === this.#step;
    return step === this.#step && standing && this.#stays() ? this.#begin() : [];
  }

  /** Why no step begins from here, whatever is cut. A run that stops or is at its end goes on to that. */
  #stays(): { kind: 'held' } | { kind: 'boundary'; workers: number } | undefined {
    if (this.#stopping || this.#step === this.#options.steps) return undefined;
    if (this.#holding) return { kind: 'held' };
    const next = this.#next;
    if (!next || next.workers === this.#options.workers || !mayBegin(next, this.#train.samples))
      return undefined;
    return { kind: 'boundary', workers: next.workers };
  }

  #restore(state: LedgerState | undefined, nowMs: number): LedgerEffect[] {
    this.#step = state?.step ?? 0;
    this.#train = { samples: state?.train.samples ?? 0, sums: [...(state?.train.sums ?? [])] };
    this.#milliseconds = state?.milliseconds ?? 0;
    this.#sinceMs = nowMs;
    this.#history = [...(state?.history ?? [])];
    this.#done = [];
    this.#evaluations = new Map();
    this.#begun = -1;
    this.#committed = -1;
    this.#taken = -1;
    this.#cutDue = true;
    this.#ended = false;
    return [];
  }

  #record(record: Extract<LedgerMessage, { kind: 'record' }>): LedgerEffect[] {
    const { rank, step, totals, nowMs } = record;
    const { workers, backupWorkers = 0 } = this.#options;
    if (rank < 0 || rank >= workers)
      return [refuse('BAD_MESSAGE', `record: expected a rank below ${workers}, got ${rank}`)];
    if (this.#leases) return this.#recordBatch(this.#leases, record);
    if (step > this.#step || this.#begun < step)
      return [
        refuse('STEP_AHEAD', `record of rank ${rank}: expected step ${this.#begun} at most, got ${step}`),
      ];
    // Late or repeated: counted already, or done without.
    if (step < this.#step || this.#done[rank] !== undefined) return [];
    const flaw = flawOf(`record of rank ${rank}, step ${step}`, totals);
    if (flaw) return [flaw];
    this.#done[rank] = totals;
    const ranks = Array.from({ length: workers }, (_, at) => at).filter((at) => this.#done[at]);
    if (ranks.length < Math.max(1, workers - backupWorkers)) return [];
    const quorum: LedgerEffect[] = backupWorkers > 0 ? [{ kind: 'quorum', step, ranks }] : [];
    return [...quorum, ...this.#fold(nowMs)];
  }

  #recordBatch(
    leases: Leases,
    { rank, step: batch, totals, nowMs }: Extract<LedgerMessage, { kind: 'record' }>,
  ): LedgerEffect[] {
    const stands = batch < this.#step * this.#options.workers ? 'late' : 'ahead';
    const judgement = this.#leasing?.judge(batch) ?? stands;
    if (judgement === 'late') return [];
    if (judgement === 'ahead')
      return [refuse('STEP_AHEAD', `record of rank ${rank}: batch ${batch} is not leased`)];
    const flaw = flawOf(`record of rank ${rank}, batch ${batch}`, totals);
    if (flaw) return [flaw];
    add(this.#train, totals);
    const more = leases.finish(batch);
    if (!leases.isDone) return this.#leased(more);
    this.#step = leases.end;
    return this.#complete(nowMs);
  }

  /** All shares of the step are done: add them in rank order. */
  #fold(nowMs: number): LedgerEffect[] {
    for (const totals of this.#done) if (totals) add(this.#train, totals);
    this.#done = [];
    this.#step++;
    return this.#complete(nowMs);
  }

  /** All that was before the present step is done: see what comes next. */
  #complete(nowMs: number): LedgerEffect[] {
    const effects = this.#step % this.#options.stepsPerEpoch === 0 ? this.#endEpoch(nowMs) : [];
    return [...effects, ...this.#cutOrBegin()];
  }

  #cutOrBegin(): LedgerEffect[] {
    const { steps, checkpointEvery } = this.#options;
    const due = this.#stopping || this.#step === steps || this.#step % checkpointEvery === 0;
    this.#cutDue = due || this.#stays() !== undefined;
    return this.#cutDue ? [{ kind: 'cut', step: this.#step }] : this.#begin();
  }

  #endEpoch(nowMs: number): LedgerEffect[] {
    const record: LedgerEpoch = {
      epoch: this.#step / this.#options.stepsPerEpoch,
      step: this.#step,
      milliseconds: this.#milliseconds + (nowMs - this.#sinceMs),
      train: this.#train,
    };
    this.#history.push(record);
    this.#train = emptyFold();
    this.#milliseconds = 0;
    this.#sinceMs = nowMs;
    return [{ kind: 'epochEnded', record }];
  }

  #begin(): LedgerEffect[] {
    this.#begun = this.#step;
    if (this.#step === this.#options.steps) this.#directive = 'finish';
    else if (this.#stopping) this.#directive = 'stop';
    else this.#directive = this.#owesEvaluation() ? 'evaluate' : 'train';
    if (this.#leases && this.#directive === 'train')
      return [
        { kind: 'goOn', step: this.#step },
        ...this.#leased(this.#leases.open(this.#step, this.#end())),
      ];
    return [{ kind: 'begin', step: this.#step, directive: this.#directive }, ...this.#maybeEnded()];
  }

  /** Where a step does not wait for all workers, none would pass by the end of an epoch with its parameters: all meet there. */
  #owesEvaluation(): boolean {
    const { evaluates, backupWorkers = 0 } = this.#options;
    const last = this.#history.at(-1);
    const meets = this.#leases !== undefined || backupWorkers > 0;
    return meets && evaluates && last?.step === this.#step && !last.evaluation;
  }

  /** Where leased batches end: at the next step for which everybody meets. */
  #end(): number {
    const { steps, stepsPerEpoch, checkpointEvery } = this.#options;
    if (this.#isAskedToStay()) return this.#step + 1;
    const next = (every: number): number => (Math.floor(this.#step / every) + 1) * every;
    return Math.min(steps, next(stepsPerEpoch), next(checkpointEvery));
  }

  #evaluation({ rank, step, totals }: Extract<LedgerMessage, { kind: 'evaluation' }>): LedgerEffect[] {
    const at = this.#history.findIndex((record) => record.step === step);
    const record = this.#history[at];
    if (!record || rank < 0 || rank >= this.#options.workers)
      return [refuse('BAD_MESSAGE', `evaluation of rank ${rank}: no epoch ended at step ${step}`)];
    if (record.evaluation) return [];
    const flaw = flawOf(`evaluation of rank ${rank}, step ${step}`, totals);
    if (flaw) return [flaw];
    const reports = this.#evaluations.get(step) ?? new Array<Totals | undefined>(this.#options.workers);
    this.#evaluations.set(step, reports);
    reports[rank] ??= totals;
    for (let other = 0; other < this.#options.workers; other++) if (!reports[other]) return [];
    this.#evaluations.delete(step);
    const evaluation = emptyFold();
    for (const report of reports) add(evaluation, report!);
    const evaluated = { ...record, evaluation };
    this.#history[at] = evaluated;
    const told: LedgerEffect[] = [{ kind: 'evaluated', record: evaluated }];
    if (this.#directive !== 'evaluate' || step !== this.#step) return [...told, ...this.#maybeEnded()];
    this.#begun = this.#step - 1;
    return [...told, ...this.#atBoundary()];
  }

  /** The end: the last cut is committed and, unless the job was stopped, evaluated. */
  #maybeEnded(): LedgerEffect[] {
    const directive = this.#directive;
    if (this.#ended || !isEnding(directive) || this.#begun < this.#step || this.#committed < this.#step)
      return [];
    if (directive === 'finish' && this.#options.evaluates && !this.#history.at(-1)?.evaluation) return [];
    this.#ended = true;
    return [{ kind: 'ended', directive }];
  }
}

function emptyFold(): Fold {
  return { samples: 0, sums: [] };
}

function add(fold: Fold, totals: Totals): void {
  fold.samples += totals.samples;
  totals.sums.forEach((sum, index) => {
    fold.sums[index] = (fold.sums[index] ?? 0) + sum;
  });
}

/** What is not finite would be in all that is told of the epoch, and in its checkpoints. */
function flawOf(what: string, { samples, sums }: Totals): LedgerEffect | undefined {
  if (!Number.isSafeInteger(samples) || samples < 0)
    return refuse('BAD_MESSAGE', `${what}: expected a number of samples, got ${samples}`);
  const at = sums.findIndex((sum) => !Number.isFinite(sum));
  if (at < 0) return undefined;
  const name = at === 0 ? 'loss' : `metric ${at}`;
  return refuse('LOSS_NOT_FINITE', `${what}: expected a finite ${name}, got ${sums[at]}`);
}

function refuse(code: RuntimeErrorCode, message: string): LedgerEffect {
  return { kind: 'refuse', code, message };
}
