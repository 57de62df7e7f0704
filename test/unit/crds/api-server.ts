// A small API server for tests: what apiextensions-apiserver does to an object that arrives (prune, default, validate),
// read from its sources (structural pruning and defaulting, kube-openapi validation), not from our generator.
import { RE2JS } from 're2js';
import type { StructuralSchema } from '../../../crds/structural.ts';

type Json = unknown;
type JsonObject = Record<string, Json>;

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object as it would be stored, or what the server answers instead. */
export function admit(schema: StructuralSchema, object: Json): { stored: Json } | { problems: string[] } {
  const stored = structuredClone(object);
  prune(schema, stored, true);
  fillDefaults(schema, stored);
  const problems: string[] = [];
  validate(schema, stored, '', problems);
  return problems.length > 0 ? { problems } : { stored };
}

/** Drops fields that the schema does not know; the root keeps the fields of every Kubernetes object. */
function prune(schema: StructuralSchema, value: Json, root = false): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) prune(schema.items, item);
  } else if (isObject(value) && schema['x-kubernetes-preserve-unknown-fields'] !== true) {
    for (const key of Object.keys(value)) {
      const child = schema.properties?.[key] ?? schema.additionalProperties;
      if (root && key === 'metadata') continue;
      if (child) prune(child, value[key]);
      else delete value[key];
    }
  }
}

/** Nulls of defaulted fields that may not be null are dropped first; defaults are filled from the outside in. */
function fillDefaults(schema: StructuralSchema, value: Json): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) fillDefaults(schema.items, item);
  } else if (isObject(value)) {
    for (const [key, child] of Object.entries(schema.properties ?? {})) {
      if ('default' in child && (value[key] === undefined || value[key] === null)) {
        value[key] = structuredClone(child.default);
      }
      if (value[key] !== undefined) fillDefaults(child, value[key]);
    }
    if (schema.additionalProperties)
      for (const child of Object.values(value)) fillDefaults(schema.additionalProperties, child);
  }
}

function validate(schema: StructuralSchema, value: Json, path: string, problems: string[]): void {
  const before = problems.length;
  if (!hasType(schema, value)) {
    problems.push(`${path}: wrong type`);
    return;
  }
  if (schema.enum && !schema.enum.includes(value)) problems.push(`${path}: not in enum`);
  if (typeof value === 'number') validateNumber(schema, value, path, problems);
  if (typeof value === 'string') validateString(schema, value, path, problems);
  if (Array.isArray(value)) validateArray(schema, value, path, problems);
  if (isObject(value)) validateObject(schema, value, path, problems);
  if (problems.length === before) validateRules(schema, value, path, problems); // CEL runs on well-formed values only
}

function hasType(schema: StructuralSchema, value: Json): boolean {
  if (schema['x-kubernetes-int-or-string']) return Number.isInteger(value) || typeof value === 'string';
  switch (schema.type) {
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case undefined:
      return true;
    default:
      return typeof value === schema.type;
  }
}

function validateNumber(schema: StructuralSchema, value: number, path: string, problems: string[]): void {
  const { minimum, maximum } = schema;
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum)) {
    problems.push(`${path}: below ${minimum}`);
  }
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum)) {
    problems.push(`${path}: above ${maximum}`);
  }
}

/** Go counts runes. */
function validateString(schema: StructuralSchema, value: string, path: string, problems: string[]): void {
  const length = [...value].length;
  if (length < (schema.minLength ?? 0)) problems.push(`${path}: too short`);
  if (length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) problems.push(`${path}: too long`);
  if (schema.pattern !== undefined && !RE2JS.compile(schema.pattern).matcher(value).find()) {
    problems.push(`${path}: does not match`);
  }
}

function validateArray(schema: StructuralSchema, value: Json[], path: string, problems: string[]): void {
  if (value.length < (schema.minItems ?? 0)) problems.push(`${path}: too few`);
  if (value.length > (schema.maxItems ?? Number.POSITIVE_INFINITY)) problems.push(`${path}: too many`);
  for (const [i, item] of value.entries()) validate(schema.items ?? {}, item, `${path}[${i}]`, problems);
}

function validateObject(schema: StructuralSchema, value: JsonObject, path: string, problems: string[]): void {
  for (const key of schema.required ?? []) if (!(key in value)) problems.push(`${path}.${key}: required`);
  const { maxProperties = Number.POSITIVE_INFINITY } = schema;
  if (Object.keys(value).length > maxProperties) problems.push(`${path}: too many fields`);
  for (const [key, child] of Object.entries(value)) {
    const childSchema = schema.properties?.[key] ?? schema.additionalProperties;
    if (childSchema) validate(childSchema, child, `${path}.${key}`, problems);
  }
}

function validateRules(schema: StructuralSchema, value: Json, path: string, problems: string[]): void {
  for (const { rule, message } of schema['x-kubernetes-validations'] ?? []) {
    if (rule.includes('oldSelf')) continue; // runs on updates alone
    if (!evaluateCel(rule, value)) problems.push(`${path}: ${message}`);
  }
}

/** The part of CEL that the rules use, by rewriting it to JavaScript: has(), in [...], size(), matches(). */
export function evaluateCel(rule: string, self: Json): boolean {
  const script = rule
    .replaceAll(/\bself\.all\((\w+), /g, 'Object.keys(self).every(($1) => ')
    .replaceAll(/\bhas\((self(?:\.\w+)*)\.(\w+)\)/g, "('$2' in $1)")
    .replaceAll(/(\S+) in (\[[^\]]*\])/g, '$2.includes($1)')
    .replaceAll(/(\S+)\.matches\(('[^']*')\)/g, 'new RegExp($2).test($1)')
    .replaceAll(/\bsize\(([^)]*)\)/g, '[...$1].length')
    .replaceAll(/(?<![=!<>])==(?!=)/g, '===');
  return new Function('self', `return (${script});`)(self) as boolean;
}
