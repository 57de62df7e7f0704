// Push and Pull are gRPC as anybody speaks it: clients and servers of grpc-js with protobufjs's serializers at the other end.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  Client,
  type ClientReadableStream,
  credentials,
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { RuntimeError } from '../../../worker/protocol/errors.ts';
import { ExchangeClient } from '../../../worker/transport/clients.ts';
import type { PullMessage, PullRequest, PushMessage } from '../../../worker/transport/messages.ts';
import { callMetadata } from '../../../worker/transport/security.ts';
import { plainDefinitions } from '../../../worker/transport/services.ts';
import { statusOf } from '../../../worker/transport/status.ts';
import { newToken } from '../../../worker/transport/token.ts';
import { CHUNK_BYTES, type Fixture, startFixture } from './fixture.ts';

const TIMEOUT = { timeout: 20_000 };
const EXCHANGE = plainDefinitions()['lepton.exchange.v1.Exchange'] as ServiceDefinition;
const PUSH = EXCHANGE['Push'] as MethodDefinition<PushMessage, object>;
const PULL = EXCHANGE['Pull'] as MethodDefinition<PullRequest, PullMessage>;
const CHUNKS = 20;
/** Of a whole chunk, of some bytes, of none. */
const BLOCKS = [randomBytes(CHUNK_BYTES), randomBytes(1001), Buffer.alloc(0)];
const blockOf = (chunk: number): Buffer => BLOCKS[chunk % BLOCKS.length]!;
const gradientOf = (chunk: number) => ({
  chunk,
  weight: 0.5,
  learningRate: 0.1,
  codec: '' as const,
  sharedChunks: 0,
});
const pushOf = (chunk: number): PushMessage => ({
  epoch: 2 ** 40,
  rank: 3,
  step: chunk,
  gradient: gradientOf(chunk),
  data: blockOf(chunk),
});
const pullOf = (chunk: number): PullMessage => ({ step: 7, parameters: { chunk }, data: blockOf(chunk) });
const REQUEST: PullRequest = { rank: 3, epoch: 2 ** 40, step: 7, onRequest: false };

function mustBeBlock(data: Uint8Array, chunk: number): void {
  assert.ok(Buffer.from(data).equals(blockOf(chunk)), `data of chunk ${chunk}`);
}

/** grpc-js with protobufjs. */
function plainClient({ peer }: Fixture) {
  const client = new Client(peer.address, credentials.createInsecure());
  const metadata = callMetadata(peer.security);
  return {
    push(messages: readonly PushMessage[]): Promise<object | undefined> {
      return new Promise((resolve, reject) => {
        const call = client.makeClientStreamRequest(
          PUSH.path,
          PUSH.requestSerialize,
          PUSH.responseDeserialize,
          metadata,
          (error, answer) => (error ? reject(error) : resolve(answer)),
        );
        for (const message of messages) call.write(message);
        call.end();
      });
    },
    pull: (request: PullRequest): ClientReadableStream<PullMessage> =>
      client.makeServerStreamRequest(
        PULL.path,
        PULL.requestSerialize,
        PULL.responseDeserialize,
        request,
        metadata,
      ),
    [Symbol.dispose]: () => client.close(),
  };
}

async function plainServer(handlers: {
  Push?: (call: ServerReadableStream<PushMessage, object>, answer: sendUnaryData<object>) => void;
  Pull?: (call: ServerWritableStream<PullRequest, PullMessage>) => void;
}) {
  const server = new Server({ 'grpc.max_receive_message_length': 2 * CHUNK_BYTES });
  server.addService({ Push: PUSH, Pull: PULL }, handlers);
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  const security = { kind: 'token', token: newToken() } as const;
  const client = new ExchangeClient({ address: `127.0.0.1:${port}`, security, chunkBytes: CHUNK_BYTES });
  return {
    client,
    security,
    [Symbol.dispose]() {
      client.close();
      server.forceShutdown();
    },
  };
}

test('a client of grpc-js pushes to our server', TIMEOUT, async () => {
  const chunks: number[] = [];
  await using fixture = await startFixture({
    push: (messages) =>
      messages.onMessage(({ epoch, step, gradient, data }) => {
        assert.deepEqual([epoch, step, { ...gradient }], [2 ** 40, chunks.length, gradientOf(chunks.length)]);
        mustBeBlock(data, chunks.length);
        chunks.push(gradient!.chunk);
      }),
  });
  using client = plainClient(fixture);
  assert.deepEqual(
    { ...(await client.push(Array.from({ length: CHUNKS }, (_, chunk) => pushOf(chunk)))) },
    {},
  );
  assert.equal(chunks.length, CHUNKS);
});

