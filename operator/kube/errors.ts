// What an API server answers when it refuses, and what a connection does when it breaks. One error, with what callers decide on.

export class ApiError extends Error {
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  /** The server's word for it (`AlreadyExists`, `Conflict`, `Forbidden`, ...), or `Unreachable`. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    answer: { status: number; reason: string; retryAfterMs?: number | undefined },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ApiError';
    this.status = answer.status;
    this.reason = answer.reason;
    this.retryAfterMs = answer.retryAfterMs;
  }

  /** The same request may go through later. */
  get retryable(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function isStatus(error: unknown, ...statuses: readonly number[]): error is ApiError {
  return error instanceof ApiError && statuses.includes(error.status);
}

/** Undefined where the server answers with one of these. */
export async function ignoring<T>(statuses: readonly number[], work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isStatus(error, ...statuses)) return undefined;
    throw error;
  }
}

/** From an answer's body: a metav1.Status where it is one. */
export function apiErrorOf(what: string, status: number, body: string, retryAfter?: string): ApiError {
  let reason = `HTTP ${status}`;
  let message = body.slice(0, 500).trim();
  try {
    const parsed = JSON.parse(body) as { reason?: string; message?: string };
    reason = parsed.reason || reason;
    message = parsed.message || message;
  } catch {
    // plain text, of a proxy or of the server itself
  }
  const seconds = Number(retryAfter);
  const retryAfterMs = retryAfter !== undefined && seconds >= 0 ? seconds * 1000 : undefined;
  return new ApiError(`${what}: ${message || reason}`, { status, reason, retryAfterMs });
}
