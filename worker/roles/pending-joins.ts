// Workers that have asked to join and wait for their answer; a rank's newest call has its place.
import { RuntimeError } from '../protocol/errors.ts';
import type { JoinResponse } from '../transport/messages.ts';

export class PendingJoins {
  readonly #calls = new Map<number, PromiseWithResolvers<JoinResponse>>();

  add(rank: number): Promise<JoinResponse> {
    this.refuse(rank, new RuntimeError('OLD_EPOCH', 'join: overtaken by a newer one'));
    const call = Promise.withResolvers<JoinResponse>();
    this.#calls.set(rank, call);
    return call.promise;
  }

  answer(rank: number, response: JoinResponse): void {
    this.#calls.get(rank)?.resolve(response);
    this.#calls.delete(rank);
  }

  refuse(rank: number, error: RuntimeError): void {
    this.#calls.get(rank)?.reject(error);
    this.#calls.delete(rank);
  }

  refuseAll(error: RuntimeError): void {
    for (const rank of [...this.#calls.keys()]) this.refuse(rank, error);
  }
}
