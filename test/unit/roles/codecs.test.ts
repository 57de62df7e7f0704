// Jobs whose gradients travel in fewer bytes: they learn what plain ones learn, timing changes no bit, and what crosses the wire is smaller.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { engine } from '../../../native/engine.ts';
import { readSafetensors } from '../../../worker/formats/safetensors.ts';
import {
  type GradientCodec,
  GradientEncoder,
  type Moment,
  ratioAt,
} from '../../../worker/roles/gradient-codec.ts';
import { runSmallJob, type SmallJob, temporaryFolder } from './small-job.ts';

const TIMEOUT = { timeout: 60_000 };
const CHUNK = 16_384;
const JOB = {
  workers: 2,
  servers: 1,
  batchSize: 16,
  epochs: 8,
  width: 2 * CHUNK,
  testing: { chunkLength: CHUNK },
  elsewhere: ['server 0', 'server 1'],
};
const CODECS: readonly GradientCodec[] = [
  { codec: 'bfloat16' },
  { codec: 'int8' },
  { codec: 'oneBit', warmupSteps: 4 },
  { codec: 'topK', ratio: 0.02, warmupSteps: 4 },
  { codec: 'oneBit', warmupSteps: 4, momentum: 0.9 },
  { codec: 'topK', ratio: 0.02, warmupSteps: 4, momentum: 0.9 },
];

interface Learnt {
  readonly digest: string;
  readonly loss: number;
}

async function learnt(job: Partial<SmallJob>): Promise<Learnt> {
  await using folder = await temporaryFolder();
  await runSmallJob({ ...JOB, directory: folder.path, ...job });
  const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
  const history = JSON.parse(await readFile(join(folder.path, 'history.json'), 'utf8'));
  return {
    digest: createHash('sha256').update(tensors.get('kernel')!.data).digest('hex'),
    loss: history.at(-1).evaluate.loss,
  };
}

/** What all others are held to. */
let plain: Learnt;
before(async () => {
  plain = await learnt({});
});

for (const gradientCodec of CODECS)
  test(
    `${gradientCodec.codec}${gradientCodec.momentum ? ' with momentum' : ''}: learns as much; timing and servers change no bit`,
    TIMEOUT,
    async (context) => {
      const coded = await learnt({ gradientCodec });
      assert.notEqual(coded.digest, plain.digest);
      const variants: Record<string, Partial<SmallJob>> = {
        'random delays': { testing: { chunkLength: CHUNK, delayMs: 4, delaySeed: 3 } },
        'two servers': { servers: 2 },
      };
      for (const [name, variant] of Object.entries(variants))
        assert.equal((await learnt({ gradientCodec, ...variant })).digest, coded.digest, name);
      context.diagnostic(`loss ${coded.loss.toPrecision(4)}, without a codec ${plain.loss.toPrecision(4)}`);
      assert.ok(coded.loss < 1.5 * plain.loss + 0.02, `loss ${coded.loss} instead of ${plain.loss}`);
    },
  );

test('within a host that shares memory no codec is used', TIMEOUT, async () => {
  const shared = { elsewhere: [] };
  assert.equal((await learnt({ ...shared, gradientCodec: { codec: 'int8' } })).digest, plain.digest);
});

test('momentum of workers is that of the optimizer, also where memory is shared', TIMEOUT, async () => {
  const gradientCodec: GradientCodec = { codec: 'topK', ratio: 0.02, momentum: 0.9 };
  const { loss } = await learnt({ elsewhere: [], gradientCodec });
  assert.ok(Math.abs(loss - plain.loss) < 1e-5 * plain.loss, `loss ${loss} instead of ${plain.loss}`);
});

test(
  'a worker that shares memory beside one that does not: both go on from the same parameters',
  TIMEOUT,
  async () => {
    const mixed = { elsewhere: ['worker 1'], gradientCodec: { codec: 'int8' } } as const;
    const { digest, loss } = await learnt(mixed);
    assert.equal((await learnt({ ...mixed, testing: { chunkLength: CHUNK, delayMs: 6 } })).digest, digest);
    assert.ok(loss < 1.5 * plain.loss + 0.02, `loss ${loss} instead of ${plain.loss}`);
  },
);

