// Runtime errors as gRPC statuses and back. The code travels in the metadata key `lepton-code`.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { isRuntimeErrorCode, RuntimeError, type RuntimeErrorCode } from '../protocol/errors.ts';

const CODE_KEY = 'lepton-code';

const STATUS_OF: Partial<Record<RuntimeErrorCode, status>> = {
  NOT_READY: status.UNAVAILABLE,
  PEER_LOST: status.UNAVAILABLE,
  WRONG_TOKEN: status.UNAUTHENTICATED,
  WRONG_IDENTITY: status.PERMISSION_DENIED,
  BAD_MESSAGE: status.INVALID_ARGUMENT,
  DEADLINE_EXCEEDED: status.DEADLINE_EXCEEDED,
};

/** A call that gRPC itself would refuse. */
export class RefusedCall extends Error {
  readonly code: status;

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
  }
}

/** What a handler's failure looks like on the wire. Unknown errors say nothing about the inside. */
export function statusOf(error: unknown): Partial<StatusObject> & { code: status; details: string } {
  if (error instanceof RefusedCall) return { code: error.code, details: error.message };
  if (!(error instanceof RuntimeError))
    return { code: status.INTERNAL, details: 'internal error of the peer' };
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  return { code: STATUS_OF[error.code] ?? status.FAILED_PRECONDITION, details: error.message, metadata };
}

/** The runtime error behind a failed call to `peer`. */
export function errorOf(error: unknown, peer: string): RuntimeError {
  if (error instanceof RuntimeError) return error;
  if (!isServiceError(error))
    return new RuntimeError('INTERNAL', `${peer}: ${String(error)}`, { cause: error });
  const [named] = error.metadata?.get(CODE_KEY) ?? [];
  if (typeof named === 'string' && isRuntimeErrorCode(named)) return new RuntimeError(named, error.details);
  if (error.code === status.DEADLINE_EXCEEDED)
    return new RuntimeError('DEADLINE_EXCEEDED', `${peer}: no answer in time`, { cause: error });
  return new RuntimeError('PEER_LOST', `${peer}: ${error.details || error.message}`, { cause: error });
}

/** The end of a call in HTTP/2's trailers; without an error a good one. */
export function trailersOf(error?: unknown): OutgoingHttpHeaders {
  if (error === undefined) return { 'grpc-status': status.OK };
  const { code, details, metadata } = statusOf(error);
  return { 'grpc-status': code, 'grpc-message': encodeURI(details), ...metadata?.toHttp2Headers() };
}

/** The runtime error behind the end of a call to `peer`; undefined where it ended well. */
export function errorIn(trailers: IncomingHttpHeaders, peer: string): RuntimeError | undefined {
  const code = Number(trailers['grpc-status'] ?? status.UNKNOWN);
  if (code === status.OK) return undefined;
  const details = decoded(String(trailers['grpc-message'] ?? `status ${trailers[':status']}`));
  const error = { code, details, metadata: Metadata.fromHttp2Headers(trailers) };
  return errorOf(Object.assign(new Error(details), error), peer);
}

function decoded(text: string): string {
  try {
    return decodeURI(text);
  } catch {
    return text;
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}
