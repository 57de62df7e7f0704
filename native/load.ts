// Finds and loads the compiled engine. One that was made from other sources than lie beside it is refused: it would take arguments
// and give results of another meaning.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { EngineError } from './errors.ts';

const SOURCES = join(import.meta.dirname, 'src');

/**
 * LEPTON_ADDON, else what `make setup` compiled. @throws EngineError ENGINE_NOT_BUILT naming path, platform and remedy, or
 * ENGINE_OUTDATED naming the sources.
 */
export function loadAddon(): unknown {
  const path = process.env['LEPTON_ADDON'] ?? join(import.meta.dirname, '../build/native/lepton.node');
  const where = `${path} (${process.platform}-${process.arch}, Node ${process.version})`;
  if (!existsSync(path))
    throw new EngineError('ENGINE_NOT_BUILT', `no native engine at ${where}: run 'make setup'`);
  const addon = required(path, where);
  // Images and packages have none.
  if (existsSync(SOURCES)) mustBeOf(addon, path, fingerprintOf(SOURCES));
  return addon;
}

function required(path: string, where: string): unknown {
  try {
    return createRequire(import.meta.url)(path);
  } catch (error) {
    const reason = (error as Error).message;
    throw new EngineError('ENGINE_NOT_BUILT', `cannot load ${where}: ${reason}; run 'make clean setup'`, {
      cause: error,
    });
  }
}

function mustBeOf(addon: unknown, path: string, expected: string): void {
  const { sources = 'unknown' } = addon as { sources?: string };
  if (sources === expected) return;
  throw new EngineError(
    'ENGINE_OUTDATED',
    `the native engine at ${path} is of sources ${sources}, expected those of native/src, ${expected}: run 'make setup'`,
  );
}

/** As native/fingerprint.cmake has it. */
export function fingerprintOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
  const lines = files.sort().map((file) => `${sha256(readFileSync(join(folder, file)))} ${file}\n`);
  return sha256(lines.join('')).slice(0, 12);
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
