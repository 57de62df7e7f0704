// The CRD and zod are one definition: whatever an API server admits and stores, zod accepts unchanged.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { leptonJobStructural } from '../../../crds/crd.ts';
import { generatedFiles } from '../../../crds/generate.ts';
import { leptonJobSchema } from '../../../crds/leptonjob.ts';
import { lintStructural } from '../../../crds/structural-lint.ts';
import { admit } from './api-server.ts';
import { nearSchema } from './random-job.ts';

const OBJECTS = Number(process.env['LEPTON_RANDOM_OBJECTS'] ?? 20_000);
const schema = leptonJobStructural();
const names = fc.constantFrom('fashion', 'cat-dog', 'a', 'UPPER', '3d', 'x-', 'x'.repeat(51));

test('what the API server stores, zod accepts unchanged', () => {
  const { status: _, ...properties } = schema.properties!;
  const jobs = fc
    .tuple(
      nearSchema({ ...schema, properties }, 3),
      fc.oneof({ weight: 9, arbitrary: fc.constant('job') }, names),
    )
    .map(([job, name]) => ({ ...(job as object), metadata: { name } }));
  let admitted = 0;
  const check = fc.property(jobs, (job) => {
    const answer = admit(schema, job);
    if ('problems' in answer) return;
    admitted++;
    const parsed = leptonJobSchema.safeParse(answer.stored);
    assert.ok(parsed.success, `${JSON.stringify(answer.stored)}: ${parsed.error?.message}`);
    assert.deepEqual(parsed.data, answer.stored);
  });
  fc.assert(check, { numRuns: OBJECTS, seed: 1, endOnFailure: true });
  assert.ok(
    admitted > OBJECTS / 20,
    `only ${admitted} of ${OBJECTS} objects were admitted: the test shows too little`,
  );
});

test('what zod accepts without unknown fields, the API server admits as zod fills it', () => {
  const { status: _, ...properties } = schema.properties!;
  const jobs = nearSchema({ ...schema, properties }, 1).map((job) => ({
    ...(job as object),
    metadata: { name: 'job' },
  }));
  let accepted = 0;
  const check = fc.property(jobs, (job) => {
    const parsed = leptonJobSchema.safeParse(job);
    if (!parsed.success) return;
    accepted++;
    assert.deepEqual(admit(schema, job), { stored: parsed.data });
  });
  fc.assert(check, { numRuns: OBJECTS / 10, seed: 2, endOnFailure: true });
  assert.ok(accepted > OBJECTS / 200, `only ${accepted} objects were accepted`);
});

test('the structural linter finds nothing', () => {
  assert.deepEqual(lintStructural(schema), []);
});

test('generating twice gives the same files: no default is a moment of time', () => {
  assert.deepEqual(generatedFiles(), generatedFiles());
});
