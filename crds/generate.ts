// Writes what is made from the schemas (CRD, reference page); with --check says whether the checked-in copies are fresh.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CRD_NAME, customResourceDefinition, leptonJobStructural } from './crd.ts';
import { SchemaError } from './errors.ts';
import { GROUP } from './leptonjob.ts';
import { referencePage } from './reference.ts';
import { lintStructural } from './structural-lint.ts';

const ROOT = join(import.meta.dirname, '..');

/** Path from the root of the repository -> content. */
export function generatedFiles(): Readonly<Record<string, string>> {
  const problems = lintStructural(leptonJobStructural());
  if (problems.length > 0) throw new SchemaError(CRD_NAME, problems.join('\n'));
  const header =
    '# Generated from crds/leptonjob.ts by crds/generate.ts: change the schema, not this file.\n';
  const crd = stringify(customResourceDefinition(), {
    lineWidth: 110,
    aliasDuplicateObjects: false,
    compat: 'yaml-1.1', // kubectl and Helm take a bare `on` for true
  });
  return {
    [`crds/${GROUP}_leptonjobs.yaml`]: header + crd,
    [`charts/lepton/files/${GROUP}_leptonjobs.yaml`]: header + crd,
    'docs/leptonjob.md': referencePage(leptonJobStructural()),
  };
}

function main(check: boolean): number {
  const stale = Object.entries(generatedFiles()).filter(([path, content]) => read(path) !== content);
  if (check) {
    for (const [path] of stale) console.error(`${path} is stale: run node crds/generate.ts`);
    return stale.length === 0 ? 0 : 1;
  }
  for (const [path, content] of stale) writeFileSync(join(ROOT, path), content);
  return 0;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

if (import.meta.main) process.exitCode = main(process.argv.includes('--check'));
