// The version of this checkout or installation, from its package.json.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export function leptonVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
