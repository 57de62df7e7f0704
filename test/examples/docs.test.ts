// Runs what the manual shows. docs/training-in-typescript.md: every block is a whole program, the last two are a module and its
// job. docs/exchange.md: every block is a command. docs/tracing.md: its command leaves a trace.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const page = await readFile(join(ROOT, 'docs/training-in-typescript.md'), 'utf8');
let folder: string;

before(async () => {
  // Below the checkout, so that `import ... from 'lepton'` resolves to it as in a project that depends on it.
  await mkdir(join(ROOT, 'build'), { recursive: true });
  folder = await mkdtemp(join(ROOT, 'build', 'docs-'));
});
after(() => rm(folder, { recursive: true, force: true }));

function blocks(language: string): { title: string; code: string }[] {
  const sections = page.split(/^## /m).slice(1);
  return sections.flatMap((section) =>
    [...section.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, code]) => ({
      title: section.split('\n')[0] as string,
      code: code as string,
    })),
  );
}

const programs = blocks('ts');
assert.ok(programs.length >= 4, 'the page lost its programs');

for (const [i, { title, code }] of programs.entries()) {
  test(`${title}: the program runs`, async () => {
    const file = join(folder, `block-${i}.ts`);
    await writeFile(file, code);
    const { stdout } = await run(process.execPath, [file], { cwd: folder, timeout: 120_000 });
    assert.match(stdout, /\S/);
    assert.doesNotMatch(stdout, /\bNaN\b|undefined/);
  });
}

test('the module and its manifest train', async () => {
  await writeFile(join(folder, 'program.ts'), blocks('ts program')[0]?.code ?? '');
  await writeFile(join(folder, 'own-program.yaml'), blocks('yaml program')[0]?.code ?? '');
  const args = [
    join(ROOT, 'cli/main.ts'),
    'run',
    'own-program.yaml',
    '-o',
    'json',
    '--output',
    join(folder, 'out'),
  ];
  const { stdout } = await run(process.execPath, args, { cwd: folder, timeout: 120_000 });
  const { status, epochs } = JSON.parse(stdout);
  assert.deepEqual({ status, epochs }, { status: 'Succeeded', epochs: 2 });
});

test('commands of docs/exchange.md train', async () => {
  const text = await readFile(join(ROOT, 'docs/exchange.md'), 'utf8');
  const commands = [...text.matchAll(/```sh\n(.*)\n```/g)].map(([, command]) => command as string);
  assert.ok(commands.length >= 1, 'the page lost its commands');
  for (const [i, command] of commands.entries()) {
    const [program, ...args] = command.split(' ');
    const all = [...args, '-o', 'json', '--output', join(folder, `exchange-${i}`)];
    const { stdout } = await run(join(ROOT, program!), all, { cwd: ROOT, timeout: 120_000 });
    assert.equal(JSON.parse(stdout).status, 'Succeeded', command);
  }
});

test('the command of the page on tracing leaves a trace', async () => {
  const tracing = await readFile(join(ROOT, 'docs/tracing.md'), 'utf8');
  const command = /```sh\nlepton (.*)\n```/.exec(tracing)?.[1];
  assert.ok(command, 'the page lost its command');
  await writeFile(join(folder, 'program.ts'), blocks('ts program')[0]?.code ?? '');
  await writeFile(join(folder, 'leptonjob.yaml'), blocks('yaml program')[0]?.code ?? '');
  const args = [join(ROOT, 'cli/main.ts'), ...command.split(' '), '--workers', '2'];
  const { stdout } = await run(process.execPath, args, { cwd: folder, timeout: 120_000 });
  assert.match(stdout, /last at\n {2}0 .* steps\n {2}1 .* steps/);
  const events = JSON.parse(await readFile(join(folder, 'trace.json'), 'utf8'));
  for (const phase of [...tracing.matchAll(/\| `?(?:worker|server).*\| `(\w+)`/g)].map(([, name]) => name))
    assert.ok(
      events.some(({ name }: { name: string }) => name === phase),
      `${phase} is in the trace`,
    );
});
