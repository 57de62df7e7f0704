// The chart with its defaults as plain files for kustomize: what Helm alone adds is taken out, the operator's configuration is a file
// of its own so that overlays can replace it. The CRD is not part of it: deploy/kustomize names crds/.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..');
const CHART = join(ROOT, 'charts/lepton');
const DIGEST = /^# Chart: (\w+)$/m;

type Manifest = {
  kind: string;
  metadata: { labels?: Record<string, string>; annotations?: Record<string, string> };
  data?: Record<string, string>;
  spec?: { template?: Manifest };
};

/** Of all that the rendering is made from; `files/` holds what has a check of its own or is off by default. */
export function chartDigest(): string {
  const hash = createHash('sha256');
  const templates = readdirSync(join(CHART, 'templates')).filter((name) => /\.(yaml|tpl)$/.test(name));
  for (const name of ['Chart.yaml', 'values.yaml', ...templates.sort().map((file) => `templates/${file}`)])
    hash.update(`${name}\n`).update(readFileSync(join(CHART, name)));
  return hash
    .update(readFileSync(import.meta.filename))
    .digest('hex')
    .slice(0, 16);
}

/** That a rendering was made from. */
export function digestOf(rendering: string): string | undefined {
  return DIGEST.exec(rendering)?.[1];
}

/** Name -> content. Builds Helm where it is not in the cache. */
export async function render(): Promise<Readonly<Record<string, string>>> {
  const { stdout: programs } = await run(join(ROOT, 'test/cluster/build.sh'), ['1.37', 'helm']);
  const flags = ['--namespace', 'lepton-system', '--skip-tests', '--set', 'crds.install=false'];
  const { stdout } = await run(join(programs.trim(), 'helm'), ['template', 'lepton', CHART, ...flags]);
  const all = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Manifest | null) ?? []);
  const config = all.find(({ data }) => data?.['operator.json'] !== undefined);
  if (!config) throw new Error('helm template: expected a ConfigMap with operator.json');
  for (const manifest of all) withoutHelm(manifest);
  const documents = all
    .filter((manifest) => manifest !== config)
    .map((manifest) => stringify(manifest, { lineWidth: 110, aliasDuplicateObjects: false }));
  const header = `# Generated from charts/lepton by charts/generate.ts: change the chart, not this file.\n# Chart: ${chartDigest()}\n`;
  return {
    'operator.yaml': header + documents.join('---\n'),
    'operator.json': `${JSON.stringify(JSON.parse(config.data?.['operator.json'] ?? ''), undefined, 2)}\n`,
  };
}

function withoutHelm({ metadata, spec }: Manifest): void {
  delete metadata.labels?.['helm.sh/chart'];
  delete metadata.labels?.['app.kubernetes.io/managed-by'];
  // kustomize names a changed configuration anew, which starts new pods as well.
  delete metadata.annotations?.['checksum/config'];
  if (Object.keys(metadata.annotations ?? {}).length === 0) delete metadata.annotations;
  if (spec?.template?.metadata) withoutHelm(spec.template);
}
