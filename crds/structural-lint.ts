// What an API server checks before it takes a CRD: structure, patterns, defaults, bounds. Says what is wrong, changes nothing.
import { RE2JS } from 're2js';
import type { StructuralSchema } from './structural.ts';

/**
 * Everything that kube-apiserver would refuse (apiextensions-apiserver: schema/validation.go, validation.go), and
 * lists, maps and texts without a bound below a CEL rule, which it would price as endless. Empty: all well.
 */
export function lintStructural(schema: StructuralSchema): string[] {
  const problems: string[] = [];
  lint(schema, '', (path, problem) => problems.push(`${path || '<root>'}: ${problem}`));
  return problems;
}

type Report = (path: string, problem: string) => void;

function lint(schema: StructuralSchema, path: string, report: Report): void {
  lintType(schema, path, report);
  lintBounds(schema, path, report);
  lintPattern(schema, path, report);
  for (const key of schema.required ?? []) {
    if (!schema.properties?.[key]) report(path, `required ${key} is not a property`);
  }
  for (const { rule } of schema['x-kubernetes-validations'] ?? []) lintRule(schema, rule, path, report);
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    lint(value, path === '' ? key : `${path}.${key}`, report);
  }
  if (schema.items) lint(schema.items, `${path}[]`, report);
  if (schema.additionalProperties) lint(schema.additionalProperties, `${path}.*`, report);
}

function lintType(schema: StructuralSchema, path: string, report: Report): void {
  const open = schema['x-kubernetes-int-or-string'] ?? schema['x-kubernetes-preserve-unknown-fields'];
  if (!schema.type && !open) report(path, 'type is missing');
  if (schema.type === 'array' && !schema.items) report(path, 'items are missing');
  if (schema.additionalProperties && schema.properties) report(path, 'properties and additionalProperties');
  if (path === '' && schema.additionalProperties) report(path, 'additionalProperties at the root');
  const pair = JSON.stringify([{ type: 'integer' }, { type: 'string' }]);
  if (schema.anyOf && !(schema['x-kubernetes-int-or-string'] && JSON.stringify(schema.anyOf) === pair)) {
    report(path, 'anyOf other than integer, string');
  }
  if (path.split('.')[0] === 'metadata' && 'default' in schema) report(path, 'a default in metadata');
}

function lintBounds(schema: StructuralSchema, path: string, report: Report): void {
  if (schema.type === 'array' && schema.maxItems === undefined) report(path, 'maxItems is missing');
  if (schema.type === 'string' && !schema.enum && schema.maxLength === undefined)
    report(path, 'maxLength is missing');
  if (schema.additionalProperties && schema.maxProperties === undefined)
    report(path, 'maxProperties is missing');
  const isNumber = schema.type === 'integer' || schema.type === 'number';
  if (isNumber && !schema.enum && (schema.minimum === undefined || schema.maximum === undefined)) {
    report(path, 'minimum or maximum is missing');
  }
}

/** The API server's patterns are Go's RE2: no look-around, no back references. */
function lintPattern({ pattern }: StructuralSchema, path: string, report: Report): void {
  if (pattern === undefined) return;
  try {
    RE2JS.compile(pattern);
  } catch (error) {
    report(path, `pattern is not RE2: ${(error as Error).message}`);
  }
}

/** A rule may name only fields that the schema has: CEL is compiled against it. metadata.name is the server's. */
function lintRule(schema: StructuralSchema, rule: string, path: string, report: Report): void {
  for (const [, field = '', call] of rule.matchAll(/\bself((?:\.\w+)+)(\(?)/g)) {
    const keys = field.split('.').slice(1, call === '(' ? -1 : undefined);
    if (path === '' && keys.join('.') === 'metadata.name') continue;
    let at: StructuralSchema | undefined = schema;
    for (const key of keys) at = at?.properties?.[key];
    if (!at) report(path, `rule names self.${keys.join('.')}, which is not a property`);
  }
}
