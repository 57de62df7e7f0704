// Files larger than the memory that reading them may take: measured on a process of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { type Folder, npy, temporaryFolder } from './files.ts';

const MIB = 2 ** 20;
const OPEN = join(import.meta.dirname, '../../../worker/data/open.ts');

/** Peak resident memory in MiB of a process that opens the source and reads 200 batches all over it, less one that only loads the code. */
async function peakOf(source: object): Promise<number> {
  const run = async (program: string): Promise<number> => {
    const code = `const { openDataset } = await import(${JSON.stringify(OPEN)}); await import('csv-parse');
      ${program}
      console.log(process.resourceUsage().maxRSS / 1024);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
    return Number(stdout);
  };
  const peak = await run(`
    const options = { seed: 1, training: true, memoryBytes: ${32 * MIB} };
    const data = await openDataset(${JSON.stringify(source)}, options);
    for (let step = 0; step < 200; step++) {
      const indices = Uint32Array.from({ length: 32 }, (_, i) => (step * 7919 + i * 104729) % data.length);
      const { inputs } = await data.read(indices, 0);
      if (inputs[0][0] !== indices[0]) throw new Error('wrong sample: ' + inputs[0][0] + ' for ' + indices[0]);
    }`);
  return peak - (await run(''));
}

/** Sample i is full of i. */
async function writeNpy(folder: Folder, samples: number, width: number): Promise<string> {
  const path = join(folder.path, 'large.npy');
  const file = createWriteStream(path);
  file.write(npy('<f4', [samples, width], new Uint8Array(0)));
  for (let i = 0; i < samples; i++)
    if (!file.write(new Uint8Array(new Float32Array(width).fill(i).buffer))) await once(file, 'drain');
  file.end();
  await finished(file);
  return path;
}

test('npy: 400 MiB within 100 MiB', { timeout: 120_000 }, async (context) => {
  await using folder = await temporaryFolder();
  const uri = await writeNpy(folder, 25_600, 4096);
  const peak = await peakOf({ format: 'npy', uri });
  context.diagnostic(`peak above idle: ${peak.toFixed(0)} MiB`);
  assert.ok(peak < 100, `${peak} MiB`);
});

test('csv: 120 MiB of floats within 200 MiB', { timeout: 120_000 }, async (context) => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'large.csv');
  const file = createWriteStream(path);
  const columns = 300;
  file.write(`${Array.from({ length: columns }, (_, i) => `c${i}`).join(',')},label\n`);
  for (let i = 0; i < 100_000; i++)
    if (!file.write(`${`${i},`.repeat(columns)}0\n`)) await once(file, 'drain');
  file.end();
  await finished(file);
  const started = performance.now();
  const peak = await peakOf({ format: 'csv', uri: path });
  const seconds = (performance.now() - started) / 1000;
  context.diagnostic(
    `peak above idle: ${peak.toFixed(0)} MiB; ${Math.round(100_000 / seconds)} rows of ${columns}/s`,
  );
  assert.ok(peak < 200, `${peak} MiB`);
});
