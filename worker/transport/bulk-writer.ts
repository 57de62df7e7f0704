// The writing half of a stream that carries bulk: messages wait in order, few bytes at a time are with HTTP/2, nothing is copied.
import type { Http2Stream } from 'node:http2';
import type { Watchdog } from './watchdog.ts';
import type { BulkType } from './wire.ts';

/** Small messages go together up to here; then somebody has to have taken them. */
const LOT_BYTES = 64 * 1024;

export class BulkWriter<T extends { readonly data: Uint8Array }> {
  readonly #stream: Http2Stream;
  readonly #type: BulkType<T>;
  readonly #watchdog: Watchdog;
  readonly #waiting: T[] = [];
  #sending = false;
  #drained: (() => void) | undefined;

  constructor(stream: Http2Stream, type: BulkType<T>, watchdog: Watchdog) {
    this.#stream = stream;
    this.#type = type;
    this.#watchdog = watchdog;
  }

  write(message: T): void {
    this.#watchdog.queued();
    this.#waiting.push(message);
    this.#send();
  }

  /** `drained` is called when the connection has taken everything; never where it breaks. */
  end(drained: () => void): void {
    this.#drained = drained;
    this.#send();
  }

  #send(): void {
    if (this.#sending) return;
    if (this.#waiting.length === 0) {
      this.#drained?.();
      return;
    }
    this.#sending = true;
    let bytes = 0;
    let messages = 0;
    this.#stream.cork();
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (messages > 0 && bytes + next.data.byteLength > LOT_BYTES) break;
      this.#waiting.shift();
      messages++;
      const head = this.#type.head(next);
      bytes += head.length + next.data.byteLength;
      this.#stream.write(head);
      if (next.data.byteLength > 0) this.#stream.write(next.data);
    }
    // An empty write is called back after those before it.
    this.#stream.write(NOTHING, (error) => this.#sent(messages, error));
    this.#stream.uncork();
  }

  #sent(messages: number, error: unknown): void {
    this.#sending = false;
    if (error) return;
    for (let left = 0; left < messages; left++) this.#watchdog.left();
    this.#send();
  }
}

const NOTHING = new Uint8Array(0);
