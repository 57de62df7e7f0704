// Writes what is made from the chart's schema and from the chart: values.schema.json, docs/values.md, and the plain rendering for
// `kubectl apply -k`; with --check says whether the checked-in copies are fresh. Only rendering needs Helm.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { chartDigest, digestOf, render } from './rendering.ts';
import { valuesSchema } from './values.ts';
import { type JsonSchema, mustBeDescribed, valuesPage } from './values-page.ts';

const ROOT = join(import.meta.dirname, '..');
const RENDERING = 'deploy/kustomize';

/** Path from the root of the repository -> content. */
export function generatedFiles(): Readonly<Record<string, string>> {
  const schema = z.toJSONSchema(valuesSchema, {
    target: 'draft-7',
    io: 'input',
    override: ({ jsonSchema }) => {
      // Says nothing: names are strings.
      if (Object.keys(jsonSchema.propertyNames ?? {}).length === 1) delete jsonSchema.propertyNames;
    },
  }) as JsonSchema;
  mustBeDescribed(schema);
  return {
    'charts/lepton/values.schema.json': `${JSON.stringify(schema, undefined, 2)}\n`,
    'docs/values.md': valuesPage(schema),
  };
}

async function main(check: boolean): Promise<number> {
  const stale = Object.entries(generatedFiles()).filter(([path, content]) => read(path) !== content);
  if (!check) for (const [path, content] of stale) writeFileSync(join(ROOT, path), content);
  const names = stale.map(([path]) => path);
  if (digestOf(read(`${RENDERING}/operator.yaml`)) !== chartDigest()) {
    names.push(RENDERING);
    if (!check)
      for (const [name, content] of Object.entries(await render()))
        writeFileSync(join(ROOT, RENDERING, name), content);
  }
  if (!check) return 0;
  for (const name of names) console.error(`${name} is stale: run node charts/generate.ts`);
  return names.length === 0 ? 0 : 1;
}

function read(path: string): string {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return '';
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.includes('--check'));
