// The converter refuses every zod construct whose meaning would be lost in a CRD, and the linter what an API server refuses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { exactlyOneOf, withRules } from '../../../crds/rules.ts';
import { type StructuralSchema, toStructural } from '../../../crds/structural.ts';
import { lintStructural } from '../../../crds/structural-lint.ts';

const LOST: readonly (readonly [string, z.ZodType, RegExp])[] = [
  ['a check without CEL', z.strictObject({ a: z.int() }).refine(() => true), /refine\(\) is lost/],
  ['flags of a pattern', z.strictObject({ a: z.string().regex(/a/i) }), /a: the flags of \/a\/i are lost/],
  ['keys of a record', z.record(z.string().regex(/^a/), z.int()), /keys of a record/],
  ['a tuple', z.strictObject({ a: z.tuple([z.int(), z.int()]) }), /z\.tuple\(\)/],
  ['a transform', z.strictObject({ a: z.string().transform(Number) }), /z\.(pipe|transform)\(\)/],
  ['a catch', z.strictObject({ a: z.int().catch(1) }), /z\.catch\(\)/],
  ['nullable', z.strictObject({ a: z.int().nullable() }), /z\.nullable\(\)/],
  ['number or list', z.strictObject({ a: z.union([z.int(), z.array(z.int())]) }), /no structural form/],
  [
    'a schema with an id',
    z.strictObject({ a: z.int().meta({ id: 'a' }) }),
    /\$ref|definitions|no structural form/,
  ],
];

for (const [what, schema, message] of LOST) {
  test(`refused by the converter: ${what}`, () => assert.throws(() => toStructural(schema), message));
}

const string = { type: 'string', maxLength: 9 } as const;
const WRONG: readonly (readonly [string, StructuralSchema, RegExp])[] = [
  ['no type', { type: 'object', properties: { a: {} } }, /^a: type is missing/],
  ['look-ahead', { type: 'object', properties: { a: { ...string, pattern: '(?!x)' } } }, /not RE2/],
  ['an endless list', { type: 'array', items: string }, /maxItems is missing/],
  ['an endless text', { type: 'object', properties: { a: { type: 'string' } } }, /maxLength is missing/],
  [
    'an endless number',
    { type: 'object', properties: { a: { type: 'integer', minimum: 0 } } },
    /maximum is missing/,
  ],
  [
    'properties and more',
    { type: 'object', properties: { a: string }, additionalProperties: string, maxProperties: 1 },
    /and additional/,
  ],
  ['a required stranger', { type: 'object', required: ['b'], properties: { a: string } }, /required b/],
  [
    'a rule about a stranger',
    {
      type: 'object',
      properties: { a: string },
      'x-kubernetes-validations': [{ rule: 'has(self.b)', message: 'x' }],
    },
    /rule names self\.b/,
  ],
];

for (const [what, schema, message] of WRONG) {
  test(`found by the linter: ${what}`, () => assert.match(lintStructural(schema).join('\n'), message));
}

test('rules survive describe(), optional() and a place in another object', () => {
  const inner = withRules(
    z.strictObject({ a: z.int().optional(), b: z.int().optional() }),
    exactlyOneOf('a', 'b'),
  );
  const outer = toStructural(z.strictObject({ x: inner.describe('text').optional() }));
  const [rule] = outer.properties?.['x']?.['x-kubernetes-validations'] ?? [];
  assert.equal(rule?.rule, '(has(self.a) ? 1 : 0) + (has(self.b) ? 1 : 0) == 1');
});
