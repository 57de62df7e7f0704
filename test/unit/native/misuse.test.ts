// Wrong use of the addon from JavaScript: always an error with a code that says what, expected and got; never a crash.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { type EngineModel, engine } from '../../../native/engine.ts';
import type { GraphSpec } from '../../../native/graph.ts';

const GRAPH: GraphSpec = {
  inputs: [{ name: 'x', shape: [3], type: 'float32' }],
  parameters: [
    { name: 'kernel', shape: [3, 2], trainable: true },
    { name: 'bias', shape: [2], trainable: true },
  ],
  nodes: [{ name: 'y', op: 'dense', inputs: ['x'], parameters: ['kernel', 'bias'] }],
  outputs: ['y'],
};
const LOSSES = [{ output: 'y', loss: 'meanSquaredError' }] as const;
const x = () => new Float32Array(6);
const y = () => new Float32Array(4);
const model = (): EngineModel => engine.createModel(GRAPH, { losses: LOSSES });
const STEP = { batchSize: 2, step: 0 };

// The addon must stand what TypeScript would not let through.
type Loose = (...args: unknown[]) => Promise<unknown>;

function detached(): Float32Array {
  const array = new Float32Array(6);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

const CALLS: Readonly<
  Record<string, { inputs?: unknown; targets?: unknown; options?: unknown; says: RegExp }>
> = {
  'no inputs': { inputs: [], says: /expected 1/ },
  'too many inputs': { inputs: [x(), x()], says: /expected 1/ },
  'inputs that are no list': { inputs: 7, says: /expected/ },
  'inputs null': { inputs: null, says: /expected/ },
  'a plain list of numbers': { inputs: [[1, 2, 3, 4, 5, 6]], says: /expected.*Float32Array/ },
  'whole numbers for floats': { inputs: [new Int32Array(6)], says: /expected floats, got Int32Array/ },
  'bytes for floats': { inputs: [new Uint8Array(24)], says: /expected.*Float32Array/ },
  'too few numbers': { inputs: [new Float32Array(5)], says: /expected 6.*got 5/ },
  'a detached buffer': { inputs: [detached()], says: /not detached/ },
  'targets too long': { targets: [new Float32Array(5)], says: /expected 4.*got 5/ },
  'no targets': { targets: [], says: /expected 1/ },
  'batch size 0': { options: { batchSize: 0, step: 0 }, says: /batchSize/ },
  'batch size -1': { options: { batchSize: -1, step: 0 }, says: /batchSize/ },
  'half a batch': { options: { batchSize: 1.5, step: 0 }, says: /batchSize/ },
  'a batch of text': { options: { batchSize: 'two', step: 0 }, says: /batchSize/ },
  'a batch that is not a number': { options: { batchSize: Number.NaN, step: 0 }, says: /batchSize/ },
  'a batch larger than any memory': { options: { batchSize: 2 ** 40, step: 0 }, says: /expected/ },
  'a negative step': { options: { batchSize: 2, step: -1 }, says: /step/ },
};

for (const [what, { inputs = [x()], targets = [y()], options = STEP, says }] of Object.entries(CALLS)) {
  test(`a step with ${what}`, async () => {
    const used = model();
    await assert.rejects(
      () => (used.trainStep as unknown as Loose).call(used, inputs, targets, options),
      (error: Error & { code: string }) => {
        assert.match(error.code, /^ENGINE_(?:ARGUMENT|SHAPE|MEMORY)$/, error.message);
        assert.match(error.message, says);
        return true;
      },
    );
    await used.trainStep([x()], [y()], STEP); // still usable
    used.dispose();
  });
}

test('two steps at once', async () => {
  const used = model();
  const first = used.trainStep([x()], [y()], STEP);
  await assert.rejects(used.trainStep([x()], [y()], STEP), { code: 'ENGINE_BUSY' });
  await first;
  await used.trainStep([x()], [y()], STEP);
  used.dispose();
});

test('calls after dispose, dispose twice, dispose during a step', async () => {
  const used = model();
  used.dispose();
  used.dispose();
  await assert.rejects(used.trainStep([x()], [y()], STEP), { code: 'ENGINE_DISPOSED' });
  assert.equal(used.parameters.length, used.layout.length); // memory stays good
  used.parameters.fill(1);
  const running = model();
  const step = running.trainStep([x()], [y()], STEP).catch((error: { code: string }) => error.code);
  running.dispose();
  await step;
});

const GRAPHS: Readonly<Record<string, [unknown, RegExp]>> = {
  'no graph': [undefined, /expected/],
  'a number': [3, /expected/],
  'an empty object': [{}, /expected/],
  'an unknown operation': [{ ...GRAPH, nodes: [{ ...GRAPH.nodes[0], op: 'magic' }] }, /magic/],
  'an input that nobody makes': [{ ...GRAPH, nodes: [{ ...GRAPH.nodes[0], inputs: ['z'] }] }, /z/],
  'an unknown parameter': [{ ...GRAPH, nodes: [{ ...GRAPH.nodes[0], parameters: ['w', 'bias'] }] }, /w/],
  'an unknown output': [{ ...GRAPH, outputs: ['z'] }, /z/],
  'no outputs': [{ ...GRAPH, outputs: [] }, /output/],
  'a kernel that does not fit': [
    { ...GRAPH, parameters: [{ name: 'kernel', shape: [4, 2], trainable: true }, GRAPH.parameters[1]] },
    /y.*expected.*got/s,
  ],
  'a negative size': [{ ...GRAPH, inputs: [{ name: 'x', shape: [-3], type: 'float32' }] }, /expected/],
  'sizes whose product overflows': [
    {
      ...GRAPH,
      parameters: [{ name: 'kernel', shape: [2 ** 40, 2 ** 40], trainable: true }, GRAPH.parameters[1]],
    },
    /expected|memory/i,
  ],
  'the same name twice': [{ ...GRAPH, parameters: [GRAPH.parameters[0], GRAPH.parameters[0]] }, /kernel/],
};

for (const [what, [graph, says]] of Object.entries(GRAPHS)) {
  test(`a model of ${what}`, () => {
    assert.throws(
      () => engine.createModel(graph as GraphSpec),
      (error: Error & { code: string }) => {
        assert.match(error.code, /^ENGINE_/, error.message);
        assert.match(error.message, says);
        return true;
      },
    );
  });
}

test('an unknown device', () => {
  assert.throws(() => engine.createModel(GRAPH, { device: 'abacus' as never }), { code: 'ENGINE_DEVICE' });
});

test('arrays that do not fit an update, a sum or a norm', () => {
  const optimizer = engine.createOptimizer({ optimizer: 'sgd', momentum: 0.9, nesterov: false }, 8);
  const update = optimizer.update.bind(optimizer) as (...args: unknown[]) => void;
  const rate = { learningRate: 0.1, iteration: 1 };
  const good = new Float32Array(8);
  for (const args of [
    [],
    [good, new Float32Array(4), 0, 8, rate],
    [good, good.slice(), 0, 9, rate],
    [good, good.slice(), 5, 3, rate],
    [good, good.slice(), -1, 3, rate],
    [good, detached(), 0, 8, rate],
    [good, good.slice(), 0, 8, {}],
    [good, good.slice(), 0, 8, { ...rate, learningRate: Number.NaN }],
    [good, new Float64Array(8), 0, 8, rate],
  ])
    assert.throws(() => update(...args), { code: 'ENGINE_ARGUMENT' });
  assert.throws(() => engine.createOptimizer({ optimizer: 'magic' } as never, 8), {
    code: 'ENGINE_ARGUMENT',
  });
  assert.throws(() => engine.createOptimizer({ optimizer: 'sgd', momentum: 0, nesterov: false }, -1), {
    code: 'ENGINE_ARGUMENT',
  });
  const accumulate = engine.accumulate as (...args: unknown[]) => void;
  for (const args of [
    [],
    [good, 0, new Uint8Array(33), 1],
    [good, 7, new Uint8Array(8), 1],
    [good, -1, new Uint8Array(4), 1],
    [good, 0, 'text', 1],
  ])
    assert.throws(() => accumulate(...args), { code: 'ENGINE_ARGUMENT' });
  const norm = engine.sumOfSquares as (...args: unknown[]) => number;
  for (const args of [[], [good, 0, 9], [good, 3, 2], [[1, 2], 0, 2]])
    assert.throws(() => norm(...args), { code: 'ENGINE_ARGUMENT' });
});

test('an exception in onGradients reaches the caller', async () => {
  const used = model();
  const onGradients = (): void => {
    throw new Error('from the listener');
  };
  await assert.rejects(used.trainStep([x()], [y()], { ...STEP, onGradients }), /from the listener/);
  await used.trainStep([x()], [y()], STEP);
  used.dispose();
});

const ENGINE = JSON.stringify(join(import.meta.dirname, '../../../native/engine.ts'));

/** What a process of its own says that runs this code. */
async function said(code: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--expose-gc',
    '--input-type=module',
    '-e',
    code,
  ]);
  return stdout.trim();
}

