// One end of a single stream of chunks, over the listener and the client that a job uses, for the exchange's benchmark.
//   node bench/stream-peer.ts listen PORT | dial PORT
// The dialling end is told {"push": N} or {"pull": N} chunks of 1 MiB and answers with the seconds that they took.
import { createInterface } from 'node:readline';
import { CHUNK_LENGTH } from '../worker/protocol/chunks.ts';
import { ExchangeClient } from '../worker/transport/clients.ts';
import type { ExchangeHandlers } from '../worker/transport/handlers.ts';
import { listen } from '../worker/transport/listener.ts';

const CHUNK_BYTES = 4 * CHUNK_LENGTH;
const [end, port] = process.argv.slice(2);
const common = {
  address: `127.0.0.1:${port}`,
  security: { kind: 'token', token: 'of a benchmark on one host' },
  chunkBytes: CHUNK_BYTES,
} as const;
const data = new Uint8Array(CHUNK_BYTES).fill(1);
const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

const handlers: ExchangeHandlers = {
  attend: () => ({ step: 0 }),
  push: (messages) => messages.onMessage(() => {}),
  pull: ({ step: chunks }, out) => {
    for (let chunk = 0; chunk < chunks; chunk++) out.write({ step: 0, parameters: { chunk }, data });
    out.end();
  },
};

interface Command {
  readonly push?: number;
  readonly pull?: number;
}

async function move(client: ExchangeClient, { push = 0, pull = 0 }: Command): Promise<void> {
  if (push > 0) {
    const stream = client.push();
    const gradient = { chunk: 0, weight: 1, learningRate: 1 };
    for (let chunk = 0; chunk < push; chunk++) stream.write({ epoch: 1, rank: 0, step: 0, gradient, data });
    await stream.finish();
  } else {
    const stream = client.pull({ rank: 0, epoch: 1, step: pull });
    stream.onMessage(() => {});
    const error = await new Promise((resolve) => stream.onEnd(resolve));
    if (error) throw error;
  }
}

if (end === 'listen') {
  await listen({ ...common, peers: 1, exchange: handlers });
  say({ ready: true });
} else {
  const client = new ExchangeClient(common);
  for await (const line of createInterface({ input: process.stdin })) {
    const startMs = performance.now();
    await move(client, JSON.parse(line) as Command);
    say({ seconds: (performance.now() - startMs) / 1000 });
  }
}
