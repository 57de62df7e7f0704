// The one shape in which every benchmark of the project writes its results, and its table on the screen. No measuring.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Row {
  readonly name: string;
  readonly unit: string;
  /** Medians of both sides, and half the distance between their quartiles. */
  readonly ours: number;
  readonly oursSpread?: number;
  readonly peer: number | null;
  readonly peerSpread?: number;
  readonly peerName: string | null;
  /** ours / peer; for rows without a peer, ours / bar. */
  readonly ratio: number;
  /** What the ratio must not pass. */
  readonly bar: number;
  readonly holds: boolean;
  /** What a reader needs to understand the row. */
  readonly note?: string;
}

export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryBytes: number;
}

export interface Results {
  readonly rows: readonly Row[];
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly commit: string;
}

export interface Sample {
  readonly median: number;
  readonly spread: number;
}

export function summarize(values: readonly number[]): Sample {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  return { median: at(0.5), spread: (at(0.75) - at(0.25)) / 2 };
}

export function compared(
  row: Pick<Row, 'name' | 'unit' | 'bar' | 'note'> & { peerName: string },
  ours: Sample,
  peer: Sample,
): Row {
  const ratio = ours.median / peer.median;
  const { median, spread } = ours;
  return {
    ...row,
    ours: median,
    oursSpread: spread,
    peer: peer.median,
    peerSpread: peer.spread,
    ratio,
    holds: ratio <= row.bar,
  };
}

/** Our own figure against a fixed limit. */
export function limited(row: Pick<Row, 'name' | 'unit' | 'note'>, ours: Sample, limit: number): Row {
  const ratio = ours.median / limit;
  return {
    ...row,
    ours: ours.median,
    oursSpread: ours.spread,
    peer: limit,
    peerName: 'limit',
    ratio,
    bar: 1,
    holds: ratio <= 1,
  };
}

/** Prints the table and writes bench/results/NAME.json. */
export function report(name: string, rows: readonly Row[], versions: Readonly<Record<string, string>>): void {
  const [processor] = cpus();
  const results: Results = {
    rows,
    machine: { processor: processor?.model ?? 'unknown', processors: cpus().length, memoryBytes: totalmem() },
    versions: { node: process.version, ...versions },
    commit: commitOf(),
  };
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`);
  console.log(table(rows));
  console.log(
    Object.entries(results.versions)
      .map(([what, version]) => `${what} ${version}`)
      .join(', '),
  );
}

function commitOf(): string {
  try {
    const dirty = execFileSync('git', ['status', '--porcelain'], { encoding: 'utf8' }).trim() !== '';
    return (
      execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim() +
      (dirty ? '+changes' : '')
    );
  } catch {
    return 'unknown';
  }
}

const figure = (value: number): string => value.toPrecision(4);

function table(rows: readonly Row[]): string {
  const spread = (value: number | undefined): string =>
    value === undefined ? '' : ` ± ${value.toPrecision(2)}`;
  const cells = rows.map((row) => [
    row.name,
    `${figure(row.ours)}${spread(row.oursSpread)} ${row.unit}`,
    row.peer === null ? '' : `${figure(row.peer)}${spread(row.peerSpread)} ${row.unit} (${row.peerName})`,
    row.ratio.toFixed(3),
    row.bar.toFixed(2),
    row.holds ? 'holds' : 'MISSED',
    row.note ?? '',
  ]);
  const all = [['row', 'ours', 'peer', 'ratio', 'bar', '', ''], ...cells];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  return all
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
