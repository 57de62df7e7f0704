// Free ports of the loopback interface.
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/**
 * Below those that kernels give to outgoing connections (Linux from 32768, RFC 6335 §6 from 49152): of those any may be taken by
 * somebody's connection before who was given it here listens.
 */
const FIRST = 15_000;
const LAST = 32_000;
const TRIES = 100;

/** Ports that nobody listened on a moment ago; held all at once, so they differ from each other. Throws where none is found. */
export async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, hold));
  const ports = held.map((server) => (server.address() as { port: number }).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function hold(): Promise<Server> {
  for (let tried = 1; ; tried++)
    try {
      return await holdPort(randomInt(FIRST, LAST));
    } catch (error) {
      if (tried === TRIES) throw error;
    }
}

function holdPort(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
