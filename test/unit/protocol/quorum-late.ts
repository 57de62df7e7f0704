// What sessions had said before they were lost, and may still come: until a newer session is there, and not at all if nobody brings it.
import type { Said } from './quorum-worker.ts';

export interface LateStream {
  readonly rank: number;
  readonly server: number;
  readonly epoch: number;
  readonly said: Said[][];
}

export class Late {
  #streams: LateStream[] = [];

  get streams(): readonly LateStream[] {
    return this.#streams.filter(({ said }) => said.length > 0);
  }

  add(stream: LateStream): void {
    if (stream.said.length > 0) this.#streams.push(stream);
  }

  /** Of sessions that this server takes for ended: what comes of them changes nothing, so it may as well come now. */
  takeEnded(server: number, rank: number): readonly LateStream[] {
    const isEnded = (late: LateStream): boolean => late.rank === rank && late.server === server;
    const ended = this.streams.filter(isEnded);
    this.#streams = this.streams.filter((late) => !isEnded(late));
    return ended;
  }

  of(rank: number): readonly LateStream[] {
    return this.streams.filter((late) => late.rank === rank);
  }
}
