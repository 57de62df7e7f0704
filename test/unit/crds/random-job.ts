// Random objects near a structural schema: mostly well-formed, with wrong, foreign and missing fields mixed in.
import fc from 'fast-check';
import type { StructuralSchema } from '../../../crds/structural.ts';

/** Biased towards what the schema admits, so that a useful share of objects gets past the server. */
export function nearSchema(schema: StructuralSchema, mischief: number): fc.Arbitrary<unknown> {
  const good = goodValue(schema, mischief);
  return mischief === 0
    ? good
    : fc.oneof({ weight: 1000 - mischief, arbitrary: good }, { weight: mischief, arbitrary: badValue() });
}

function badValue(): fc.Arbitrary<unknown> {
  return fc.oneof(
    fc.constantFrom<unknown>(null, true, -1, 0, 1, 0.5, 3e217, 2 ** 53, '', 'x', '3', [], {}, ['a'], {
      a: 1,
    }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ maxLength: 8, unit: 'grapheme' }),
  );
}

function goodValue(schema: StructuralSchema, mischief: number): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema['x-kubernetes-int-or-string'])
    return fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant('cat'));
  switch (schema.type) {
    case 'integer':
      return fc.integer({ min: schema.minimum!, max: Math.min(schema.maximum!, 2 ** 40) });
    case 'number':
      return fc.double({ min: schema.minimum!, max: schema.maximum!, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'string':
      return fc.constantFrom('a', 'file:///data/x', 's3://bucket/x', 'https://store', './x.ts', 'Name_1');
    case 'array':
      return fc.array(nearSchema(schema.items!, mischief), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems!, Math.max(2, schema.minItems ?? 0)),
      });
    default:
      return objectValue(schema, mischief);
  }
}

/** Honours "exactly one of" often enough: for such objects it draws one key. */
function objectValue(schema: StructuralSchema, mischief: number): fc.Arbitrary<unknown> {
  const properties = Object.entries(schema.properties ?? {});
  const required = new Set(schema.required);
  const keys = properties.map(([key]) => key).filter((key) => !required.has(key));
  const single = schema['x-kubernetes-validations']?.some(({ rule }) => rule.endsWith('== 1')) ?? false;
  const chosen = single
    ? fc.oneof(
        { weight: 19, arbitrary: fc.constantFrom(...keys).map((key) => [key]) },
        { weight: 1, arbitrary: fc.subarray(keys, { maxLength: Math.min(3, keys.length) }) },
      )
    : fc.oneof(
        { weight: 1, arbitrary: fc.subarray(keys) },
        { weight: 2, arbitrary: fc.subarray(keys, { maxLength: Math.min(1, keys.length) }) },
      );
  return chosen.chain((picked) => {
    const fields = [...required, ...picked].map(
      (key) => [key, nearSchema(schema.properties![key]!, mischief)] as const,
    );
    const foreign = fc.oneof(
      { weight: 29, arbitrary: fc.constant({}) },
      { weight: 1, arbitrary: fc.constant({ foreign: 1 }) },
    );
    return fc
      .tuple(fc.record(Object.fromEntries(fields)), foreign)
      .map(([known, other]) => ({ ...known, ...other }));
  });
}
