// The writing half of a stream that carries bulk: messages wait in order, few bytes at a time are with HTTP/2, nothing is copied.
import type { Lane } from './bulk-connection.ts';
import type { Watchdog } from './watchdog.ts';
import type { BulkType } from './wire.ts';

/** Small messages go together up to here; then somebody has to have taken them. */
const LOT_BYTES = 64 * 1024;

export class BulkWriter<T extends { readonly data: Uint8Array }> {
  readonly #lane: Lane;
  readonly #type: BulkType<T>;
  readonly #watchdog: Watchdog;
  readonly #waiting: { readonly message: T; readonly taken: (() => void) | undefined }[] = [];
  /** A lot is not taken yet, or the stream is over. */
  #sending = false;
  #busy = false;
  #drained: (() => void) | undefined;

  constructor(lane: Lane, type: BulkType<T>, watchdog: Watchdog) {
    this.#lane = lane;
    this.#type = type;
    this.#watchdog = watchdog;
  }

  /** `taken` is called when the message may change; never where the stream breaks before. */
  write(message: T, taken?: () => void): void {
    this.#watchdog.queued();
    this.#waiting.push({ message, taken });
    this.#send();
  }

  /** `drained` is called when the connection has taken everything; never where it breaks. */
  end(drained: () => void): void {
    this.#drained = drained;
    this.#send();
  }

  #send(): void {
    if (this.#busy) return;
    this.#busy = true;
    while (!this.#sending && this.#waiting.length > 0) this.#sendLot();
    this.#busy = false;
    if (!this.#sending) this.#drained?.();
  }

  #sendLot(): void {
    const pieces: Uint8Array[] = [];
    const takens: ((() => void) | undefined)[] = [];
    let bytes = 0;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const { message, taken } = next;
      if (takens.length > 0 && bytes + message.data.byteLength > LOT_BYTES) break;
      this.#waiting.shift();
      takens.push(taken);
      const head = this.#type.head(message);
      bytes += head.length + message.data.byteLength;
      pieces.push(head);
      if (message.data.byteLength > 0) pieces.push(message.data);
    }
    this.#sending = true;
    this.#lane.send(pieces, (error) => this.#sent(takens, error));
  }

  /** At once where the connection has room; then the next lot is not sent from here. */
  #sent(takens: readonly ((() => void) | undefined)[], error: unknown): void {
    if (error) return; // the stream's end says why
    this.#sending = false;
    for (const taken of takens) {
      this.#watchdog.left();
      taken?.();
    }
    this.#send();
  }
}