test('a client of grpc-js pulls from our server, to the end and to an error', TIMEOUT, async () => {
  await using fixture = await startFixture({
    pull: (request, out) => {
      assert.deepEqual({ ...request }, REQUEST);
      for (let chunk = 0; chunk < CHUNKS; chunk++) out.write(pullOf(chunk));
      if (asked++ === 0) out.end();
      else out.fail(new RuntimeError('OLD_EPOCH', 'überholt, 100 %'));
    },
  });
  let asked = 0;
  using client = plainClient(fixture);
  for (const ending of ['end', 'error'] as const) {
    let got = 0;
    const call = client.pull(REQUEST);
    const over = new Promise<ServiceError | undefined>((resolve) => {
      call.on('data', ({ data }: PullMessage) => mustBeBlock(data, got++));
      call.on('error', resolve);
      call.on('end', () => ending === 'end' && resolve(undefined));
    });
    const error = await over;
    assert.equal(got, CHUNKS);
    const seen = error && [error.code, error.details, ...error.metadata.get('lepton-code')];
    const expected = [status.FAILED_PRECONDITION, 'überholt, 100 %', 'OLD_EPOCH'];
    assert.deepEqual(seen, ending === 'end' ? undefined : expected);
  }
});

test('a client of grpc-js that is refused hears why', TIMEOUT, async () => {
  await using fixture = await startFixture({
    push: (messages) =>
      messages.onMessage(() => {
        throw new RuntimeError('BAD_MESSAGE', 'not that one');
      }),
    pull: () => {
      throw new TypeError('a bug with secrets inside');
    },
  });
  using client = plainClient(fixture);
  const refused = { code: status.INVALID_ARGUMENT, details: 'not that one' };
  await assert.rejects(client.push([pushOf(0), pushOf(1)]), refused);
  const error = await new Promise<ServiceError>((resolve) =>
    client
      .pull(REQUEST)
      .on('data', () => {})
      .on('error', resolve as never),
  );
  assert.deepEqual([error.code, error.details], [status.INTERNAL, 'internal error of the peer']);
});

test('our client pushes to a server of grpc-js', TIMEOUT, async () => {
  const chunks: number[] = [];
  using server = await plainServer({
    Push: (call, answer) => {
      assert.deepEqual(call.metadata.get('lepton-token'), [server.security.token]);
      call.on('data', ({ gradient, data }: PushMessage) => {
        mustBeBlock(data, gradient!.chunk);
        chunks.push(gradient!.chunk);
      });
      call.on('end', () => answer(null, {}));
    },
  });
  const push = server.client.push();
  for (let chunk = 0; chunk < CHUNKS; chunk++) push.write(pushOf(chunk));
  await push.finish();
  assert.deepEqual(
    chunks,
    Array.from({ length: CHUNKS }, (_, chunk) => chunk),
  );
});

test('our client pulls from a server of grpc-js, to the end and to an error', TIMEOUT, async () => {
  let asked = 0;
  using server = await plainServer({
    Pull: (call) => {
      assert.deepEqual({ ...call.request }, REQUEST);
      for (let chunk = 0; chunk < CHUNKS; chunk++) call.write(pullOf(chunk));
      if (asked++ === 0) call.end();
      else call.emit('error', statusOf(new RuntimeError('STEP_GONE', 'schon fort, 100 %')));
    },
  });
  for (const expected of [undefined, 'STEP_GONE']) {
    let got = 0;
    const pull = server.client.pull(REQUEST);
    pull.onMessage(({ parameters, data }) => {
      assert.equal(parameters?.chunk, got);
      mustBeBlock(data, got++);
    });
    const error = await new Promise<RuntimeError | undefined>((resolve) => pull.onEnd(resolve));
    assert.equal(error?.code, expected);
    if (!expected) assert.equal(got, CHUNKS);
    else assert.equal(error?.message, 'schon fort, 100 %');
  }
});

test(
  'our client hears of a method that a server has not, and of a server that is gone',
  TIMEOUT,
  async () => {
    const { client } = await (async () => {
      using server = await plainServer({});
      const push = server.client.push();
      await assert.rejects(push.finish(), { code: 'PEER_LOST', message: /does not implement/ });
      return server;
    })();
    const pull = client.pull(REQUEST);
    const error = await new Promise<RuntimeError | undefined>((resolve) => pull.onEnd(resolve));
    assert.equal(error?.code, 'PEER_LOST');
    assert.match(error.message, /ECONNREFUSED/);
  },
);
