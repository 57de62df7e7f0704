// A listening exchange whose handlers a test gives, and clients of it. Real gRPC on the loopback interface.
import { CoordinationClient, ExchangeClient } from '../../../worker/transport/clients.ts';
import type { CoordinationHandlers, ExchangeHandlers } from '../../../worker/transport/handlers.ts';
import { type Listener, type ListenerOptions, listen } from '../../../worker/transport/listener.ts';
import type { PeerOptions } from '../../../worker/transport/peer.ts';
import { newToken } from '../../../worker/transport/token.ts';

export const CHUNK_BYTES = 2 ** 20;

export interface Fixture extends AsyncDisposable {
  readonly listener: Listener;
  readonly peer: PeerOptions;
  exchange(options?: Partial<PeerOptions>): ExchangeClient;
  coordination(options?: Partial<PeerOptions>): CoordinationClient;
}

export async function startFixture(
  handlers: Partial<ExchangeHandlers>,
  coordination?: Partial<CoordinationHandlers>,
  options: Pick<ListenerOptions, 'stuckMs'> = {},
): Promise<Fixture> {
  const security = { kind: 'token', token: newToken() } as const;
  const listener = await listen({
    address: '127.0.0.1:0',
    security,
    chunkBytes: CHUNK_BYTES,
    peers: 4,
    ...options,
    exchange: handlers as ExchangeHandlers,
    ...(coordination ? { coordination: coordination as CoordinationHandlers } : {}),
  });
  const peer = { address: `127.0.0.1:${listener.port}`, security, chunkBytes: CHUNK_BYTES };
  const clients: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(client: T): T => {
    clients.push(client);
    return client;
  };
  return {
    listener,
    peer,
    exchange: (options = {}) => keep(new ExchangeClient({ ...peer, ...options })),
    coordination: (options = {}) => keep(new CoordinationClient({ ...peer, ...options })),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await listener.close();
    },
  };
}
