// Stands between the processes of a job and lets each of them see the others as of another version: what that version does not know
// is lost on the way, what it adds is added. Real gRPC on the loopback interface.
import { join } from 'node:path';
import {
  Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import type { ProtocolRange } from '../../../worker/transport/messages.ts';
import { PROTOCOL } from '../../../worker/transport/protocol.ts';
import { TOKEN_KEY } from '../../../worker/transport/token.ts';

export interface Edition {
  readonly definitions: PackageDefinition;
  /** What its callers say that they speak. */
  readonly speaks: ProtocolRange;
}

const FILES = ['lepton/coordination/v1/coordination.proto', 'lepton/exchange/v1/exchange.proto'];

function load(folder: string): PackageDefinition {
  return loadSync(FILES, { includeDirs: [join(import.meta.dirname, folder)], longs: Number });
}

/** As its protos were. */
export const VERSION_1: Edition = { definitions: load('version-1'), speaks: { oldest: 1, newest: 1 } };

/** 900: a number, 901: eight bytes, 902: bytes, 903: four. */
const ADDED = Buffer.from([
  0xa0, 0x38, 7, 0xa9, 0x38, 1, 2, 3, 4, 5, 6, 7, 8, 0xb2, 0x38, 2, 9, 9, 0xbd, 0x38, 1, 2, 3, 4,
]);

/** One more than ours: every message has fields that we have never heard of. */
export const NEXT: Edition = {
  definitions: withMore(load('../../../protos')),
  speaks: { oldest: PROTOCOL.newest, newest: PROTOCOL.newest + 1 },
};

function withMore(definitions: PackageDefinition): PackageDefinition {
  const more =
    (serialize: (value: object) => Buffer) =>
    (value: object): Buffer =>
      Buffer.concat([ADDED, serialize(value), ADDED]);
  const changed = Object.entries(definitions).map(([name, definition]) => {
    if ('format' in definition) return [name, definition];
    const methods = Object.entries(definition).map(([method, it]) => [
      method,
      { ...it, requestSerialize: more(it.requestSerialize), responseSerialize: more(it.responseSerialize) },
    ]);
    return [name, Object.fromEntries(methods)];
  });
  return Object.fromEntries(changed) as PackageDefinition;
}

// biome-ignore lint/suspicious/noExplicitAny: messages of any of the methods
type Any = any;

/** Listens at `port`, for whoever listens at `target`. */
export async function interpret(edition: Edition, port: number, target: number): Promise<AsyncDisposable> {
  const limits = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
  const client = new Client(`127.0.0.1:${target}`, credentials.createInsecure(), limits);
  const server = new Server(limits);
  for (const [name, definition] of Object.entries(edition.definitions)) {
    if ('format' in definition) continue;
    const methods = Object.entries(definition).map(([method, it]) => [method, passOn(client, it, edition)]);
    server.addService(loadService(edition, name), Object.fromEntries(methods));
  }
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    ),
  );
  return {
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      client.close();
    },
  };
}

function loadService({ definitions }: Edition, name: string): ServiceDefinition {
  let at: Any = loadPackageDefinition(definitions);
  for (const part of name.split('.')) at = at[part];
  return at.service;
}

function passOn(client: Client, method: MethodDefinition<Any, Any>, { speaks }: Edition): Any {
  const { path, requestSerialize: write, responseDeserialize: read } = method;
  const said = (request: Any): Any => (request.protocol ? { ...request, protocol: speaks } : request);
  if (method.requestStream)
    return (call: Any, answer: Any) => {
      const up = client.makeClientStreamRequest(path, write, read, headersOf(call), (error, value) =>
        answer(error && told(error), value),
      );
      call.on('data', (message: Any) => up.write(message));
      call.on('end', () => up.end());
      call.on('cancelled', () => up.cancel());
    };
  if (method.responseStream)
    return (call: Any) => {
      const down = client.makeServerStreamRequest(path, write, read, said(call.request), headersOf(call));
      down.on('data', (message: Any) => call.write(message));
      down.on('end', () => call.end());
      down.on('error', (error: ServiceError) => call.emit('error', told(error)));
      call.on('cancelled', () => down.cancel());
    };
  return (call: Any, answer: Any) => {
    const deadline = { deadline: call.getDeadline() };
    client.makeUnaryRequest(
      path,
      write,
      read,
      said(call.request),
      headersOf(call),
      deadline,
      (error, value) => answer(error && told(error), value),
    );
  };
}

function headersOf({ metadata }: { metadata: Metadata }): Metadata {
  const own = new Metadata();
  for (const token of metadata.get(TOKEN_KEY)) own.set(TOKEN_KEY, token);
  return own;
}

/** With the code of ours and none of the transport's headers. */
function told({ code, details, metadata }: ServiceError): Partial<ServiceError> {
  const own = new Metadata();
  for (const named of metadata.get('lepton-code')) own.set('lepton-code', named);
  return { code: code ?? status.UNKNOWN, details, metadata: own };
}
