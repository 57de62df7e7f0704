// The course of a `fit`: one value per epoch for every name.

export interface History {
  /** Epochs that ran, counted from 0 as in Keras. */
  readonly epoch: readonly number[];
  /** loss, metrics, and val_loss, val_... where there is validation data. */
  readonly history: Readonly<Record<string, readonly number[]>>;
}

export class HistoryRecorder implements History {
  readonly epoch: number[] = [];
  readonly history: Record<string, number[]> = {};

  add(epoch: number, logs: Readonly<Record<string, number>>): void {
    this.epoch.push(epoch);
    for (const [name, value] of Object.entries(logs)) {
      this.history[name] ??= [];
      this.history[name].push(value);
    }
  }
}
