// From zod to the structural schemas of apiextensions.k8s.io/v1. Refuses what a CRD cannot say; never drops a check silently.
import { z } from 'zod';
import { SchemaError } from './errors.ts';
import { VALIDATIONS } from './rules.ts';

/** The part of JSONSchemaProps that is used here. */
export interface StructuralSchema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  format?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
  maxProperties?: number;
  required?: string[];
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema;
  items?: StructuralSchema;
  anyOf?: StructuralSchema[];
  'x-kubernetes-int-or-string'?: true;
  'x-kubernetes-preserve-unknown-fields'?: true;
  'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set';
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-validations'?: { rule: string; message: string }[];
}

/** zod's kinds of schema whose meaning survives the way into a CRD; all others are refused. */
const ALLOWED = new Set([
  'object',
  'string',
  'number',
  'boolean',
  'enum',
  'literal',
  'array',
  'union',
  'record',
  'optional',
  'default',
  'prefault',
  'unknown', // only as the rest of a loose object; anywhere else the linter misses its type
]);

interface Definition {
  readonly type: string;
  readonly format?: string;
  readonly checks?: readonly { readonly _zod: { readonly def: { check: string; pattern?: RegExp } } }[];
  readonly keyType?: { readonly _zod: { readonly def: Definition } };
}

/**
 * The structural schema that admits what `schema` accepts.
 * @throws SchemaError where it has none: transforms, regular expressions with flags, checks without a CEL twin, ...
 */
export function toStructural(schema: z.ZodType): StructuralSchema {
  const printed = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    unrepresentable: 'throw',
    cycles: 'throw',
    reused: 'inline',
    override: ({ zodSchema, jsonSchema, path }) => {
      const definition = zodSchema._zod.def as unknown as Definition;
      refuseLosses(definition, VALIDATIONS in jsonSchema, path.join('.'));
      if (definition.type === 'number') jsonSchema.format = numberFormat(jsonSchema.type);
    },
  });
  delete printed['$schema'];
  return structural(printed as JsonSchema, '');
}

function refuseLosses(definition: Definition, hasRules: boolean, path: string): void {
  const { type, checks = [], keyType } = definition;
  if (!ALLOWED.has(type)) throw new SchemaError(path, `z.${type}() has no structural form`);
  for (const check of checks) {
    const { check: kind, pattern } = check._zod.def;
    if (kind === 'custom' && !hasRules)
      throw new SchemaError(path, 'refine() is lost in a CRD: use withRules()');
    if (pattern && pattern.flags !== '')
      throw new SchemaError(path, `the flags of ${pattern} are lost in a CRD`);
  }
  if (keyType && (keyType._zod.def.checks ?? []).length > 0) {
    throw new SchemaError(path, 'checks of the keys of a record are lost in a CRD');
  }
}

function numberFormat(type: unknown): string {
  return type === 'integer' ? 'int64' : 'double';
}

type JsonSchema = Omit<StructuralSchema, 'additionalProperties' | 'properties' | 'items' | 'anyOf'> & {
  properties?: Record<string, JsonSchema>;
  additionalProperties?: boolean | JsonSchema;
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  [keyword: string]: unknown;
};

const KEYWORDS = new Set<string>([
  ...[
    'type',
    'format',
    'description',
    'default',
    'enum',
    'pattern',
    'minimum',
    'maximum',
    'exclusiveMinimum',
  ],
  ...['exclusiveMaximum', 'minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'],
  ...['required', 'properties', 'additionalProperties', 'items', 'anyOf', VALIDATIONS],
  ...['x-kubernetes-list-type', 'x-kubernetes-list-map-keys'],
]);

function structural(printed: JsonSchema, path: string): StructuralSchema {
  const unknown = Object.keys(printed).find((keyword) => !KEYWORDS.has(keyword));
  if (unknown !== undefined) throw new SchemaError(path, `keyword ${unknown} has no structural form`);
  const { properties, additionalProperties, items, anyOf, ...plain } = printed;
  const result: StructuralSchema = { ...(plain as StructuralSchema) };
  if (anyOf) Object.assign(result, union(anyOf, path));
  if (items) result.items = structural(items, `${path}[]`);
  if (properties) {
    result.properties = Object.fromEntries(
      Object.entries(properties).map(([key, value]) => [
        key,
        structural(value, path === '' ? key : `${path}.${key}`),
      ]),
    );
  }
  if (typeof additionalProperties === 'object' && Object.keys(additionalProperties).length > 0) {
    if (properties) throw new SchemaError(path, 'properties and additionalProperties exclude each other');
    result.additionalProperties = structural(additionalProperties, `${path}.*`);
  } else if (additionalProperties !== undefined && additionalProperties !== false) {
    result['x-kubernetes-preserve-unknown-fields'] = true;
  }
  return result;
}

/** Whole number or text is the one union that a CRD knows. */
function union(branches: readonly JsonSchema[], path: string): StructuralSchema {
  const types = branches.map(({ type }) => type);
  if (types.length === 2 && types[0] === 'integer' && types[1] === 'string') {
    const [{ type: _1, format: _2, ...number }, { type: _3, ...string }] = branches as [
      JsonSchema,
      JsonSchema,
    ];
    return {
      'x-kubernetes-int-or-string': true,
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      ...(number as StructuralSchema),
      ...(string as StructuralSchema),
    };
  }
  throw new SchemaError(path, `a union of ${types.join(', ')} has no structural form`);
}
