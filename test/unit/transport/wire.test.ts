// Our serializers of the bulk messages against those of protobufjs, both ways, over random messages made from the .proto itself;
// and bytes that are no message: a named error, nothing else.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Client, credentials, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import type { MethodDefinition, PackageDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { RuntimeError } from '../../../worker/protocol/errors.ts';
import { Random } from '../../../worker/random/philox.ts';
import { ExchangeClient } from '../../../worker/transport/clients.ts';
import { PULL_MESSAGE, PUSH_MESSAGE } from '../../../worker/transport/hot-messages.ts';
import { callMetadata } from '../../../worker/transport/security.ts';
import { plainDefinitions } from '../../../worker/transport/services.ts';
import { errorOf } from '../../../worker/transport/status.ts';
import { newToken } from '../../../worker/transport/token.ts';
import type { BulkType } from '../../../worker/transport/wire.ts';
import { startFixture } from './fixture.ts';

interface FieldOfProto {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly label: string;
  readonly typeName: string;
}

type Message = Record<string, unknown>;
type Bulk = Message & { readonly data: Uint8Array };

const ROUNDS = 3000;
const PACKAGE: PackageDefinition = plainDefinitions();
const EXCHANGE = PACKAGE['lepton.exchange.v1.Exchange'] as ServiceDefinition;
const PUSH = EXCHANGE['Push'] as MethodDefinition<object, object>;
const PULL = EXCHANGE['Pull'] as MethodDefinition<object, object>;

interface Subject {
  readonly name: string;
  readonly ours: BulkType<Bulk>;
  readonly theirs: { serialize(value: object): Buffer; deserialize(bytes: Buffer): object };
}

const SUBJECTS: readonly Subject[] = [
  {
    name: 'PushMessage',
    ours: PUSH_MESSAGE as unknown as BulkType<Bulk>,
    theirs: { serialize: PUSH.requestSerialize, deserialize: PUSH.requestDeserialize },
  },
  {
    name: 'PullMessage',
    ours: PULL_MESSAGE as unknown as BulkType<Bulk>,
    theirs: { serialize: PULL.responseSerialize, deserialize: PULL.responseDeserialize },
  },
];

function fieldsOf(name: string): FieldOfProto[] {
  const key = Object.keys(PACKAGE).find((known) => known === name || known.endsWith(`.${name}`));
  return (PACKAGE[key!] as unknown as { type: { field: FieldOfProto[] } }).type.field;
}

/** Of each kind of number: the borders, and anything between. */
const INTEGERS = [0, 1, 127, 128, 16_383, 16_384, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 32 - 1];
const LONG = [...INTEGERS, 2 ** 32, 2 ** 35, 2 ** 49 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER];
const REAL = [0, -0, 1, -1.5, Number.MIN_VALUE, Number.MAX_VALUE, Infinity, -Infinity, Number.NaN];

/** A random message of the type; the messages inside a message are its contents, of which it has one or none. */
function randomMessage(random: Random, name: string): Message {
  const fields = fieldsOf(name);
  const contents = fields.filter(({ type }) => type === 'TYPE_MESSAGE');
  const content = contents[random.integer(contents.length + 1)];
  const value: Message = {};
  for (const field of fields) {
    if (field.type === 'TYPE_MESSAGE' ? field !== content : random.integer(4) === 0) continue;
    const one = () => randomValue(random, field);
    value[field.name] =
      field.label === 'LABEL_REPEATED' ? Array.from({ length: random.integer(5) }, one) : one();
  }
  return value;
}

function randomValue(random: Random, { type, typeName, name }: FieldOfProto): unknown {
  const among = (values: readonly number[]): number => values[random.integer(values.length)]!;
  switch (type) {
    case 'TYPE_UINT32':
      return random.integer(2) ? among(INTEGERS) : random.integer(2 ** 31);
    case 'TYPE_UINT64':
      return random.integer(2) ? among(LONG) : random.integer(2 ** 31) * 2 ** random.integer(22);
    case 'TYPE_BOOL':
      return random.integer(2) === 1;
    case 'TYPE_DOUBLE':
      return random.integer(2) ? among(REAL) : random.normal();
    case 'TYPE_STRING':
      return ['', 'train', 'größer ✓', 'x'.repeat(200)][random.integer(4)];
    case 'TYPE_BYTES':
      return randomBytes(among([0, 1, 127, 128, 5000]));
    case 'TYPE_MESSAGE':
      return randomMessage(random, typeName.split('.').at(-1)!);
    default:
      throw new Error(`${name}: this test makes no ${type} yet`);
  }
}

