// Where the time of a job goes, as its coordinator hears it: phases of all processes, who waits for whom, who is slower than the rest.
// Fills the board and the log; decides nothing.

import type { PhaseTimes } from '../../protos/phases.ts';
import { Stragglers } from '../protocol/stragglers.ts';
import type { WaitReport } from '../protocol/waits.ts';
import { PhaseSums } from '../trace/phase-times.ts';
import type { Trace } from '../trace/trace.ts';
import type { Log } from './log.ts';
import type { ProgressBoard } from './progress-board.ts';

export interface TimesOptions {
  readonly board: ProgressBoard;
  readonly log: Log;
  readonly trace: Trace;
  readonly nowMs: () => number;
}

export class Times {
  readonly #options: TimesOptions;
  readonly #stragglers = new Stragglers();
  readonly #phases = new PhaseSums();
  #workers = 0;

  constructor(options: TimesOptions) {
    this.#options = options;
  }

  begun(step: number, workers: number): void {
    this.#workers = workers;
    this.#stragglers.begun(step, workers, this.#options.nowMs());
  }

  recorded(rank: number, step: number): void {
    const { trace, nowMs } = this.#options;
    const untilMs = nowMs();
    const complete = this.#stragglers.recorded(rank, step, untilMs);
    if (complete) trace.span('step', step, complete.begunMs, untilMs, complete.last);
  }

  worker(rank: number, phases: readonly PhaseTimes[]): void {
    this.#phases.heard(`worker ${rank}`, phases);
  }

  server(index: number, phases: readonly PhaseTimes[]): void {
    this.#phases.heard(`server ${index}`, phases);
  }

  /** Tells the board, and the log of whoever has become slow or keeps pace again. */
  tick(waits: WaitReport): void {
    const { board, log, nowMs } = this.#options;
    const { slow, begun, ended } = this.#stragglers.tick(nowMs());
    for (const { rank, times } of begun)
      log('warning', 'worker is slower than the others', { rank, times: Math.round(times * 10) / 10 });
    for (const rank of ended) log('info', 'worker keeps pace again', { rank });
    board.waits({ ...waits, slow });
    board.phases({ workerPhases: this.#phases.times('worker'), serverPhases: this.#phases.times('server') });
    for (let rank = 0; rank < this.#workers; rank++)
      board.worker(rank, {
        waits: {
          ...this.#stragglers.waits(rank),
          computeSeconds: this.#phases.seconds(`worker ${rank}`, 'compute'),
          waitSeconds: this.#phases.seconds(`worker ${rank}`, 'wait'),
        },
      });
  }
}
