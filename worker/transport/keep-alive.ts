// Notices a peer that is gone without a word: as grpc-js does for its connections, for those that are not its.
import type { Http2Session } from 'node:http2';
import { KEEPALIVE_MS } from './options.ts';

/** Destroys the session when a ping stays without an answer until the next is due. */
export function keepAlive(session: Http2Session, everyMs = KEEPALIVE_MS): void {
  let answered = true;
  const beats = setInterval(() => {
    if (session.destroyed) return; // it closes
    if (!answered) {
      session.destroy(new Error(`no sign of life for ${everyMs / 1000} s`));
      return;
    }
    answered = false;
    session.ping((error) => {
      if (!error) answered = true;
    });
  }, everyMs).unref();
  session.once('close', () => clearInterval(beats));
}
