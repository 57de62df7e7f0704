// Whole jobs over real gRPC in one process: same bits whatever the timing, chunks and servers; artefacts; resuming.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensors } from '../../../worker/formats/safetensors.ts';
import { runSmallJob, type SmallJob, temporaryFolder, WIDTH } from './small-job.ts';

const TIMEOUT = { timeout: 60_000 };
const JOB = { workers: 2, servers: 1, batchSize: 16, epochs: 2 };

async function weightsAfter(
  job: Partial<SmallJob>,
): Promise<{ digest: string; kernel: Float32Array; history: unknown }> {
  await using folder = await temporaryFolder();
  await runSmallJob({ ...JOB, directory: folder.path, ...job });
  const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
  const bytes = tensors.get('kernel')!.data;
  const history = JSON.parse(await readFile(join(folder.path, 'history.json'), 'utf8')) as Record<
    string,
    unknown
  >[];
  return {
    digest: createHash('sha256').update(bytes).update(tensors.get('mean')!.data).digest('hex'),
    kernel: new Float32Array(Uint8Array.from(bytes).buffer),
    history: history.map(({ seconds: _, samplesPerSecond: __, ...rest }) => rest),
  };
}

test('a job trains, evaluates and leaves its results', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const lines = await runSmallJob({ ...JOB, directory: folder.path });
  const files = await readdir(folder.path);
  assert.deepEqual(files.sort(), [
    'checkpoints',
    'history.json',
    'metrics.json',
    'model.json',
    'tensorboard',
    'weights.safetensors',
  ]);
  const history = JSON.parse(await readFile(join(folder.path, 'history.json'), 'utf8'));
  assert.equal(history.length, 2);
  for (const { samples } of history) assert.equal(samples, 100); // each sample of an epoch once
  assert.ok(history[1].train.loss < history[0].train.loss, JSON.stringify(history));
  assert.ok(Number.isFinite(history[1].evaluate.predicted));
  const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
  assert.deepEqual(tensors.get('kernel')?.shape, [WIDTH, 1]);
  assert.ok(
    lines.some((line) => line.startsWith('results written')),
    lines.join('\n'),
  );
});

test('timing, chunk size and number of servers change no bit', TIMEOUT, async (context) => {
  const plain = await weightsAfter({});
  const variants: Record<string, Partial<SmallJob>> = {
    again: {},
    'two servers': { servers: 2 },
    'more servers than chunks': { servers: 6 },
    'large chunks': { testing: { chunkLength: 65_536 } },
    'random delays': { testing: { chunkLength: 4096, delayMs: 8, delaySeed: 3 } },
    'other delays, two servers': { servers: 2, testing: { chunkLength: 8192, delayMs: 4, delaySeed: 4 } },
    'checkpoints at every step': { everySteps: 1 },
    'no shared memory': { servers: 2, elsewhere: ['server 0', 'server 1'] },
    'shared memory with one of two servers': { servers: 2, elsewhere: ['server 1'] },
    'shared memory of one of two workers': { servers: 2, elsewhere: ['worker 0'] },
  };
  for (const [name, variant] of Object.entries(variants)) {
    const { digest, history } = await weightsAfter(variant);
    assert.equal(digest, plain.digest, name);
    assert.deepEqual(history, plain.history, name);
  }
  context.diagnostic(`${Object.keys(variants).length} variants, digest ${plain.digest.slice(0, 12)}`);
});

test('processes of one host share memory, others send bytes', TIMEOUT, async () => {
  const partners = async (elsewhere: readonly string[]): Promise<string[]> => {
    await using folder = await temporaryFolder();
    const lines = await runSmallJob({ ...JOB, servers: 2, elsewhere, directory: folder.path });
    return lines.filter((line) => line.startsWith('exchanging')).sort();
  };
  const line = (sharedMemory: number): string => `exchanging {"servers":2,"sharedMemory":${sharedMemory}}`;
  assert.deepEqual(await partners([]), [line(2), line(2)]);
  assert.deepEqual(await partners(['server 1']), [line(1), line(1)]);
  assert.deepEqual(await partners(['worker 0']), [line(0), line(2)]);
});

test('clipping by norm: bits do not depend on chunks and servers', TIMEOUT, async () => {
  const clipped = await weightsAfter({ clipNorm: 5 });
  assert.notEqual(clipped.digest, (await weightsAfter({})).digest);
  for (const servers of [2, 6])
    assert.equal((await weightsAfter({ clipNorm: 5, servers })).digest, clipped.digest);
  const large = await weightsAfter({ clipNorm: 5, testing: { chunkLength: 65_536, delayMs: 3 } });
  assert.equal(large.digest, clipped.digest);
});

test('N workers with batch B equal one worker with batch N B, to rounding', TIMEOUT, async (context) => {
  const one = await weightsAfter({ workers: 1, batchSize: 32 });
  for (const [workers, batchSize] of [
    [2, 16],
    [4, 8],
  ] as const) {
    const { kernel } = await weightsAfter({ workers, batchSize });
    const scale = Math.max(...one.kernel.map(Math.abs));
    const difference = Math.max(...kernel.map((value, at) => Math.abs(value - one.kernel[at]!))) / scale;
    assert.ok(difference < 1e-5, `${workers} workers: ${difference}`);
    context.diagnostic(`${workers} x ${batchSize}: relative difference ${difference.toExponential(1)}`);
  }
});

test('a run goes on from the checkpoint of another one', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const short = { ...JOB, directory: folder.path, everySteps: 2 };
  await runSmallJob({ ...short, epochs: 1, run: 'first' });
  const lines = await runSmallJob({ ...short, run: 'second', resume: true });
  assert.ok(
    lines.some((line) => line.startsWith('job goes on from a checkpoint {"step":4}')),
    lines.join('\n'),
  );
  const whole = await weightsAfter({});
  const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
  const kernel = new Float32Array(Uint8Array.from(tensors.get('kernel')!.data).buffer);
  assert.deepEqual(kernel, whole.kernel);
});

test(
  'memory that outlives servers: the next ones go on where these were, without any checkpoint',
  TIMEOUT,
  async () => {
    await using kept = await temporaryFolder();
    const job = { ...JOB, servers: 2, kept: kept.path };
    const first = await weightsAfter(job);
    assert.equal(first.digest, (await weightsAfter({})).digest);
    await using folder = await temporaryFolder();
    const lines = await runSmallJob({ ...job, directory: folder.path });
    const steps = JOB.epochs * Math.ceil(100 / (JOB.workers * JOB.batchSize));
    assert.deepEqual(
      lines.filter((line) => line.startsWith('job goes on')),
      [`job goes on from memory {"step":${steps},"lostSteps":0}`],
    );
    const { tensors } = await readSafetensors(join(folder.path, 'weights.safetensors'));
    const again = createHash('sha256').update(tensors.get('kernel')!.data).update(tensors.get('mean')!.data);
    assert.equal(again.digest('hex'), first.digest);
  },
);

test('where no memory can be kept a job says so and trains all the same', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const lines = await runSmallJob({
    ...JOB,
    directory: folder.path,
    kept: join(folder.path, 'no', 'folder'),
  });
  const said = lines.filter((line) => line.startsWith('nothing is kept in memory for the next process'));
  assert.equal(said.length, 2, 'of the ledger and of the shard');
  assert.ok(lines.some((line) => line.startsWith('results written')));
});
