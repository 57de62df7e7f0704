// Runs what README.md shows: its manifest, its shell lines on it, its TypeScript. A reader's first hour must work.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
let folder: string;
let readme: string;

before(async () => {
  // Below the checkout, so that `import ... from 'lepton'` resolves to it as in a project that depends on it.
  folder = await mkdtemp(join(ROOT, 'build', 'readme-'));
  readme = await readFile(join(ROOT, 'README.md'), 'utf8');
});
after(() => rm(folder, { recursive: true, force: true }));

function block(language: string): string {
  const found = readme.match(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``));
  assert.ok(found, `README.md has no ${language} block`);
  return found[1] as string;
}

test('the first manifest is valid and trains with the lines below it', async () => {
  const manifest = join(folder, 'first.yaml');
  await writeFile(manifest, block('yaml'));
  const lines = readme.match(/^ {4}(?:data=|bin\/lepton .*first\.yaml).*$/gm) ?? [];
  assert.equal(lines.length, 3);
  const script = lines.join('\n').replaceAll('first.yaml', manifest);
  await run('bash', ['-euc', `${script} --output ${join(folder, 'out')}`], { cwd: ROOT, timeout: 300_000 });
  const model = JSON.parse(await readFile(join(folder, 'out', 'model.json'), 'utf8'));
  assert.equal(model.format, 'lepton/model');
});

test('the first lines of TypeScript train a model', async () => {
  const program = join(folder, 'first.ts');
  await writeFile(program, block('ts'));
  const { stdout } = await run(process.execPath, [program], { timeout: 300_000 });
  assert.match(stdout, /accuracy/);
});
