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
  | { readonly kind: 'committed'; readonly step: number }
  /** The servers went back: whatever was being cut is void. */
  | { readonly kind: 'reset' };

export type CutEffect =
  | { readonly kind: 'copy'; readonly server: number; readonly step: number }
  | { readonly kind: 'taken'; readonly step: number }
  | { readonly kind: 'commit'; readonly step: number; readonly files: ShardFile[] };

/** One cut at a time: the next begins when the one before is committed, so training waits where disks are slower than steps. */
export class Cut {
  readonly #servers: number;
  #step: number | undefined;
  #next: number | undefined;
  #copied = new Set<number>();
  #files = new Map<number, ShardFile>();

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
        return this.#save(message);
      case 'committed':
        return this.#committed(message.step);
      case 'reset':
        this.#step = undefined;
        this.#next = undefined;
        return [];
    }
  }

  #begin(step: number): CutEffect[] {
    if (this.#step === step) return [];
    if (this.#step !== undefined) {
      this.#next = step;
      return [];
    }
    this.#step = step;
    this.#copied = new Set();
    this.#files = new Map();
    return Array.from({ length: this.#servers }, (_, server) => ({ kind: 'copy', server, step }));
  }

  #copy(server: number, step: number): CutEffect[] {
    if (step !== this.#step || this.#copied.has(server)) return [];
    this.#copied.add(server);
    return this.#copied.size === this.#servers ? [{ kind: 'taken', step }] : [];
  }

  #save({ server, step, file }: Extract<CutMessage, { kind: 'saved' }>): CutEffect[] {
    if (step !== this.#step || this.#files.has(server)) return [];
    this.#files.set(server, file);
    if (this.#files.size < this.#servers) return [];
    const files = [...this.#files].sort(([a], [b]) => a - b).map(([, written]) => written);
    return [{ kind: 'commit', step, files }];
  }

  #committed(step: number): CutEffect[] {
    if (step !== this.#step) return [];
    this.#step = undefined;
    const next = this.#next;
    this.#next = undefined;
    return next === undefined ? [] : this.#begin(next);
  }
}
