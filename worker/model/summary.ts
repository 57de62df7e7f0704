// The table that `summary()` prints, in Keras' form. Pure.
import { formatShape } from './errors.ts';
import type { Network } from './network.ts';

export interface ParameterCount {
  readonly trainable: number;
  readonly state: number;
}

export function countParameters({ graph }: Network): ParameterCount {
  const count = (trainable: boolean) =>
    graph.parameters
      .filter((parameter) => parameter.trainable === trainable)
      .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  return { trainable: count(true), state: count(false) };
}

export function renderSummary(name: string, network: Network): string {
  const branches = network.rows.some(
    ({ inputs }, i) => inputs.length !== 1 || (i > 0 && inputs[0] !== network.rows[i - 1]?.name),
  );
  const title = ['Layer (kind)', 'Output shape', 'Parameters', ...(branches ? ['Reads'] : [])];
  const rows = network.rows.map(({ name: layer, layer: { kind }, shape, parameters, inputs }) => [
    `${layer} (${kind})`,
    formatShape(shape),
    parameters.toLocaleString('en-US'),
    ...(branches ? [inputs.join(', ')] : []),
  ]);
  const widths = title.map((cell, i) =>
    Math.max(cell.length, ...rows.map((row) => (row[i] as string).length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (i === 2 ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)))
      .join('  ')
      .trimEnd();
  const rule = '─'.repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  const { trainable, state } = countParameters(network);
  const total = (what: string, count: number) =>
    `${what}: ${count.toLocaleString('en-US')} (${formatBytes(count * 4)})`;
  return [
    `Model: ${name}`,
    line(title),
    rule,
    ...rows.map(line),
    rule,
    total('Total parameters', trainable + state),
    total('Trainable', trainable),
    total('State', state),
  ].join('\n');
}

function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(2)} KB`;
  return `${(bytes / 1024 ** 2).toFixed(2)} MB`;
}