/** As it is sent: a head, then the data; behind the prefix of gRPC's frame. */
function written(ours: BulkType<Bulk>, value: Message): Buffer {
  const data = (value['data'] ?? new Uint8Array(0)) as Uint8Array;
  const frame = Buffer.concat([ours.head({ ...value, data }), data]);
  assert.equal(frame[0], 0);
  assert.equal(frame.readUInt32BE(1), frame.length - 5);
  return frame.subarray(5);
}

/** What protobufjs adds and what its classes are does not count. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (key === 'content' ? [] : [[key, plain(inner)]])),
  );
}

function read(ours: BulkType<Bulk>, bytes: Buffer): Message {
  return ours.parse(bytes);
}

/** Of bytes that may be a message. */
function mustBeNamed(ours: BulkType<Bulk>, bytes: Buffer): void {
  try {
    ours.parse(bytes);
  } catch (error) {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.code, 'BAD_MESSAGE');
  }
}

const key = (number: number, wire: number): number[] => {
  const value = number * 8 + wire;
  return value < 128 ? [value] : [(value & 127) | 128, value >> 7];
};
const refused = (ours: BulkType<Bulk>, bytes: readonly number[]): string => {
  try {
    ours.parse(Buffer.from(bytes));
  } catch (error) {
    assert.ok(error instanceof RuntimeError);
    assert.equal(error.code, 'BAD_MESSAGE');
    return error.message;
  }
  assert.fail('expected an error');
};

for (const { name, ours, theirs } of SUBJECTS) {
  test(`${name}: protobufjs reads what we write, and we what it writes`, () => {
    const random = new Random(1, name);
    for (let round = 0; round < ROUNDS; round++) {
      const value = randomMessage(random, name);
      const expected = plain(theirs.deserialize(theirs.serialize(value)));
      assert.deepEqual(plain(theirs.deserialize(written(ours, value))), expected);
      assert.deepEqual(plain(read(ours, theirs.serialize(value))), expected);
      assert.deepEqual(plain(read(ours, written(ours, value))), expected);
    }
  });

  test(`${name}: every field of the .proto is known`, () => {
    // A field with a value that is not its default must come through; one that is not in the table would be passed over.
    const unset = plain(theirs.deserialize(Buffer.alloc(0))) as Message;
    for (const field of fieldsOf(name)) {
      const random = new Random(2, field.name);
      let seen = false;
      for (let tries = 0; tries < 50 && !seen; tries++) {
        const value = { [field.name]: randomValue(random, field) };
        const [, expected] = Object.entries(
          plain(theirs.deserialize(theirs.serialize(value))) as Message,
        ).find(([key]) => key === field.name)!;
        seen = JSON.stringify(expected) !== JSON.stringify(unset[field.name]);
        if (seen)
          assert.deepEqual(plain(read(ours, written(ours, value))) as Message, {
            ...(plain(read(ours, Buffer.alloc(0))) as Message),
            [field.name]: expected,
          });
      }
      assert.ok(seen, field.name);
    }
  });

  test(`${name}: fields of newer versions are passed over`, () => {
    const random = new Random(3, name);
    const unknown = [
      [...key(900, 0), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
      [...key(901, 1), 1, 2, 3, 4, 5, 6, 7, 8],
      [...key(902, 2), 3, 9, 9, 9],
      [...key(903, 5), 1, 2, 3, 4],
    ];
    for (let round = 0; round < 300; round++) {
      const bytes = written(ours, randomMessage(random, name));
      const extra = unknown.flatMap((field) => (random.integer(2) ? field : []));
      const both = [Buffer.from(extra), bytes, Buffer.from(extra)];
      assert.deepEqual(plain(read(ours, Buffer.concat(both))), plain(read(ours, bytes)));
    }
  });

  test(`${name}: cut off anywhere, it is a shorter message or a named error`, () => {
    const random = new Random(4, name);
    for (let round = 0; round < 100; round++) {
      const bytes = written(ours, randomMessage(random, name)).subarray(0, 400);
      for (let end = 0; end < bytes.length; end++) {
        // A copy of its own: what lies behind it must not be read.
        mustBeNamed(ours, Buffer.from(bytes.subarray(0, end)));
      }
    }
  });

  test(`${name}: random bytes and flipped bits give a message or a named error`, () => {
    const random = new Random(5, name);
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = random.integer(2)
        ? randomBytes(random.integer(64))
        : Buffer.from(written(ours, randomMessage(random, name)));
      for (let flips = 0; flips < 3 && bytes.length > 0; flips++)
        bytes[random.integer(Math.min(bytes.length, 40))]! ^= 1 << random.integer(8);
      mustBeNamed(ours, bytes);
    }
  });
}

