// Whether anybody listens at an address: a bare connection that is given up as soon as it stands, as kubelets probe. It costs a
// hundredth of a channel with its certificates. Says nothing about who it is.
import { connect } from 'node:net';

const ADDRESS = /^\[?([^[\]]+)\]?:(\d+)$/;
/** Where packets get lost, nobody refuses. */
const PATIENCE_MS = 5000;

/**
 * Tells once, and never after it was called off with what it gives. `address` is host:port; at one that is none there is nobody.
 */
export function knock(address: string, tell: (somebody: boolean) => void): () => void {
  const [, host = '', port = 0] = ADDRESS.exec(address) ?? [];
  const socket = connect({ host, port: Number(port), timeout: PATIENCE_MS });
  let over = false;
  const end = (somebody?: boolean): void => {
    if (over) return;
    over = true;
    socket.destroy();
    if (somebody !== undefined) tell(somebody);
  };
  socket.on('connect', () => end(true));
  socket.on('timeout', () => end(false));
  socket.on('error', () => end(false));
  return () => end();
}
