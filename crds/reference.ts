// The reference page of LeptonJob, made from its structural schema. No words of its own about any field.
import type { StructuralSchema } from './structural.ts';

const HEADER = `<!-- Generated from crds/leptonjob.ts by crds/generate.ts: change the schema, not this file. -->
# LeptonJob

Every field of a manifest, with its type, default, bounds and meaning. Fields without a default are optional unless
they are marked **required**. Unknown fields are refused. The same schema is checked by \`lepton validate\`, by
\`lepton run\`, and by the API server of a cluster (crds/lepton.ai_leptonjobs.yaml).

Sizes of kernels and windows are squares: \`kernelSize: 3\` is 3 rows and 3 columns. A net with other windows, with
branches or with several inputs is written as \`model.program\` (see [training in TypeScript](training-in-typescript.md)).

Relative paths start at the folder of the manifest.
`;

/** Fields below this depth of their own section are shown in a section of their own. */
export function referencePage(root: StructuralSchema): string {
  const sections: string[] = [];
  addSection('', { ...root, properties: topLevel(root) }, sections);
  return `${HEADER}\n${sections.join('\n')}`;
}

/** Status is written by Lepton; metadata is described by Kubernetes. */
function topLevel(root: StructuralSchema): Record<string, StructuralSchema> {
  const { apiVersion, kind, spec } = root.properties as Record<
    'apiVersion' | 'kind' | 'spec',
    StructuralSchema
  >;
  const name = {
    type: 'object',
    description: 'Name (required: at most 50 lower-case letters, digits and `-`), labels, annotations',
  } as const;
  return { apiVersion, kind, metadata: name, spec };
}

function addSection(path: string, schema: StructuralSchema, sections: string[]): void {
  const properties = Object.entries(schema.properties ?? {});
  const rows = properties.map(([key, value]) =>
    row(path, key, value, schema.required?.includes(key) ?? false),
  );
  const lines = [path === '' ? '## Manifest' : `## ${path}`, ''];
  if (path !== '' && schema.description) lines.push(`${schema.description}.`, '');
  const rules = (schema['x-kubernetes-validations'] ?? []).map(({ message }) => `- ${message}`);
  if (rules.length > 0) lines.push('Rules:', '', ...rules, '');
  if (rows.length > 0) {
    lines.push(
      '| field | type | default | bounds | meaning |',
      '| --- | --- | --- | --- | --- |',
      ...rows,
      '',
    );
  }
  sections.push(lines.join('\n'));
  for (const [key, value] of properties) {
    const below = path === '' ? key : `${path}.${key}`;
    if (hasFields(value)) addSection(below, value, sections);
    else if (value.items && hasFields(value.items)) addSection(`${below}[]`, value.items, sections);
  }
}

function hasFields(schema: StructuralSchema): boolean {
  return Object.keys(schema.properties ?? {}).length > 0;
}

function row(path: string, key: string, schema: StructuralSchema, required: boolean): string {
  const below = path === '' ? key : `${path}.${key}`;
  const nested = hasFields(schema)
    ? below
    : schema.items && hasFields(schema.items)
      ? `${below}[]`
      : undefined;
  const name = nested === undefined ? `\`${key}\`` : `[\`${key}\`](#${anchor(nested)})`;
  const preset = required
    ? '**required**'
    : 'default' in schema && !isEmpty(schema.default)
      ? code(schema.default)
      : '';
  return `| ${name} | ${typeOf(schema)} | ${preset} | ${bounds(schema)} | ${escapeCell(schema.description ?? '')} |`;
}

/** An object whose fields have their own defaults shows them there. */
function isEmpty(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

/** GitHub's rule: lower case, punctuation dropped. */
function anchor(path: string): string {
  return path.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '');
}

function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``;
}

function typeOf(schema: StructuralSchema): string {
  if (schema['x-kubernetes-int-or-string']) return 'integer or string';
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items ?? {})}`;
  return schema.type ?? 'any';
}

function bounds(schema: StructuralSchema): string {
  const parts: string[] = [];
  const lower = schema.exclusiveMinimum ? '>' : '≥';
  const upper = schema.exclusiveMaximum ? '<' : '≤';
  if (schema.minimum !== undefined) parts.push(`${lower} ${schema.minimum}`);
  if (schema.maximum !== undefined) parts.push(`${upper} ${schema.maximum}`);
  if (schema.minLength !== undefined || schema.maxLength !== undefined) {
    parts.push(`${schema.minLength ?? 0} to ${schema.maxLength} characters`);
  }
  if (schema.pattern !== undefined) parts.push(`matches \`${schema.pattern}\``);
  if (schema.maxItems !== undefined) {
    const range =
      schema.minItems === schema.maxItems
        ? `${schema.maxItems}`
        : `${schema.minItems ?? 0} to ${schema.maxItems}`;
    parts.push(`${range} entries`);
  }
  if (schema.items && bounds(schema.items) !== '') parts.push(`each ${bounds(schema.items)}`);
  return escapeCell(parts.join(', '));
}

/** A bar would end the cell. */
function escapeCell(text: string): string {
  return text.replaceAll(/(?<!\\)\|/g, '\\|');
}
