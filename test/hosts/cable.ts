// A cable between two simulated hosts: a TCP proxy in user space that delays, slows, stalls, cuts and resets what passes.
//
// It sees bytes and not packets, so it cannot lose any: a lost segment is the pause that its retransmission would make, and what lies
// in a cut cable comes when the cable is mended. The kernel of this host still accepts connections and acknowledges bytes up to the
// window meanwhile: who waits for the other end has to notice silence, as with a real cut, but never hears of an unreachable host.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { Random } from '../../worker/random/philox.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What one direction does to all bytes that enter it from now on. */
export interface Conditions {
  readonly delayMs: number;
  /** A random time up to this comes to the delay; bytes of a connection keep their order. */
  readonly jitterMs: number;
  /** Of all connections together. */
  readonly bytesPerSecond: number;
  /** Share of segments that have to be sent a second time. */
  readonly loss: number;
  /** How long everything behind a lost segment waits. Linux: at least 200 ms without, a round trip with fast retransmission. */
  readonly retransmitMs: number;
}

const CALM: Conditions = {
  delayMs: 0,
  jitterMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  loss: 0,
  retransmitMs: 200,
};
/** Payload of an Ethernet frame with timestamps. */
const SEGMENT_BYTES = 1448;
/** Bytes that may pass at once after a pause, and the longest piece that Node reads. */
const BURST_BYTES = 65_536;
/** Of one connection on their way; then its sender has to wait. */
export const WINDOW_BYTES = 2 ** 20;

/** One direction of a cable. */
export class Way {
  /** That have come out at the far end. */
  bytes = 0;
  #conditions = CALM;
  #isCut = false;
  /** When the last byte that entered has left the sender: the level of a token bucket. */
  #freeMs = 0;
  readonly #random: Random;
  readonly #flows = new Set<Flow>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** What is not named is calm again. */
  set(conditions: Partial<Conditions>): void {
    this.#conditions = { ...CALM, ...conditions };
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Nothing comes out any more, not even the end of a connection, until it is mended. */
  cut(): void {
    this.#isCut = true;
  }

  mend(): void {
    this.#isCut = false;
    for (const flow of this.#flows) flow.go();
  }

  /** Connections that are open now say nothing any more in this direction, for ever; new ones do. */
  freeze(): void {
    for (const flow of this.#flows) flow.freeze();
  }

  carry(from: Socket, to: Socket): void {
    const flow = new Flow(this, from, to);
    this.#flows.add(flow);
    to.once('close', () => {
      flow.stop();
      this.#flows.delete(flow);
    });
  }

  /** When bytes that enter now come out, and when those behind them may. */
  arrivalMs(bytes: number, nowMs: number): number {
    const { delayMs, jitterMs, bytesPerSecond, loss, retransmitMs } = this.#conditions;
    const burstMs = (1000 * BURST_BYTES) / bytesPerSecond;
    this.#freeMs = Math.max(this.#freeMs, nowMs - burstMs) + (1000 * bytes) / bytesPerSecond;
    const segments = Math.ceil(bytes / SEGMENT_BYTES);
    const isLost = loss > 0 && this.#random.uniform() < 1 - (1 - loss) ** segments;
    const jitter = jitterMs > 0 ? jitterMs * this.#random.uniform() : 0;
    return Math.max(nowMs, this.#freeMs) + delayMs + jitter + (isLost ? retransmitMs : 0);
  }
}

type Item =
  | { readonly kind: 'bytes'; readonly atMs: number; readonly bytes: Buffer }
  | { readonly kind: 'end' | 'reset'; readonly atMs: number };

/** One direction of one connection: what is on its way, in order. */
class Flow {
  readonly #way: Way;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #items: Item[] = [];
  #bytes = 0;
  #lastMs = 0;
  #isFrozen = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(way: Way, from: Socket, to: Socket) {
    this.#way = way;
    this.#from = from;
    this.#to = to;
    from.on('data', (bytes: Buffer) => {
      this.#add({ kind: 'bytes', atMs: this.#arrivalMs(bytes.length), bytes });
      this.#bytes += bytes.length;
      if (this.#bytes > WINDOW_BYTES) from.pause();
    });
    from.on('end', () => this.#add({ kind: 'end', atMs: this.#arrivalMs(0) }));
    from.on('error', () => {}); // 'close' says so
    from.on('close', (hadError: boolean) => {
      if (hadError) this.#add({ kind: 'reset', atMs: this.#arrivalMs(0) });
    });
    to.on('drain', () => this.go());
  }

  freeze(): void {
    this.#isFrozen = true;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#isFrozen = true;
    this.#items.length = 0;
  }

  /** Delivers what is due. */
  readonly go = (): void => {
    clearTimeout(this.#timer);
    while (!this.#isFrozen && !this.#way.isCut && !this.#to.destroyed && !this.#to.writableNeedDrain) {
      const [next] = this.#items;
      if (!next) break;
      const waitMs = next.atMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(this.go, waitMs);
        break;
      }
      this.#items.shift();
      this.#deliver(next);
    }
    if (this.#bytes <= WINDOW_BYTES && this.#from.isPaused()) this.#from.resume();
  };

  #deliver(item: Item): void {
    if (item.kind === 'bytes') {
      this.#bytes -= item.bytes.length;
      this.#way.bytes += item.bytes.length;
      this.#to.write(item.bytes);
    } else if (item.kind === 'end') this.#to.end();
    else this.#to.resetAndDestroy();
  }

  #arrivalMs(bytes: number): number {
    this.#lastMs = Math.max(this.#lastMs, this.#way.arrivalMs(bytes, performance.now()));
    return this.#lastMs;
  }

  #add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length === 1) this.go();
  }
}

export class Cable implements AsyncDisposable {
  /** From those who dial. */
  readonly there: Way;
  /** To those who dialled. */
  readonly back: Way;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<readonly [near: Socket, far: Socket]>();

  constructor(seed = 0) {
    this.there = new Way(new Random(seed, 'cable', 'there'));
    this.back = new Way(new Random(seed, 'cable', 'back'));
  }

  /** Connections to `at` lead to `target`. Gives the address that it listens on. */
  async open(at: Address, target: Address): Promise<Address> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#join(near, target));
    this.#servers.push(server);
    server.listen(at.port, at.host);
    await once(server, 'listening');
    return { host: at.host, port: (server.address() as AddressInfo).port };
  }

  set(conditions: Partial<Conditions>): void {
    for (const way of this.#ways) way.set(conditions);
  }

  cut(): void {
    for (const way of this.#ways) way.cut();
  }

  mend(): void {
    for (const way of this.#ways) way.mend();
  }

  /** Ends all connections with a reset, at both ends. Gives their number. */
  reset(): number {
    const { size } = this.#connections;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  get #ways(): readonly Way[] {
    return [this.there, this.back];
  }

  get #sockets(): Socket[] {
    return [...this.#connections].flat();
  }

  #join(near: Socket, target: Address): void {
    const far = connect({ ...target, allowHalfOpen: true, noDelay: true });
    const ends = [near, far] as const;
    this.#connections.add(ends);
    for (const socket of ends)
      socket.once('close', () => {
        if (near.closed && far.closed) this.#connections.delete(ends);
      });
    this.there.carry(near, far);
    this.back.carry(far, near);
  }
}
