// The safetensors format (u64 header length, JSON header, data): a strict reader and a writer of the reference's order.
// Knows nothing of models. Format: https://github.com/huggingface/safetensors, "Format" and tensor.rs.
import { readFile } from 'node:fs/promises';
import { writeAtomically } from './atomic-file.ts';
import { FormatError } from './errors.ts';

/** Bytes per element; the order is the writer's: largest alignment first. */
const DTYPES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  U32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  U16: 2,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;
export type TensorType = keyof typeof DTYPES;
const WRITE_ORDER = Object.keys(DTYPES);
/** Lepton's own limit; the reference allows 100 MB, which a header of names and shapes never needs. */
const MAX_HEADER_BYTES = 16 * 1024 * 1024;

/** `data` holds the elements row-major, little-endian. */
export interface NamedTensor {
  readonly name: string;
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes of a typed array, without a copy. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** A float tensor's elements as float32, copied out. */
export function floatsOf(tensor: NamedTensor): Float32Array {
  if (tensor.dtype === 'F32') return new Float32Array(Uint8Array.from(tensor.data).buffer);
  if (tensor.dtype === 'F64') return Float32Array.from(new Float64Array(Uint8Array.from(tensor.data).buffer));
  throw new FormatError(
    'SAFETENSORS_INVALID',
    `tensor '${tensor.name}': expected F32 or F64, got ${tensor.dtype}`,
  );
}

/** Header and data as the parts of a file. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const ordered = [...tensors].sort(
    (a, b) => WRITE_ORDER.indexOf(a.dtype) - WRITE_ORDER.indexOf(b.dtype) || (a.name < b.name ? -1 : 1),
  );
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let offset = 0;
  for (const { name, dtype, shape, data } of ordered) {
    header.push([name, { dtype, shape, data_offsets: [offset, offset + data.byteLength] }]);
    offset += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return [length, padded, ...ordered.map(({ data }) => data)];
}

/** Writes the file atomically. @throws FormatError FILE_UNWRITABLE */
export async function writeSafetensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeAtomically(path, encodeSafetensors(tensors, metadata));
}

/** Reads and checks a whole file. @throws FormatError FILE_UNREADABLE, SAFETENSORS_INVALID */
export async function readSafetensors(path: string): Promise<TensorFile> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new FormatError('FILE_UNREADABLE', `${path}: cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return decodeSafetensors(bytes, path);
}

/**
 * Checks everything the format demands: lengths, no holes, no overlap, no duplicate names, shape times type equal to the bytes.
 * `where` names the source in errors. Tensors are views of `bytes`.
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): TensorFile {
  const bad = (message: string): never => {
    throw new FormatError('SAFETENSORS_INVALID', `${where}: not a safetensors file: ${message}`);
  };
  if (bytes.byteLength < 8) return bad(`expected at least 8 bytes, got ${bytes.byteLength}`);
  const length = Buffer.from(bytes.buffer, bytes.byteOffset, 8).readBigUInt64LE();
  if (length > MAX_HEADER_BYTES)
    return bad(`header of ${length} bytes, expected at most ${MAX_HEADER_BYTES}`);
  const start = 8 + Number(length);
  if (start > bytes.byteLength) return bad(`header of ${length} bytes, but the file has ${bytes.byteLength}`);
  const { entries, metadata } = parseHeader(bytes.subarray(8, start), bad);
  const data = bytes.subarray(start);
  const tensors = new Map<string, NamedTensor>();
  let end = 0;
  for (const entry of entries.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== end)
      bad(`tensor '${entry.name}' begins at byte ${entry.begin}, expected ${end} (no holes, no overlap)`);
    end = entry.end;
    if (end > data.byteLength)
      bad(`tensor '${entry.name}' ends at byte ${end}, but there are ${data.byteLength}`);
    const { name, dtype, shape } = entry;
    tensors.set(name, { name, dtype, shape, data: data.subarray(entry.begin, entry.end) });
  }
  if (end !== data.byteLength) bad(`${data.byteLength - end} bytes after the last tensor`);
  return { tensors, metadata };
}

interface Entry {
  readonly name: string;
  readonly dtype: TensorType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

type Bad = (message: string) => never;

function parseHeader(bytes: Uint8Array, bad: Bad): { entries: Entry[]; metadata: Record<string, string> } {
  if (bytes[0] !== 0x7b) bad(`the header starts with byte ${bytes[0]}, expected '{'`);
  let text = '';
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    return bad(`the header is not JSON: ${(error as Error).message}`);
  }
  const fields = Object.entries(header as Record<string, unknown>);
  const twice = duplicateKey(text);
  if (twice !== undefined) bad(`the name '${twice}' stands twice`);
  const metadata: Record<string, string> = {};
  const entries: Entry[] = [];
  for (const [name, value] of fields) {
    if (name !== '__metadata__') entries.push(parseEntry(name, value, bad));
    else
      for (const [key, word] of Object.entries((value ?? {}) as object)) {
        if (typeof word !== 'string') bad(`metadata '${key}': expected text, got ${typeof word}`);
        metadata[key] = word;
      }
  }
  return { entries, metadata };
}

/** A key of the outer object that occurs twice: JSON.parse would silently keep the last. Strings are skipped whole. */
function duplicateKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token, key] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/g)) {
    if (token === '{') depth++;
    else if (token === '}') depth--;
    else if (depth === 1 && key !== undefined) {
      const name = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string;
      if (seen.has(name)) return name;
      seen.add(name);
    }
  }
  return undefined;
}

function parseEntry(name: string, value: unknown, bad: Bad): Entry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPES, dtype)) {
    return bad(
      `tensor '${name}': expected a dtype of ${WRITE_ORDER.join(', ')}, got ${JSON.stringify(dtype)}`,
    );
  }
  const whole = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(whole))
    return bad(`tensor '${name}': bad shape ${JSON.stringify(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole)) {
    return bad(`tensor '${name}': bad data_offsets ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = shape.reduce<number>(
    (product, size) => product * (size as number),
    DTYPES[dtype as TensorType],
  );
  if (!Number.isSafeInteger(expected)) return bad(`tensor '${name}': the shape [${shape}] is too large`);
  if (end - begin !== expected) {
    return bad(
      `tensor '${name}': shape [${shape}] of ${dtype} needs ${expected} bytes, data_offsets give ${end - begin}`,
    );
  }
  return { name, dtype: dtype as TensorType, shape, begin, end };
}
