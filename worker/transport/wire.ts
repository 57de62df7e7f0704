// Protocol buffers for the two messages that carry bulk, from tables of fields: what is sent is a head and the data where it lies, what
// came has its data as a view. What protobufjs would copy three times more. All other messages are left to protobufjs.
import { RuntimeError } from '../protocol/errors.ts';

/** Of gRPC, before each message: the compressed flag and the length. */
export const PREFIX_BYTES = 5;

/** The field `number` of a message. How it is written depends on nothing but its value: what is missing or zero is left out. */
export interface Field<T> {
  readonly number: number;
  readonly wire: Wire;
  /** What a message without the field has; undefined: nothing, not even a key. */
  readonly missing: T | undefined;
  /** Bytes after the field's key; 0: the field is left out. */
  size(value: T): number;
  write(frame: Buffer, at: number, value: T): void;
  read(from: Reader): T;
}

/** One field for each key of the message's type: a key without a field does not compile. */
export type Fields<T> = { readonly [K in keyof T]-?: Field<NonNullable<T[K]>> };

const VARINT = 0;
const EIGHT_BYTES = 1;
const SIZED = 2;
const FOUR_BYTES = 5;
type Wire = typeof VARINT | typeof EIGHT_BYTES | typeof SIZED;
const NO_DATA = new Uint8Array(0);

export function uint32(number: number): Field<number> {
  return { ...uint64(number), read: (from) => from.varint(2 ** 32 - 1) };
}

/** Up to 2^53 - 1. */
export function uint64(number: number): Field<number> {
  return {
    number,
    wire: VARINT,
    missing: 0,
    size: (value) => (value === 0 ? 0 : varintSize(value)),
    write: (frame, at, value) => void writeVarint(frame, at, value),
    read: (from) => from.varint(Number.MAX_SAFE_INTEGER),
  };
}

export function double(number: number): Field<number> {
  return {
    number,
    wire: EIGHT_BYTES,
    missing: 0,
    size: (value) => (Object.is(value, 0) ? 0 : 8),
    write: (frame, at, value) => void frame.writeDoubleLE(value, at),
    read: (from) => from.double(),
  };
}

export function string<T extends string>(number: number): Field<T> {
  return sized(number, '' as T, {
    length: (value) => Buffer.byteLength(value),
    write: (frame, at, value) => void frame.write(value, at),
    read: (from) => from.rest().toString() as T,
  });
}

/** What is read is a view of the frame. */
export function bytes(number: number): Field<Uint8Array> {
  return sized<Uint8Array>(number, new Uint8Array(0), {
    length: (value) => value.byteLength,
    write: (frame, at, value) => frame.set(value, at),
    read: (from) => from.rest(),
  });
}

/** Repeated and packed. */
export function doubles(number: number): Field<readonly number[]> {
  return sized<readonly number[]>(number, [], {
    length: (values) => 8 * values.length,
    write: (frame, at, values) => {
      for (const [index, value] of values.entries()) frame.writeDoubleLE(value, at + 8 * index);
    },
    read: (from) => {
      const values: number[] = [];
      while (!from.isOver) values.push(from.double());
      return values;
    },
  });
}

/** A message inside another, of which all may be missing. */
export function message<T extends object>(number: number, fields: Fields<T>): Field<T> {
  const type = new MessageType<T>('', fields);
  return {
    ...sized<T>(number, undefined, {
      length: (value) => type.size(value),
      write: (frame, at, value) => void type.write(frame, at, value),
      read: (from) => type.read(from),
    }),
    // Even without content it says which one of several is meant.
    size: (value) => sizedSize(type.size(value)),
  };
}

function sized<T>(
  number: number,
  missing: T | undefined,
  content: {
    length(value: T): number;
    write(frame: Buffer, at: number, value: T): void;
    read(from: Reader): T;
  },
): Field<T> {
  return {
    number,
    wire: SIZED,
    missing,
    size: (value) => {
      const length = content.length(value);
      return length === 0 ? 0 : sizedSize(length);
    },
    write: (frame, at, value) => content.write(frame, writeVarint(frame, at, content.length(value)), value),
    read: (from) => content.read(from.part(from.varint(2 ** 32 - 1))),
  };
}

interface Entry {
  readonly name: string;
  readonly field: Field<unknown>;
  readonly key: number;
}

/** How messages of one type are written and read. `oneOf` names the fields of which a message has one at most. */
export class MessageType<T extends object> {
  readonly #name: string;
  readonly #entries: readonly Entry[];
  readonly #byNumber: readonly (Entry | undefined)[];
  readonly #oneOf: ReadonlySet<string>;
  readonly #blank: Readonly<Record<string, unknown>>;

