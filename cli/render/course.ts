// Collects the course of a run from its progress reports: training values by step, evaluation values by epoch.
import type { JobProgress } from '../../worker/protocol/progress.ts';
import type { Point, Series } from './curve.ts';
import { runningValues } from './progress.ts';

const MAX_POINTS = 2000; // per line: more than any terminal or screen shows

/** Feed it every report; ask for the charts at the end. Keeps at most MAX_POINTS per line by dropping every other one. */
export class Course {
  readonly #training = new Map<string, Point[]>();
  #last: JobProgress | undefined;

  add(progress: JobProgress): void {
    if (this.#last?.step !== progress.step && progress.phase === 'Running') {
      for (const [name, value] of Object.entries(runningValues(progress))) {
        const points = this.#training.get(name) ?? [];
        points.push({ x: progress.step, y: value });
        this.#training.set(name, points.length > MAX_POINTS ? points.filter((_, i) => i % 2 === 1) : points);
      }
    }
    this.#last = progress;
  }

  /** One chart per value: the training line, and the evaluation's line where there is one. */
  charts(): { title: string; series: Series[] }[] {
    const history = this.#last?.history ?? [];
    const names = new Set([
      ...this.#training.keys(),
      ...history.flatMap((record) => Object.keys(record.train)),
    ]);
    return [...names].map((name) => {
      const perEpoch = history.map((record) => ({ x: record.step, y: record.train[name] ?? Number.NaN }));
      const training = this.#training.get(name) ?? perEpoch;
      const evaluation = history.map((record) => ({
        x: record.step,
        y: record.evaluate?.[name] ?? Number.NaN,
      }));
      const series: Series[] = [{ name: 'train', points: training }];
      if (evaluation.some(({ y }) => Number.isFinite(y)))
        series.push({ name: 'evaluate', points: evaluation });
      return { title: name, series };
    });
  }
}
