// What workers ask for, held against what nodes offer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceleratorsLacking } from '../../../operator/leptonjob/accelerators.ts';

const GPU = 'nvidia.com/gpu';
const NODES = [
  { node: 'plain', resources: {} },
  { node: 'small', resources: { [GPU]: '2' } },
  { node: 'large', resources: { [GPU]: '4', 'example.com/zero': '0' } },
  { node: 'other', resources: { 'example.com/tpu': '8' } },
];

const ROWS: readonly (readonly [string, Record<string, number> | undefined, string | undefined])[] = [
  ['nothing asked', undefined, undefined],
  ['one node has it', { [GPU]: 4 }, undefined],
  [
    'nobody has it',
    { 'example.com/fpga': 1 },
    'a worker asks for 1 example.com/fpga, and no node offers any',
  ],
  [
    'known, and none left',
    { 'example.com/zero': 1 },
    'a worker asks for 1 example.com/zero, and no node offers any',
  ],
  [
    'not enough on one node',
    { [GPU]: 5 },
    'a worker asks for 5 nvidia.com/gpu, and the largest node offers 4 (small, large)',
  ],
  [
    'never both on one node',
    { [GPU]: 1, 'example.com/tpu': 1 },
    'a worker asks for 1 nvidia.com/gpu and 1 example.com/tpu, and no node offers all of them at once',
  ],
];

for (const [name, asked, said] of ROWS)
  test(name, () => assert.equal(acceleratorsLacking(asked, NODES), said));

test('many nodes: some are named', () => {
  const nodes = Array.from({ length: 9 }, (_, at) => ({ node: `n${at}`, resources: { [GPU]: '1' } }));
  assert.equal(
    acceleratorsLacking({ [GPU]: 2 }, nodes),
    'a worker asks for 2 nvidia.com/gpu, and the largest node offers 1 (n0, n1, n2 and 6 more)',
  );
});