test(
  'a checkpoint holds all: a run that goes on from one ends as one that was never stopped',
  TIMEOUT,
  async () => {
    const gradientCodec: GradientCodec = { codec: 'topK', ratio: 0.02, momentum: 0.9 };
    const whole = await learnt({ gradientCodec, everySteps: 8 });
    await using folder = await temporaryFolder();
    const job = { ...JOB, gradientCodec, everySteps: 8, directory: folder.path };
    await runSmallJob({ ...job, epochs: 4, run: 'first' });
    await runSmallJob({ ...job, run: 'second', resume: true });
    const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
    assert.equal(createHash('sha256').update(tensors.get('kernel')!.data).digest('hex'), whole.digest);
  },
);

/** Passes connections on, and counts what each side has sent. */
async function counting(): Promise<
  { way(port: number): number; bytes: { up: number; down: number } } & Disposable
> {
  const bytes = { up: 0, down: 0 };
  let target = 0;
  // Small messages wait for nothing, as on the connections of gRPC.
  const server = createServer({ noDelay: true }, (from) => {
    const to = connect({ port: target, host: '127.0.0.1', noDelay: true });
    from.on('data', (data) => (bytes.up += data.length));
    to.on('data', (data) => (bytes.down += data.length));
    from.pipe(to).pipe(from);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    bytes,
    way: (port) => {
      target = port;
      return (server.address() as AddressInfo).port;
    },
    [Symbol.dispose]: () => void server.close(),
  };
}

test('the bytes on the wire are as few as the codecs say, both ways', TIMEOUT, async (context) => {
  const sent = async (job: Partial<SmallJob>): Promise<{ up: number; down: number }> => {
    using wire = await counting();
    await learnt({ way: wire.way, ...job });
    return wire.bytes;
  };
  // A first version in full, the last step in full: of 28 steps as many bytes are left.
  const job = { batchSize: 16, epochs: 7 };
  const plain = await sent(job);
  for (const [gradientCodec, most] of [
    [{ codec: 'bfloat16' }, 0.6],
    [{ codec: 'int8' }, 0.37],
    [{ codec: 'oneBit' }, 0.16],
    [{ codec: 'topK', ratio: 0.01 }, 0.16],
  ] as const) {
    const coded = await sent({ ...job, gradientCodec });
    const [up, down] = [coded.up / plain.up, coded.down / plain.down];
    context.diagnostic(`${gradientCodec.codec}: ${up.toFixed(3)} up, ${down.toFixed(3)} down`);
    assert.ok(up < most && down < most, `${gradientCodec.codec}: ${up} up, ${down} down, expected ${most}`);
  }
});

const SGD = { optimizer: 'sgd' } as const;
const at = (clock: number, flush = false, learningRate = 0.1): Moment => ({ clock, learningRate, flush });

test('small chunks, state and warm-up go as they are; a flush carries what was kept back', () => {
  const length = 2 * CHUNK;
  const gradients = Float32Array.from({ length }, (_, i) => Math.sin(i));
  const chunk = { index: 0, from: 0, to: CHUNK, state: false };
  const oneBit = new GradientEncoder(engine, { codec: 'oneBit', warmupSteps: 5 }, length, SGD);
  assert.equal(oneBit.encode(gradients, chunk, at(4))!.codec, '');
  assert.equal(oneBit.encode(gradients, chunk, at(5))!.codec, 'oneBit');
  const first = new Float32Array(CHUNK);
  engine.decode('oneBit', oneBit.encode(gradients, chunk, at(6))!.data, first, 0, CHUNK);
  const { codec, data } = oneBit.encode(gradients, chunk, at(7, true))!;
  assert.equal(codec, '');
  const flushed = new Float32Array(Uint8Array.from(data).buffer);
  assert.ok(flushed.some((value, i) => Math.abs(value - gradients[i]!) > 0.1));
  const again = oneBit.encode(gradients, chunk, at(8, true))!.data;
  assert.deepEqual(new Float32Array(Uint8Array.from(again).buffer), gradients.slice(0, CHUNK));
  const small = { index: 0, from: 0, to: CHUNK - 4096, state: false };
  const int8 = new GradientEncoder(engine, { codec: 'int8' }, length, SGD);
  assert.equal(int8.encode(gradients, small, at(5))!.codec, '');
  assert.equal(int8.encode(gradients, { ...chunk, state: true }, at(5)), undefined);
});

test('what was kept moves parameters by the learning rate that it was computed at', () => {
  const gradients = new Float32Array(CHUNK);
  const chunk = { index: 0, from: 0, to: CHUNK, state: false };
  const encoder = new GradientEncoder(engine, { codec: 'topK', ratio: 0.01 }, CHUNK, SGD);
  let owed = 0;
  let moved = 0;
  for (const [clock, learningRate] of [0.1, 0.05, 0, 0.2, 0.001].entries()) {
    gradients.fill(1);
    // A rate of 0 moves nothing, and what is kept from before stays what it was.
    owed += learningRate * gradients[CHUNK - 1]!;
    const moment = at(clock, clock === 4, learningRate);
    encoder.prepare(gradients, chunk, moment);
    const { codec, data } = encoder.encode(gradients, chunk, moment)!;
    const sent = new Float32Array(CHUNK);
    if (codec === '') sent.set(new Float32Array(Uint8Array.from(data).buffer));
    else engine.decode(codec, data, sent, 0, CHUNK);
    moved += learningRate * sent[CHUNK - 1]!;
  }
  // The gradient of the step without a rate is kept at the rate before.
  assert.ok(Math.abs(moved - owed - 0.05) < 1e-6, `${moved} instead of ${owed + 0.05}`);
});

test('Adam takes what was kept as it is: its steps have no size of gradients', () => {
  const gradients = new Float32Array(CHUNK).fill(1);
  const chunk = { index: 0, from: 0, to: CHUNK, state: false };
  const codec = { codec: 'topK', ratio: 0.01 } as const;
  const encoder = new GradientEncoder(engine, codec, CHUNK, { optimizer: 'adam' });
  for (const moment of [at(0, false, 0.1), at(1, true, 0.001)]) {
    encoder.prepare(gradients, chunk, moment);
    const { data } = encoder.encode(gradients, chunk, moment)!;
    if (moment.flush) assert.equal(new Float32Array(Uint8Array.from(data).buffer)[CHUNK - 1], 2);
  }
});

test('momentum: every chunk has its velocity, in whatever way it goes; a checkpoint ends it', () => {
  const encoder = new GradientEncoder(engine, { codec: 'topK', ratio: 0.01, momentum: 0.5 }, 2 * CHUNK, SGD);
  const small = { index: 0, from: 0, to: 100, state: false };
  const large = { index: 1, from: 100, to: 100 + CHUNK, state: false };
  const state = { index: 2, from: 2 * CHUNK, to: 2 * CHUNK, state: true };
  for (const [clock, velocity] of [1, 1.5, 1.75, 1].entries()) {
    const gradients = new Float32Array(2 * CHUNK).fill(1);
    const moment = at(clock, clock === 2);
    for (const chunk of [small, large, state]) encoder.prepare(gradients, chunk, moment);
    assert.equal(gradients[0], velocity);
    assert.equal(gradients[100], velocity);
    const { codec, data } = encoder.encode(gradients, small, moment)!;
    assert.equal(codec, '');
    assert.equal(new Float32Array(Uint8Array.from(data).buffer)[0], velocity);
  }
});

test('what a chunk was encoded into serves again when it is done with, and not before', () => {
  const gradients = Float32Array.from({ length: 2 * CHUNK }, (_, i) => Math.cos(i));
  const encoder = new GradientEncoder(engine, { codec: 'int8' }, 2 * CHUNK, SGD);
  const encode = (index: number) =>
    encoder.encode(gradients, { index, from: index * CHUNK, to: (index + 1) * CHUNK, state: false }, at(5))!;
  const [first, second] = [encode(0), encode(1)];
  assert.notEqual(first.data.buffer, second.data.buffer);
  const kept = Buffer.from(second.data);
  first.done!();
  assert.equal(encode(0).data.buffer, first.data.buffer);
  assert.notEqual(encode(1).data.buffer, second.data.buffer);
  assert.ok(kept.equals(second.data));
});

test('gradients that are not finite are refused by name', () => {
  const gradients = new Float32Array(CHUNK).fill(1);
  gradients[9] = Number.NaN;
  const encoder = new GradientEncoder(engine, { codec: 'int8' }, CHUNK, SGD);
  assert.throws(() => encoder.encode(gradients, { index: 0, from: 0, to: CHUNK, state: false }, at(3)), {
    code: 'GRADIENT_NOT_FINITE',
    message: /step 3, chunk 0/,
  });
});

test('the warm-up of topK falls from a quarter by equal factors', () => {
  const codec = { codec: 'topK', ratio: 0.01, warmupSteps: 10 } as const;
  const ratios = Array.from({ length: 12 }, (_, step) => ratioAt(codec, step));
  assert.equal(ratios[0], 0.25);
  assert.equal(ratios[10], 0.01);
  for (let step = 1; step <= 10; step++)
    assert.ok(Math.abs(ratios[step]! / ratios[step - 1]! - (0.01 / 0.25) ** 0.1) < 1e-12);
});
