// The attention operation by itself: what its shape rule refuses in which words, and that threads change no bit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engine } from '../../../native/engine.ts';
import type { GraphSpec, Shape } from '../../../native/graph.ts';
import { Random } from '../../../worker/random/philox.ts';

interface Case {
  readonly query?: Shape;
  readonly key?: Shape;
  readonly value?: Shape;
  readonly heads?: number;
  readonly inputs?: readonly string[];
}

const NAMES = ['query', 'key', 'value'] as const;

function graphOf({ heads = 2, inputs = NAMES, ...shapes }: Case): GraphSpec {
  const sizes = { query: [3, 8], key: [5, 8], value: [5, 6], ...shapes };
  return {
    inputs: NAMES.map((name) => ({ name, shape: sizes[name], type: 'float32' })),
    parameters: [],
    nodes: [{ name: 'y', op: 'attention', inputs, heads, causal: false }],
    outputs: ['y'],
  };
}

const REFUSED: Readonly<Record<string, readonly [Case, string]>> = {
  'a vector for a sequence': [
    { query: [8] },
    "[attention 'y'] input is no sequence: expected (length, width), got (8)",
  ],
  'a key of another width': [
    { key: [5, 6] },
    "[attention 'y'] key and query differ in width: expected 8, got (5, 6)",
  ],
  'a value of another length': [
    { value: [4, 6] },
    "[attention 'y'] value and key differ in length: expected 5, got (4, 6)",
  ],
  'heads that do not divide the widths': [
    { heads: 4 },
    "[attention 'y'] heads: expected a divisor of the widths 8 and 6, got 4",
  ],
  'no heads': [{ heads: 0 }, "[attention 'y'] heads: expected a divisor of the widths 8 and 6, got 0"],
  'two inputs': [{ inputs: ['query', 'key'] }, "[attention 'y'] wrong number of inputs: expected 3, got 2"],
  'more scores than memory anyone has': [
    { query: [2 ** 22, 8], key: [2 ** 22, 8], value: [2 ** 22, 6] },
    "[attention 'y'] probabilities: expected at most 2^40 elements, got (1, 8388608, 4194304)",
  ],
};

for (const [what, [shapes, message]] of Object.entries(REFUSED))
  test(`refused: ${what}`, () => assert.throws(() => engine.createModel(graphOf(shapes)), { message }));

test('a position table that is too short is refused', () => {
  const graph: GraphSpec = {
    inputs: [{ name: 'x', shape: [5, 4], type: 'float32' }],
    parameters: [{ name: 'table', shape: [4, 4], trainable: true }],
    nodes: [{ name: 'y', op: 'positionEmbedding', inputs: ['x'], parameters: ['table'] }],
    outputs: ['y'],
  };
  assert.throws(() => engine.createModel(graph), {
    message: "[positionEmbedding 'y'] table does not fit the input: expected (5 or more, 4), got (4, 4)",
  });
});

test('the same bits on one thread and on three', async () => {
  const graph = graphOf({ query: [70, 32], key: [90, 32], value: [90, 48] });
  const random = new Random(1, 'attention');
  const feed = graph.inputs.map(({ shape }) =>
    Float32Array.from({ length: 4 * shape[0]! * shape[1]! }, () => random.normal()),
  );
  const outputs = [];
  for (const threads of [1, 3]) {
    const model = engine.createModel(graph, { threads });
    outputs.push((await model.predictStep(feed, { batchSize: 4 })).outputs[0]);
    model.dispose();
  }
  assert.deepEqual(outputs[1], outputs[0]);
});