  constructor(name: string, fields: Fields<T>, oneOf: readonly (keyof T & string)[] = []) {
    this.#name = name;
    this.#oneOf = new Set(oneOf);
    const byNumber: (Entry | undefined)[] = [];
    const blank: Record<string, unknown> = {};
    this.#entries = Object.entries<Field<unknown>>(fields as Record<string, Field<unknown>>).map(
      ([key, field]) => {
        const entry = { name: key, field, key: field.number * 8 + field.wire };
        byNumber[field.number] = entry;
        if (field.missing !== undefined) blank[key] = field.missing;
        return entry;
      },
    );
    this.#byNumber = byNumber;
    this.#blank = blank;
  }

  /** Throws BAD_MESSAGE, with the name of the message. */
  parse(bytes: Buffer): T {
    try {
      return this.read(new Reader(bytes, 0, bytes.length));
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      throw new RuntimeError(error.code, `[${this.#name}] ${error.message}`);
    }
  }

  size(value: T): number {
    let size = 0;
    for (const { name, field, key } of this.#entries) {
      const content = (value as Record<string, unknown>)[name];
      const length = content === undefined || content === null ? 0 : field.size(content);
      if (length > 0) size += varintSize(key) + length;
    }
    return size;
  }

  /** Gives the place behind it. */
  write(frame: Buffer, at: number, value: T): number {
    let end = at;
    for (const { name, field, key } of this.#entries) {
      const content = (value as Record<string, unknown>)[name];
      const length = content === undefined || content === null ? 0 : field.size(content);
      if (length === 0) continue;
      end = writeVarint(frame, end, key);
      field.write(frame, end, content);
      end += length;
    }
    return end;
  }

  /** Throws BAD_MESSAGE. Of a field that comes twice the later one counts; unknown ones are passed over. */
  read(from: Reader): T {
    const value = { ...this.#blank };
    let chosen: string | undefined;
    while (!from.isOver) {
      const key = from.varint(2 ** 32 - 1);
      const wire = key % 8;
      const entry = this.#byNumber[(key - wire) / 8];
      if (!entry) {
        from.skip(wire);
        continue;
      }
      const { name, field } = entry;
      if (wire !== field.wire) throw malformed(`${name}: expected wire type ${field.wire}, got ${wire}`);
      if (this.#oneOf.has(name)) {
        if (chosen !== undefined && chosen !== name)
          throw malformed(`expected one content, got ${chosen} and ${name}`);
        chosen = name;
      }
      value[name] = field.read(from);
    }
    return value as T;
  }
}

/** A message that ends with bytes, which travel from where they lie. */
export class BulkType<T extends { readonly data: Uint8Array }> extends MessageType<T> {
  readonly #dataKey: number;

  constructor(
    name: string,
    fields: Omit<Fields<T>, 'data'>,
    oneOf: readonly (keyof T & string)[],
    data: number,
  ) {
    super(name, { ...fields, data: bytes(data) } as Fields<T>, oneOf);
    this.#dataKey = data * 8 + SIZED;
  }

  /** All of the message's gRPC frame that comes before its data. */
  head(value: T): Buffer {
    const { byteLength } = value.data;
    const size = this.size(value);
    const head = Buffer.allocUnsafe(PREFIX_BYTES + size - byteLength);
    head[0] = 0; // not compressed
    head.writeUInt32BE(size, 1);
    const end = this.write(head, PREFIX_BYTES, { ...value, data: NO_DATA });
    if (byteLength > 0) writeVarint(head, writeVarint(head, end, this.#dataKey), byteLength);
    return head;
  }
}

/** Goes over the bytes of one message and never past them. */
export class Reader {
  readonly #frame: Buffer;
  readonly #end: number;
  #at: number;

  constructor(frame: Buffer, from: number, end: number) {
    this.#frame = frame;
    this.#at = from;
    this.#end = end;
  }

  get isOver(): boolean {
    return this.#at === this.#end;
  }

  varint(max: number): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 63; scale *= 128) {
      const byte = this.#frame[this.#take(1)]!;
      value += (byte & 127) * scale;
      if (byte >= 128) continue;
      if (value > max) throw malformed(`expected a number up to ${max}, got ${value}`);
      return value;
    }
    throw malformed('expected a number of ten bytes at most');
  }

  double(): number {
    return this.#frame.readDoubleLE(this.#take(8));
  }

  /** The next `length` bytes, on their own. */
  part(length: number): Reader {
    const from = this.#take(length);
    return new Reader(this.#frame, from, from + length);
  }

  rest(): Buffer {
    return this.#frame.subarray(this.#take(this.#end - this.#at), this.#end);
  }

  skip(wire: number): void {
    if (wire === VARINT) this.varint(Number.POSITIVE_INFINITY);
    else if (wire === EIGHT_BYTES) this.#take(8);
    else if (wire === SIZED) this.#take(this.varint(2 ** 32 - 1));
    else if (wire === FOUR_BYTES) this.#take(4);
    else throw malformed(`expected wire type 0, 1, 2 or 5, got ${wire}`);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at) throw malformed(`expected ${length} bytes more, got ${this.#end - at}`);
    this.#at += length;
    return at;
  }
}

function malformed(what: string): RuntimeError {
  return new RuntimeError('BAD_MESSAGE', what);
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest /= 128) size++;
  return size;
}

function sizedSize(length: number): number {
  return varintSize(length) + length;
}

/** Gives the place behind it. */
function writeVarint(frame: Buffer, at: number, value: number): number {
  let end = at;
  let rest = value;
  while (rest >= 128) {
    frame[end++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  frame[end++] = rest;
  return end;
}
