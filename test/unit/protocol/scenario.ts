// Reads and writes golden scenarios: a command, `----`, everything the machine did, an empty line. Runs no machine itself.

export interface Block {
  readonly comments: readonly string[];
  readonly command: string;
  readonly output: readonly string[];
}

export function parseScenario(text: string): Block[] {
  const blocks: Block[] = [];
  for (const part of text.split(/\n\s*\n/)) {
    const lines = part.split('\n').filter((line) => line.trim() !== '');
    const comments = lines.filter((line) => line.startsWith('#'));
    const [command, rule, ...output] = lines.filter((line) => !line.startsWith('#'));
    if (command === undefined) blocks.push({ comments, command: '', output: [] });
    else {
      if (rule !== '----') throw new Error(`scenario: expected ---- after "${command}"`);
      blocks.push({ comments, command, output });
    }
  }
  return blocks;
}

export function formatScenario(blocks: readonly Block[]): string {
  const parts = blocks.map(({ comments, command, output }) =>
    [...comments, ...(command === '' ? [] : [command, '----', ...output])].join('\n'),
  );
  return `${parts.join('\n\n')}\n`;
}

type Value = number | string | boolean | undefined | number[];

/** `push rank=1 step=0` -> {kind: 'push', rank: 1, step: 0}. */
export function parseCommand(command: string): { kind: string } & Record<string, Value> {
  const [kind = '', ...pairs] = command.split(/\s+/);
  const fields = pairs.map((pair): [string, Value] => {
    const [key = '', value = ''] = pair.split('=');
    return [key, parseValue(value)];
  });
  return { kind, ...Object.fromEntries(fields) };
}

function parseValue(text: string): Value {
  if (text === 'none') return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  if (text.startsWith('[')) return text.slice(1, -1).split(',').map(Number);
  return Number.isNaN(Number(text)) ? text : Number(text);
}

/** The opposite direction, for effects. */
export function formatEffect({ kind, ...fields }: { readonly kind: string }): string {
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${formatValue(value)}`);
  return [kind, ...pairs].join(' ');
}

function formatValue(value: unknown): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value)) return `[${value.map(formatValue).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).map(([key, inner]) => `${key}:${formatValue(inner)}`);
    return `{${pairs.join(',')}}`;
  }
  return typeof value === 'string' && value.includes(' ') ? JSON.stringify(value) : String(value);
}