test('models that nobody disposes of', { timeout: 120_000 }, async () => {
  const grown = await said(`const { engine } = await import(${ENGINE});
    const graph = ${JSON.stringify({ ...GRAPH, inputs: [{ name: 'x', shape: [1000], type: 'float32' }], parameters: [{ name: 'kernel', shape: [1000, 1000], trainable: true }], nodes: [{ ...GRAPH.nodes[0], parameters: ['kernel'] }] })};
    const losses = ${JSON.stringify(LOSSES)};
    const once = async () => {
      const model = engine.createModel(graph, { losses });
      await model.trainStep([new Float32Array(2000)], [new Float32Array(2000)], { batchSize: 2, step: 0 });
    };
    let early = 0;
    for (let i = 0; i < 300; i++) {
      await once();
      if (i % 10 === 0) { gc(); await new Promise((resolve) => setImmediate(resolve)); }
      if (i === 50) early = process.memoryUsage().rss;
    }
    console.log((process.memoryUsage().rss - early) / 2 ** 20);`);
  assert.ok(Number(grown) < 150, `memory grew by ${grown} MiB over 250 models of 8 MB`);
});

// A plan of many nodes: the process ends while it is made, again and again, as not every end would come at a bad moment.
test('a process that ends during a step', { timeout: 60_000 }, async () => {
  const nodes = Array.from({ length: 20_000 }, (_, at) => ({
    name: `n${at}`,
    op: 'relu',
    inputs: [at === 0 ? 'x' : `n${at - 1}`],
  }));
  const graph = { inputs: GRAPH.inputs, parameters: [], nodes, outputs: ['n19999'] };
  const folder = await mkdtemp(join(tmpdir(), 'lepton-test-'));
  try {
    await writeFile(join(folder, 'graph.json'), JSON.stringify(graph));
    const code = `import { readFileSync } from 'node:fs';
      const { engine } = await import(${ENGINE});
      const model = engine.createModel(JSON.parse(readFileSync(${JSON.stringify(join(folder, 'graph.json'))}, 'utf8')));
      process.once('exit', () => {
        void model.predictStep([new Float32Array(3)], { batchSize: 1 });
        console.log('ended');
      });
      void model.predictStep([new Float32Array(3)], { batchSize: 1 });
      process.exit(0);`;
    const ends = await Promise.all(Array.from({ length: 8 }, () => said(code)));
    assert.deepEqual(
      ends,
      ends.map(() => 'ended'),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('an engine in a worker thread of its own', { timeout: 60_000 }, async () => {
  const ended = await said(`const { Worker } = await import('node:worker_threads');
    const body = "import(" + JSON.stringify(${ENGINE}) + ").then(({ engine }) => { const m = engine.createModel(${JSON.stringify(GRAPH).replaceAll('"', '\\"')}); return m.predictStep([new Float32Array(6)], { batchSize: 2 }); })";
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(body, { eval: true });
      await new Promise((resolve, reject) => { worker.once('error', reject); worker.once('exit', resolve); });
    }
    console.log('ended');`);
  assert.equal(ended, 'ended');
});
