// The line to a peer under its name: a gRPC client, dialled anew when the name has come to stand for another address. Knows no calls.
//
// gRPC alone would be late: it looks a name up every 30 s at most, once where nobody has the name yet, and never while it dials, which
// takes two minutes where an address is gone and nothing says so.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { connectivityState, type ServiceClientConstructor } from '@grpc/grpc-js';

export type Client = InstanceType<ServiceClientConstructor>;
/** The address that a name stands for now. Rejects where nobody has it. */
export type Lookup = (host: string) => Promise<string>;

export interface LineOptions {
  /** host:port */
  readonly address: string;
  readonly dial: (target: string) => Client;
  readonly lookup?: Lookup;
}

const LOOK_MS = 500;
/** A name server serves all workers of all jobs that wait: they ask less often, and hear a tenth of their wait late at most. */
const LONGEST_LOOK_MS = 5000;

export class Line {
  readonly #dial: (target: string) => Client;
  readonly #lookup: Lookup;
  readonly #host: string;
  readonly #port: string;
  #client: Client;
  /** Undefined before the first look, and while nobody has had the name. */
  #dialled: string | undefined;
  #looked = false;
  /** While nobody answers. */
  #seeking = false;
  #closed = false;

  constructor({ address, dial, lookup = lookUp }: LineOptions) {
    const colon = address.lastIndexOf(':');
    this.#host = address.slice(0, colon);
    this.#port = address.slice(colon + 1);
    this.#dial = dial;
    this.#lookup = lookup;
    this.#client = dial(address);
  }

  /** For one call. Where the name moves before anybody has answered, the call fails and the next one goes to the new address. */
  client(): Client {
    if (!this.#seeking && !this.#isAnswered && isIP(this.#host) === 0) void this.#seek();
    return this.#client;
  }

  close(): void {
    this.#closed = true;
    this.#client.close();
  }

  async #seek(): Promise<void> {
    this.#seeking = true;
    const sinceMs = performance.now();
    while (!this.#isOver) {
      const found = await this.#lookup(this.#host).catch(() => undefined);
      if (!this.#isOver) this.#follow(found);
      const waitMs = Math.max(LOOK_MS, Math.min(LONGEST_LOOK_MS, (performance.now() - sinceMs) / 10));
      await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    }
    this.#seeking = false;
  }

  #follow(found: string | undefined): void {
    // The first call has gRPC look the name up at this moment as well.
    const dials = this.#looked;
    this.#looked = true;
    if (found === undefined || found === this.#dialled) return;
    this.#dialled = found;
    if (dials) this.#redial(found);
  }

  #redial(found: string): void {
    const old = this.#client;
    this.#client = this.#dial(`${isIP(found) === 6 ? `[${found}]` : found}:${this.#port}`);
    old.close();
  }

  get #isOver(): boolean {
    return this.#closed || this.#isAnswered;
  }

  get #isAnswered(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === connectivityState.READY;
  }
}

async function lookUp(host: string): Promise<string> {
  return (await lookup(host)).address;
}
