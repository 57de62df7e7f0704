// Everything that a user can get wrong, asked of the real command: one clear message with what, where, expected and got;
// the right exit code; no stack trace; nothing half-written.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { stringify } from 'yaml';
import { lepton } from '../unit/cli/lepton.ts';
import { CLASSES, idx, SAMPLES, tinyJob, writeTinyIdx } from '../unit/cli/tiny-data.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-bad-input-'));
  await writeTinyIdx(join(folder, 'data'));
  await writeFile(join(folder, 'job.yaml'), stringify(tinyJob()));
  await writeFile(join(folder, 'a-file'), '');
});
after(() => rm(folder, { recursive: true, force: true }));

interface Case {
  readonly what: string;
  readonly code: 1 | 2;
  /** All of these stand in the message. */
  readonly message: readonly (string | RegExp)[];
  /** Overrides of the tiny job. */
  readonly set?: readonly string[];
  readonly args?: readonly string[];
  /** Changes a file of the data before, and puts it back after. */
  readonly spoil?: { readonly file: string; readonly content: (good: Buffer) => Buffer };
  readonly wrapper?: readonly string[];
  /** Steps are done before it fails: the folder of the run stays. */
  readonly afterSteps?: true;
}

const labels = 'train-labels-idx1-ubyte';
const images = 'train-images-idx3-ubyte';
const layer = (text: string) => `model.layers=[${text}]`;

const CASES: readonly Case[] = [
  {
    what: 'a misspelt field',
    code: 2,
    set: ['training.batchSiz=3'],
    message: ['spec.training.batchSiz: unknown field; did you mean batchSize?'],
  },
  {
    what: 'a wrong type',
    code: 2,
    set: ['training.epochs=many'],
    message: ['spec.training.epochs: expected a number, got "many"'],
  },
  {
    what: 'no model',
    code: 2,
    set: ['model={}'],
    message: ['exactly one of layers, source, program, got none'],
  },
  {
    what: 'two models',
    code: 2,
    set: ['model.source={uri: x}'],
    message: ['exactly one of layers, source, program, got layers and source'],
  },
  {
    what: 'no workers',
    code: 2,
    args: ['--workers', '0'],
    message: ['spec.worker.replicas: expected at least 1, got 0 (from --workers 0)'],
  },
  {
    what: 'a missing data folder',
    code: 1,
    set: ['data.train.uri=nowhere'],
    message: [/nowhere.*expected.*got/],
  },
  {
    what: 'an empty data folder',
    code: 1,
    set: ['data.train.uri=.'],
    message: [images, /expected a file .* got none/],
  },
  {
    what: 'a truncated file',
    code: 1,
    spoil: { file: images, content: (good) => good.subarray(0, 100) },
    message: [`data/${images}`, /expected .*1552 bytes.*got 100|expected.*got/],
  },
  {
    what: 'a file of another format',
    code: 1,
    spoil: { file: images, content: () => Buffer.from('GIF89a, surely not IDX') },
    message: [`data/${images}`, 'expected the magic of an IDX file', 'got 47494638'],
  },
  {
    what: 'fewer labels than images',
    code: 1,
    spoil: { file: labels, content: () => idx([5], new Uint8Array(5)) },
    message: [`data/${labels}`, `expected ${SAMPLES} labels`, 'got 5'],
  },
  {
    what: 'a label that the model has no output for',
    code: 1,
    set: [`training.batchSize=${SAMPLES / 2}`], // one step sees all of the data
    spoil: { file: labels, content: (good) => Buffer.from(good).fill(200, 50, 51) },
    message: [`expected a class label from 0 to ${CLASSES - 1}`, 'got 200'],
  },
  {
    what: 'layers that do not fit',
    code: 1,
    set: [layer('{flatten: {}}, {conv2d: {filters: 3, kernelSize: 3}}')],
    message: ['conv2d', 'expected (height, width, channels)', 'got (16)'],
  },
  {
    what: 'a window larger than the image',
    code: 1,
    set: [layer('{conv2d: {filters: 3, kernelSize: 9}}, {flatten: {}}')],
    message: ['conv2d', /expected at most 4 rows/, 'got 9'],
  },
  {
    what: 'a loss that does not fit the output',
    code: 1,
    set: [layer('{conv2d: {filters: 3, kernelSize: 3}}')],
    message: [/expected/, /got/],
  },
  {
    what: 'a batch larger than the data',
    code: 1,
    set: ['training.batchSize=4096'],
    message: ['expected at least 8192 samples for one step (batchSize 4096 x 2 workers)', `got ${SAMPLES}`],
  },
  {
    what: 'a loss that becomes NaN',
    code: 1,
    afterSteps: true,
    set: [
      'training.optimizer={sgd: {learningRate: 1.0e+18}}',
      'training.loss=meanSquaredError',
      layer('{flatten: {}}, {dense: {units: 1}}'),
    ],
    message: [/expected a finite loss, got (NaN|-?Infinity)/, 'learning rate'],
  },
  {
    what: 'a missing model',
    code: 1,
    set: ['model={source: {uri: nowhere}}'],
    message: ['nowhere/model.json'],
  },
  {
    what: 'a program that is not there',
    code: 1,
    set: ['model={program: {module: nowhere.ts}}'],
    message: ['model.program', 'nowhere.ts', 'cannot be loaded'],
  },
  {
    what: 'output through a file',
    code: 1,
    args: ['--output', 'a-file/out'],
    message: ['a-file/out', 'a part of the path is not a folder'],
  },
  {
    what: 'output where nobody may write',
    code: 1,
    args: ['--output', '/proc/lepton'],
    message: ['/proc/lepton', /expected a folder that results can be written to, got/],
  },
  {
    what: 'output that holds something',
    code: 2,
    args: ['--output', 'data'],
    message: ['data: expected an empty or new folder', '--resume'],
  },
  {
    what: 'nothing to resume',
    code: 2,
    args: ['--resume'],
    message: ['runs/tiny: expected an earlier run to resume, got none'],
  },
  {
    what: 'a full disk',
    code: 1,
    wrapper: ['prlimit', '--fsize=100'],
    args: ['--output', 'out'],
    message: ['out', 'the file would be larger than this process may write'],
  },
];

for (const { what, code, message, set = [], args = [], spoil, wrapper = [], afterSteps } of CASES) {
  test(`${what}: exit code ${code} and one clear message`, async () => {
    const file = spoil && join(folder, 'data', spoil.file);
    const good = file && (await readFile(file));
    if (spoil && good) await writeFile(file, spoil.content(good));
    try {
      const output = args.includes('--output') || args.includes('--resume') ? [] : ['--output', 'out'];
      const all = [
        'run',
        'job.yaml',
        ...set.flatMap((text) => ['--set', text]),
        ...output,
        ...args,
        '-o',
        'json',
      ];
      const said = await lepton(all, { cwd: folder, wrapper });
      const text = said.stderr;
      for (const part of message) {
        if (typeof part === 'string') assert.ok(text.includes(part), `${part} is not in:\n${text}`);
        else assert.match(text, part);
      }
      assert.doesNotMatch(text, /\n\s+at |internal error|node:internal/, text);
      assert.equal(said.code, code, text);
      if (!afterSteps) assert.ok(!existsSync(join(folder, 'out')), 'a folder was left behind');
    } finally {
      await rm(join(folder, 'out'), { recursive: true, force: true });
      if (file && good) await writeFile(file, good);
    }
  });
}
