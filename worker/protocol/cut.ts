// A consistent cut: all servers copy their shards at one step, training goes on, files are written, then one commit. No files here.

/** One written shard file. */
export interface ShardFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Range of the arena. */
  readonly from: number;
  readonly to: number;
}

export type CutMessage =
  | { readonly kind: 'begin'; readonly step: number }
  /** The server has copied its shard at `step` and may compute again. */
  | { readonly kind: 'copied'; readonly server: number; readonly step: number }
  | { readonly kind: 'saved'; readonly server: number; readonly step: number; readonly file: ShardFile }
  /** The server has its copy, and cannot write it. */
  | { readonly kind: 'unsaved'; readonly server: number; readonly step: number; readonly reason: string }
  | { readonly kind: 'committed'; readonly step: number }
  | { readonly kind: 'uncommitted'; readonly step: number; readonly reason: string }
  /** The servers went back: whatever was being cut is void. */
  | { readonly kind: 'reset' };

export type CutEffect =
  | { readonly kind: 'copy'; readonly server: number; readonly step: number }
  | { readonly kind: 'taken'; readonly step: number }
  | { readonly kind: 'commit'; readonly step: number; readonly files: ShardFile[] }
  /** There is no checkpoint of this step; the one before stays the newest. */
  | { readonly kind: 'abandoned'; readonly step: number; readonly reason: string };

/** One cut at a time: the next begins when the one before is settled, so training waits where disks are slower than steps. */
export class Cut {
  readonly #servers: number;
  #step: number | undefined;
  #waiting: number | undefined;
  #copied = new Set<number>();
  #files = new Map<number, ShardFile | undefined>();
  #reason: string | undefined;

  constructor(servers: number) {
    this.#servers = servers;
  }

  step(message: CutMessage): CutEffect[] {
    switch (message.kind) {
      case 'begin':
        return this.#begin(message.step);
      case 'copied':
        return this.#copy(message.server, message.step);
      case 'saved':
        return this.#settle(message.server, message.step, message.file);
      case 'unsaved':
        if (message.step === this.#step) this.#reason ??= message.reason;
        return this.#settle(message.server, message.step, undefined);
      case 'committed':
        return message.step === this.#step ? this.#next() : [];
      case 'uncommitted':
        return message.step === this.#step ? this.#abandon(message.step, message.reason) : [];
      case 'reset':
        this.#step = undefined;
        this.#waiting = undefined;
        return [];
    }
  }

  #begin(step: number): CutEffect[] {
    if (this.#step === step) return [];
    if (this.#step !== undefined) {
      this.#waiting = step;
      return [];
    }
    this.#step = step;
    this.#copied = new Set();
    this.#files = new Map();
    this.#reason = undefined;
    return Array.from({ length: this.#servers }, (_, server) => ({ kind: 'copy', server, step }));
  }

  #copy(server: number, step: number): CutEffect[] {
    if (step !== this.#step || this.#copied.has(server)) return [];
    this.#copied.add(server);
    return this.#copied.size === this.#servers ? [{ kind: 'taken', step }] : [];
  }

  /** Whoever has written, or failed to, has copied. */
  #settle(server: number, step: number, file: ShardFile | undefined): CutEffect[] {
    if (step !== this.#step || this.#files.has(server)) return [];
    const taken = this.#copy(server, step);
    this.#files.set(server, file);
    if (this.#files.size < this.#servers) return taken;
    if (this.#reason !== undefined) return [...taken, ...this.#abandon(step, this.#reason)];
    const files = [...this.#files].sort(([a], [b]) => a - b).flatMap(([, written]) => written ?? []);
    return [...taken, { kind: 'commit', step, files }];
  }

  #abandon(step: number, reason: string): CutEffect[] {
    return [{ kind: 'abandoned', step, reason }, ...this.#next()];
  }

  #next(): CutEffect[] {
    this.#step = undefined;
    const next = this.#waiting;
    this.#waiting = undefined;
    return next === undefined ? [] : this.#begin(next);
  }
}
