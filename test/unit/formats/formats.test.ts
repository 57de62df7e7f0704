// Golden bytes, round trips and hostile files of the formats that Lepton writes itself.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { writeAtomically } from '../../../worker/formats/atomic-file.ts';
import { crc32c, maskedCrc32c } from '../../../worker/formats/crc32c.ts';
import { FormatError } from '../../../worker/formats/errors.ts';
import {
  bytesOf,
  decodeSafetensors,
  encodeSafetensors,
  floatsOf,
  type NamedTensor,
  readSafetensors,
  writeSafetensors,
} from '../../../worker/formats/safetensors.ts';
import {
  EventWriter,
  encodeScalar,
  encodeVersion,
  frameRecord,
} from '../../../worker/formats/tensorboard.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-formats-'));
});
after(() => rm(folder, { recursive: true, force: true }));

test('crc32c gives its check value', () => {
  assert.equal(crc32c(Buffer.from('123456789')).toString(16), 'e3069283');
  assert.equal(maskedCrc32c(Buffer.from('123456789')).toString(16), 'c78ab0e5');
});

test('event records have the bytes of the reference', () => {
  assert.equal(
    frameRecord(encodeVersion(1)).toString('hex'),
    '1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a',
  );
  assert.equal(
    frameRecord(encodeScalar(2, 'loss', 0.5, 7)).toString('hex'),
    '1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f7373150000003fc33fc24a',
  );
});

test('an event file starts with its version and grows by one record a scalar', async () => {
  const writer = new EventWriter(join(folder, 'events'), () => 1000);
  writer.scalar('loss', 0.5, 300);
  const bytes = await readFile(writer.path);
  assert.match(writer.path, /events\.out\.tfevents\.0000000001\./);
  assert.deepEqual(
    bytes,
    Buffer.concat([frameRecord(encodeVersion(1)), frameRecord(encodeScalar(1, 'loss', 0.5, 300))]),
  );
});

const floats = (name: string, shape: number[], values: number[]): NamedTensor => ({
  name,
  dtype: 'F32',
  shape,
  data: bytesOf(Float32Array.from(values)),
});

test('safetensors: header, order and padding as the reference writes them', () => {
  const parts = encodeSafetensors([floats('b', [2], [1, 2]), floats('a', [], [3])], { made: 'here' });
  const bytes = Buffer.concat(parts);
  const length = Number(bytes.readBigUInt64LE());
  assert.equal(length % 8, 0);
  assert.equal(
    bytes
      .subarray(8, 8 + length)
      .toString()
      .trimEnd(),
    '{"__metadata__":{"made":"here"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
  );
  assert.equal(bytes.subarray(8 + length).toString('hex'), '000040400000803f00000040');
});

test('safetensors: what is written is read', async () => {
  const path = join(folder, 'weights.safetensors');
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(
        fc.tuple(fc.string({ minLength: 1 }), fc.array(fc.float({ noNaN: true }), { maxLength: 9 })),
        { selector: ([name]) => name, maxLength: 5 },
      ),
      async (all) => {
        const wanted = all.filter(([name]) => name !== '__metadata__' && name !== '__proto__');
        await writeSafetensors(
          path,
          wanted.map(([name, values]) => floats(name, [values.length], values)),
        );
        const { tensors } = await readSafetensors(path);
        assert.deepEqual([...tensors.keys()].sort(), wanted.map(([name]) => name).sort());
        for (const [name, values] of wanted)
          assert.deepEqual([...floatsOf(tensors.get(name)!)], [...Float32Array.from(values)]);
      },
    ),
    { numRuns: 50 },
  );
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

/** A file with the given header text and data. */
function raw(header: string, data = 0): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(data)]);
}

test('safetensors: every kind of bad file is refused by name', () => {
  const f32 = (offsets: string, shape = '[1]') =>
    `{"dtype":"F32","shape":${shape},"data_offsets":${offsets}}`;
  const cases: [string, Uint8Array, RegExp][] = [
    ['empty', new Uint8Array(0), /at least 8 bytes, got 0/],
    ['huge header', Buffer.from('ffffffffffffff7f', 'hex'), /expected at most/],
    ['header past the end', raw('{}').subarray(0, 9), /the file has 9/],
    ['not an object', raw('[]'), /expected '\{'/],
    ['not JSON', raw('{"a":'), /not JSON/],
    [
      'invalid UTF-8',
      Buffer.concat([raw('{"a"}').subarray(0, 9), Buffer.from([0xff, 0xff, 0xff, 0xff])]),
      /not JSON/,
    ],
    ['unknown dtype', raw('{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}', 4), /got "F31"/],
    [
      'prototype name as dtype',
      raw('{"a":{"dtype":"toString","shape":[],"data_offsets":[0,4]}}', 4),
      /got "toString"/,
    ],
    ['negative dimension', raw(`{"a":${f32('[0,4]', '[-1]')}}`, 4), /bad shape \[-1\]/],
    ['product overflows', raw(`{"a":${f32('[0,4]', '[4294967296,4294967296,4294967296]')}}`, 4), /too large/],
    ['negative offset', raw(`{"a":${f32('[-4,0]')}}`, 4), /bad data_offsets/],
    ['shape and bytes differ', raw(`{"a":${f32('[0,8]')}}`, 8), /needs 4 bytes, data_offsets give 8/],
    ['past the data', raw(`{"a":${f32('[0,4]')}}`, 3), /ends at byte 4, but there are 3/],
    ['hole', raw(`{"a":${f32('[0,4]')},"b":${f32('[8,12]')}}`, 12), /begins at byte 8, expected 4/],
    ['overlap', raw(`{"a":${f32('[0,4]')},"b":${f32('[0,4]')}}`, 4), /begins at byte 0, expected 4/],
    ['bytes left over', raw(`{"a":${f32('[0,4]')}}`, 5), /1 bytes after/],
    ['duplicate name', raw(`{"a":${f32('[0,4]')},"a":${f32('[0,4]')}}`, 4), /'a' stands twice/],
    ['metadata of numbers', raw('{"__metadata__":{"a":1}}'), /expected text/],
  ];
  for (const [name, bytes, message] of cases) {
    assert.throws(
      () => decodeSafetensors(bytes, 'x'),
      (error) => error instanceof FormatError && message.test(error.message),
      name,
    );
  }
});

test('a file that cannot be written leaves nothing and says why', async () => {
  await writeFile(join(folder, 'file'), '');
  await assert.rejects(
    writeAtomically(join(folder, 'file', 'x'), ['a']),
    /x: cannot be written: a part of the path is not a folder/,
  );
});
