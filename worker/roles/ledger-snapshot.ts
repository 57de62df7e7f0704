// The ledger of the two newest steps, for the coordinator's next process: written before a step is announced, to a file of memory that
// outlives the process. No shard.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { LedgerEpoch, LedgerState } from '../protocol/ledger.ts';

/** The newest checkpoint, as progress tells it. */
export interface NewestCheckpoint {
  readonly step: number;
  readonly folder: string;
}

export interface KeptLedger {
  readonly ledger: LedgerState;
  readonly checkpoint?: NewestCheckpoint | undefined;
}

interface Entry extends KeptLedger {
  /** Names all that the ledger's numbers count in. */
  readonly identity: string;
}

/** Where the second place begins; the file has holes, which take no memory. */
const PLACE_BYTES = 2 ** 32;
/** Behind both places: how many processes have opened the file. */
const LIVES_AT = 2 * PLACE_BYTES;
/** Length and checksum of what follows. */
const HEAD_BYTES = 8;
/** Of a ledger: some 200,000 epochs. */
const MOST_BYTES = 2 ** 26;

/** The ledger of step s lies in place s mod 2, under a checksum: whatever moment the process is killed at, one of them is whole. */
export class LedgerSnapshot implements Disposable {
  /** How many processes had this memory before. */
  readonly life: number;
  readonly #file: number;
  readonly #entries: (Entry | undefined)[];
  readonly #texts = new WeakMap<LedgerEpoch, string>();

  /** Throws what the file system says. */
  constructor(path: string) {
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#entries = [this.#read(0), this.#read(1)];
    this.life = this.#countLife();
  }

  /** The identity of the newest ledger. */
  get identity(): string | undefined {
    const [even, odd] = this.#entries;
    const evenIsNewer = (even?.ledger.step ?? -1) > (odd?.ledger.step ?? -1);
    return (evenIsNewer ? even : odd)?.identity;
  }

  /** Of which there is a ledger under this identity. */
  steps(identity: string): number[] {
    return this.#entries.flatMap((entry) => (entry?.identity === identity ? [entry.ledger.step] : []));
  }

  at(step: number): KeptLedger | undefined {
    const entry = this.#entries[step % 2];
    return entry?.ledger.step === step ? entry : undefined;
  }

  keep(identity: string, { ledger, checkpoint }: KeptLedger): void {
    const place = ledger.step % 2;
    const { history, ...state } = ledger;
    const head = JSON.stringify({ identity, checkpoint, state });
    // A run of many epochs has a long history, of which a step changes nothing.
    const text = `[${[head, ...history.map((record) => this.#textOf(record))].join(',')}]`;
    const body = Buffer.from(text);
    const fits = body.byteLength <= MOST_BYTES;
    this.#entries[place] = fits ? { identity, ledger, checkpoint } : undefined;
    this.#write(place, fits ? body : Buffer.alloc(0));
  }

  /** Nothing but this one counts any more. */
  keepOnly(identity: string, kept: KeptLedger): void {
    const other = (kept.ledger.step + 1) % 2;
    this.#entries[other] = undefined;
    this.#write(other, Buffer.alloc(0));
    this.keep(identity, kept);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  #countLife(): number {
    const lives = Buffer.alloc(4);
    readSync(this.#file, lives, 0, 4, LIVES_AT);
    const life = lives.readUInt32LE(0);
    lives.writeUInt32LE(life + 1, 0);
    writeSync(this.#file, lives, 0, 4, LIVES_AT);
    return life;
  }

  #textOf(record: LedgerEpoch): string {
    const text = this.#texts.get(record) ?? JSON.stringify(record);
    this.#texts.set(record, text);
    return text;
  }

  #write(place: number, body: Buffer): void {
    const bytes = Buffer.allocUnsafe(HEAD_BYTES + body.byteLength);
    bytes.writeUInt32LE(body.byteLength, 0);
    bytes.writeUInt32LE(crc32(body), 4);
    body.copy(bytes, HEAD_BYTES);
    writeSync(this.#file, bytes, 0, bytes.byteLength, place * PLACE_BYTES);
  }

  #read(place: number): Entry | undefined {
    const head = Buffer.alloc(HEAD_BYTES);
    const at = place * PLACE_BYTES;
    if (readSync(this.#file, head, 0, HEAD_BYTES, at) < HEAD_BYTES) return undefined;
    const length = head.readUInt32LE(0);
    if (length === 0 || length > MOST_BYTES) return undefined;
    const body = Buffer.alloc(length);
    readSync(this.#file, body, 0, length, at + HEAD_BYTES);
    if (crc32(body) !== head.readUInt32LE(4)) return undefined;
    const [{ identity, checkpoint, state }, ...history] = JSON.parse(body.toString()) as [
      Omit<Entry, 'ledger'> & { readonly state: Omit<LedgerState, 'history'> },
      ...LedgerEpoch[],
    ];
    return { identity, checkpoint, ledger: { ...state, history } };
  }
}
