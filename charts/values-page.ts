// docs/values.md: every value of the chart with type, default and meaning, from the values' JSON schema. No words of its own about any.

export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
}

const HEADER = `<!-- Generated from charts/values.ts and operator/config.ts by charts/generate.ts: change the schemas, not this file. -->
# Values of the chart

Helm checks them against \`charts/lepton/values.schema.json\`: an unknown or wrong value is refused before anything is changed. \`config\` is what the operator
itself is told; it checks the same schema again when it starts.
`;

export function valuesPage(schema: JsonSchema): string {
  const rows = rowsOf('', schema);
  return `${HEADER}\n| value | type | default | meaning |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`;
}

/** Throws naming the values that say nothing of themselves. */
export function mustBeDescribed(schema: JsonSchema): void {
  const silent = silentOnes('', schema);
  if (silent.length > 0)
    throw new Error(`expected a description of every value, got none of ${silent.join(', ')}`);
}

function silentOnes(path: string, schema: JsonSchema): string[] {
  return childrenOf(path, schema).flatMap(([at, child]) => [
    ...(child.description ? [] : [at]),
    ...silentOnes(at, child),
  ]);
}

function rowsOf(path: string, schema: JsonSchema): string[] {
  return childrenOf(path, schema).flatMap(([at, child]) => {
    const below = rowsOf(at, child);
    if (below.length > 0) return [`| **${at}** | | | ${child.description} |`, ...below];
    const preset = child.default === undefined ? '' : `\`${JSON.stringify(child.default)}\``;
    return [`| \`${at}\` | ${typeOf(child)} | ${preset} | ${child.description} |`];
  });
}

function childrenOf(path: string, { properties = {} }: JsonSchema): [string, JsonSchema][] {
  return Object.entries(properties).map(([key, child]) => [path === '' ? key : `${path}.${key}`, child]);
}

function typeOf({ type, enum: choices, anyOf, items, minimum, maximum }: JsonSchema): string {
  if (choices) return choices.map((choice) => `\`${choice}\``).join(', ');
  if (anyOf) return anyOf.map(typeOf).join(' or ');
  if (items) return `list of ${items.type}s`;
  const range =
    minimum !== undefined && maximum !== undefined && maximum < 2 ** 31 ? `, ${minimum} to ${maximum}` : '';
  return `${type}${range}`;
}
