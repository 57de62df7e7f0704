// Every command has a page that carries its --help text word for word. LEPTON_UPDATE=1 writes the texts into the pages.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { COMMANDS, createProgram } from '../../../cli/program.ts';

const FOLDER = join(import.meta.dirname, '../../../docs/commands');
const BLOCK = /(<!-- help -->\n)[\s\S]*?(<!-- \/help -->)/;

function helpOf(name: string): string {
  const command = createProgram({ exitCode: 0 }).commands.find((found) => found.name() === name);
  assert.ok(command, name);
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => 100 });
  command.outputHelp();
  return help.trimEnd();
}

test('every command has a page and every page a command', () => {
  const pages = readdirSync(FOLDER).map((file) => file.replace(/\.md$/, ''));
  assert.deepEqual(pages.sort(), Object.keys(COMMANDS).sort());
});

for (const name of Object.keys(COMMANDS)) {
  test(`the page of ${name} shows its help text`, () => {
    const path = join(FOLDER, `${name}.md`);
    const page = readFileSync(path, 'utf8');
    assert.match(page, BLOCK);
    const fresh = page.replace(
      BLOCK,
      (_, open, close) => `${open}\`\`\`text\n${helpOf(name)}\n\`\`\`\n${close}`,
    );
    if (process.env['LEPTON_UPDATE'] === '1') writeFileSync(path, fresh);
    else assert.equal(page, fresh);
  });

  test(`the help of ${name} has examples that begin with the command`, () => {
    const examples = helpOf(name).split('Examples:\n')[1]?.split('\n\n')[0]?.split('\n') ?? [];
    assert.ok(examples.length >= 2, 'at least two examples');
    assert.ok(examples.some((line) => line.startsWith(`  lepton ${name}`)));
  });
}