test('what cannot be read is named', () => {
  const push = PUSH_MESSAGE as unknown as BulkType<Bulk>;
  const wire = { gradient: key(4, 2), initial: key(5, 2), data: key(15, 2), rank: key(2, 0) };
  const cases: [bytes: number[], message: string][] = [
    [[...wire.data, 200, 1, 7], 'expected 200 bytes more, got 1'],
    [[...wire.data, 0xff, 0xff, 0xff, 0xff, 0x0f], 'expected 4294967295 bytes more, got 0'],
    [[...wire.data, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], 'expected a number up to 4294967295'],
    [[...key(2, 2), 1, 1], 'rank: expected wire type 0, got 2'],
    [[...key(15, 0), 1], 'data: expected wire type 2, got 0'],
    [[...wire.rank, 0x80, 0x80, 0x80, 0x80, 0x10], 'expected a number up to 4294967295, got 4294967296'],
    [[...wire.rank, ...new Array(11).fill(0x80), 0], 'expected a number of ten bytes at most'],
    [[...wire.gradient, 0, ...wire.initial, 0], 'expected one content, got gradient and initial'],
    [[...wire.gradient, 5, ...key(2, 1), 1, 2, 3], 'expected 5 bytes more, got 4'],
    [[...wire.gradient, 4, ...key(2, 1), 1, 2, 3, ...wire.data, 0], 'expected 8 bytes more, got 3'],
    [[...key(7, 3)], 'expected wire type 0, 1, 2 or 5, got 3'],
  ];
  for (const [bytes, expected] of cases) {
    const message = refused(push, bytes);
    assert.ok(message.startsWith('[PushMessage] ') && message.includes(expected), `${message} / ${expected}`);
  }
});

test('data is neither copied when it is read nor when it is written', () => {
  const data = randomBytes(1000);
  const head = PUSH_MESSAGE.head({ epoch: 1, rank: 0, step: 1, data });
  assert.ok(head.length < 20, `a head of ${head.length} bytes`);
  const frame = Buffer.concat([head, data]);
  const got = PUSH_MESSAGE.parse(frame.subarray(5));
  assert.equal(got.data.buffer, frame.buffer);
  assert.ok(Buffer.from(got.data).equals(data));
});

test('pushed bytes that are no message: the server names them', { timeout: 20_000 }, async () => {
  await using fixture = await startFixture({
    push: (messages) => messages.onMessage(() => assert.fail('expected no message')),
  });
  const { address, security } = fixture.peer;
  const client = new Client(address, credentials.createInsecure());
  const ended = Promise.withResolvers<unknown>();
  const asIs = (bytes: Buffer): Buffer => bytes;
  const call = client.makeClientStreamRequest(PUSH.path, asIs, asIs, callMetadata(security), ended.resolve);
  call.write(Buffer.from([...key(15, 2), 200, 1]));
  const error = errorOf(await ended.promise, address);
  assert.equal(error.code, 'BAD_MESSAGE');
  assert.match(error.message, /^\[PushMessage\] expected 200 bytes more, got 0/);
  client.close();
});

test('pulled bytes that are no message: the worker names them', { timeout: 20_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.adopt(new Server(), (open) => open.forceShutdown());
  const asIs = (bytes: Buffer): Buffer => bytes;
  const raw = { requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs };
  server.addService(
    { Pull: { ...PULL, ...raw, responseDeserialize: asIs } },
    { Pull: (call: ServerWritableStream<Buffer, Buffer>) => call.write(Buffer.from(key(1, 2))) },
  );
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  const security = { kind: 'token', token: newToken() } as const;
  const options = { address: `127.0.0.1:${port}`, security, chunkBytes: 1000 };
  const client = stack.adopt(new ExchangeClient(options), (open) => open.close());
  const pull = client.pull({ rank: 0, epoch: 1, step: 0 });
  pull.onMessage(() => assert.fail('expected no message'));
  const error = await new Promise<RuntimeError | undefined>((resolve) => pull.onEnd(resolve));
  assert.equal(error?.code, 'BAD_MESSAGE');
  assert.match(error.message, /^\[PullMessage\] step: expected wire type 0, got 2/);
});
