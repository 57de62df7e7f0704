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
  readonly history: KeptHistory;
}

interface EntryText extends Pick<Entry, 'identity' | 'checkpoint'> {
  readonly state: Omit<LedgerState, 'history'>;
  readonly history: Pick<KeptHistory, 'place' | 'check'>;
}

interface KeptHistory {
  readonly place: number;
  readonly check: number;
  readonly records: readonly LedgerEpoch[];
}

/** From one place of the file to the next; it has holes, which take no memory. */
const PLACE_BYTES = 2 ** 32;
/** Length and checksum of what follows. */
const HEAD_BYTES = 8;
/** Of a text: a history of some 200,000 epochs. */
const MOST_BYTES = 2 ** 26;
const HISTORIES = [2, 3] as const;
/** Of the newest epoch that was given. */
const EPOCH_AT = 4 * PLACE_BYTES;

/**
 * The ledger of step s lies in place s mod 2, under a checksum: whatever moment the process is killed at, one of them is whole. The
 * history, which may be long and seldom changes, lies in two places of its own in turns: what is written over belongs to the step whose
 * place is written next.
 */
export class LedgerSnapshot implements Disposable {
  readonly #file: number;
  readonly #entries: (Entry | undefined)[];
  #history: KeptHistory | undefined;
  #epoch: number;
  readonly #texts = new WeakMap<LedgerEpoch, string>();

  /** Throws what the file system says. */
  constructor(path: string) {
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#entries = [this.#readEntry(0), this.#readEntry(1)];
    this.#history = this.#newest?.history;
    const epoch = Buffer.alloc(8);
    readSync(this.#file, epoch, 0, 8, EPOCH_AT);
    this.#epoch = epoch.readDoubleLE(0);
  }

  /** The newest that was kept; 0: none. */
  get epoch(): number {
    return this.#epoch;
  }

  keepEpoch(epoch: number): void {
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(epoch, 0);
    writeSync(this.#file, bytes, 0, 8, EPOCH_AT);
  }

  /** Of the newest ledger. */
  get identity(): string | undefined {
    return this.#newest?.identity;
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
    const { history: records, ...state } = ledger;
    const history = this.#keepHistory(records);
    const place = ledger.step % 2;
    this.#entries[place] = { identity, ledger, checkpoint, history };
    const { place: at, check } = history;
    this.#write(place, JSON.stringify({ identity, checkpoint, state, history: { place: at, check } }));
  }

  /** Nothing but this one counts any more. */
  keepOnly(identity: string, kept: KeptLedger): void {
    const own = kept.ledger.step % 2;
    const other = 1 - own;
    this.#history = this.#entries[own]?.history ?? this.#history;
    this.#entries[other] = undefined;
    this.#write(other, '');
    this.keep(identity, kept);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  get #newest(): Entry | undefined {
    const [even, odd] = this.#entries;
    return (even?.ledger.step ?? -1) > (odd?.ledger.step ?? -1) ? even : odd;
  }

  #keepHistory(records: readonly LedgerEpoch[]): KeptHistory {
    const before = this.#history;
    const unchanged =
      before?.records.length === records.length && records.every((one, at) => one === before.records[at]);
    if (unchanged) return before;
    const place = before?.place === HISTORIES[0] ? HISTORIES[1] : HISTORIES[0];
    const check = this.#write(place, `[${records.map((record) => this.#textOf(record)).join(',')}]`);
    this.#history = { place, check, records: [...records] };
    return this.#history;
  }

  #textOf(record: LedgerEpoch): string {
    const text = this.#texts.get(record) ?? JSON.stringify(record);
    this.#texts.set(record, text);
    return text;
  }

  /** Gives the checksum. What is too long is as good as not written. */
  #write(place: number, text: string): number {
    const body = Buffer.from(text);
    const check = crc32(body);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(body.byteLength <= MOST_BYTES ? body.byteLength : 0, 0);
    head.writeUInt32LE(check, 4);
    const bytes = Buffer.concat([head, body]);
    writeSync(this.#file, bytes, 0, Math.min(bytes.byteLength, HEAD_BYTES + MOST_BYTES), place * PLACE_BYTES);
    return check;
  }

  /** Undefined where nothing is whole. */
  #read(place: number): { readonly text: string; readonly check: number } | undefined {
    const head = Buffer.alloc(HEAD_BYTES);
    const at = place * PLACE_BYTES;
    if (readSync(this.#file, head, 0, HEAD_BYTES, at) < HEAD_BYTES) return undefined;
    const length = head.readUInt32LE(0);
    if (length === 0 || length > MOST_BYTES) return undefined;
    const body = Buffer.alloc(length);
    readSync(this.#file, body, 0, length, at + HEAD_BYTES);
    const check = crc32(body);
    return check === head.readUInt32LE(4) ? { text: body.toString(), check } : undefined;
  }

  #readEntry(place: number): Entry | undefined {
    const found = this.#read(place);
    if (!found) return undefined;
    const { identity, checkpoint, state, history } = JSON.parse(found.text) as EntryText;
    const kept = this.#read(history.place);
    if (kept?.check !== history.check) return undefined;
    const records = JSON.parse(kept.text) as LedgerEpoch[];
    return { identity, checkpoint, ledger: { ...state, history: records }, history: { ...history, records } };
  }
}
