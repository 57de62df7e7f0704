// Reading a socket into one buffer that serves again and again: Node's own way makes fresh memory for every 64 KiB.
import { Socket } from 'node:net';

/** Fits into a processor's second cache. */
export const READ_BYTES = 256 * 1024;

/** Reads into one buffer again and again where this Node can, otherwise into memory of each read's own. `take` is to be done with it. */
export function readInto(socket: Socket, take: (bytes: Buffer) => void): void {
  const model = new Socket({ onread: onreadOf(take) });
  const fields = Object.getOwnPropertySymbols(model).filter(({ description }) =>
    /^kBuffer(Cb)?$/.test(description ?? ''),
  );
  const { _handle: handle } = socket as unknown as { _handle?: { useUserBuffer?(buffer: Uint8Array): void } };
  if (fields.length === 2 && handle?.useUserBuffer) {
    const from = model as unknown as Record<symbol, unknown>;
    for (const field of fields) (socket as unknown as Record<symbol, unknown>)[field] = from[field];
    const buffer = fields.map((field) => from[field]).find((value) => value instanceof Uint8Array)!;
    handle.useUserBuffer(buffer as Uint8Array);
  } else socket.on('data', take);
  socket.resume();
}

/** As Node documents it for sockets that connect. */
export function onreadOf(take: (bytes: Buffer) => void) {
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  return {
    buffer,
    callback: (bytes: number): boolean => {
      take(buffer.subarray(0, bytes));
      return true;
    },
  };
}
