// TensorBoard event files: scalars over steps. Framing is TFRecord's, messages are tensorflow.Event written by hand (five fields).
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { reasonOf } from './atomic-file.ts';
import { maskedCrc32c } from './crc32c.ts';
import { FormatError } from './errors.ts';

const FILE_VERSION = 'brain.Event:2';

/** One record: u64 length, masked checksum of it, data, masked checksum of the data. */
export function frameRecord(data: Uint8Array): Buffer {
  const frame = Buffer.alloc(12 + data.length + 4);
  frame.writeBigUInt64LE(BigInt(data.length), 0);
  frame.writeUInt32LE(maskedCrc32c(frame.subarray(0, 8)), 8);
  frame.set(data, 12);
  frame.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return frame;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** A length-delimited protobuf field. */
function delimited(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
}

/** Event{wall_time=1, step=2, file_version=3 | summary=5}. */
function encodeEvent(wallSeconds: number, step: number, content: Uint8Array): Buffer {
  const time = Buffer.alloc(9);
  time[0] = 0x09; // field 1, 64-bit
  time.writeDoubleLE(wallSeconds, 1);
  return Buffer.concat([time, ...(step > 0 ? [Buffer.from([0x10]), varint(step)] : []), content]);
}

export function encodeVersion(wallSeconds: number): Buffer {
  return encodeEvent(wallSeconds, 0, delimited(3, Buffer.from(FILE_VERSION)));
}

/** Summary{value=1{tag=1, simple_value=2}}. */
export function encodeScalar(wallSeconds: number, tag: string, value: number, step: number): Buffer {
  const number = Buffer.alloc(5);
  number[0] = 0x15; // field 2, 32-bit
  number.writeFloatLE(value, 1);
  const summary = delimited(1, Buffer.concat([delimited(1, Buffer.from(tag)), number]));
  return encodeEvent(wallSeconds, step, delimited(5, summary));
}

/** Appends scalars to one event file of a folder. Each call is on the file when it returns: a reader may follow along. */
export class EventWriter {
  readonly path: string;
  readonly #nowMs: () => number;

  /** Makes the folder and the file. @throws FormatError FILE_UNWRITABLE */
  constructor(folder: string, nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
    const seconds = nowMs() / 1000;
    const stamp = String(Math.floor(seconds)).padStart(10, '0');
    this.path = join(
      folder,
      `events.out.tfevents.${stamp}.${hostname()}.${process.pid}.${EventWriter.#count++}`,
    );
    this.#write(() => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(this.path, frameRecord(encodeVersion(seconds)));
    });
  }

  static #count = 0;

  scalar(tag: string, value: number, step: number): void {
    this.#write(() =>
      appendFileSync(this.path, frameRecord(encodeScalar(this.#nowMs() / 1000, tag, value, step))),
    );
  }

  #write(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw new FormatError('FILE_UNWRITABLE', `${this.path}: cannot be written: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }
}
