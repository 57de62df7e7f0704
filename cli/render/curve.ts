// The course of a run as a picture: braille dots for a terminal, SVG for a file. Pure: points in, text out.
import { formatMetric } from './format.ts';

export interface Point {
  readonly x: number; // global step
  readonly y: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

interface Bounds {
  readonly x0: number;
  readonly x1: number;
  readonly y0: number;
  readonly y1: number;
}

/** The smallest box around all finite points; a flat line gets some height. Undefined without a finite point. */
function boundsOf(series: readonly Series[]): Bounds | undefined {
  const points = series.flatMap(({ points }) => points.filter(({ y }) => Number.isFinite(y)));
  if (points.length === 0) return undefined;
  const xs = points.map(({ x }) => x);
  const ys = points.map(({ y }) => y);
  const [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  const margin = y1 > y0 ? 0 : Math.max(Math.abs(y0) * 0.1, 1e-6);
  return { x0: Math.min(...xs), x1: Math.max(...xs, Math.min(...xs) + 1), y0: y0 - margin, y1: y1 + margin };
}

// Dots of one braille cell, by [column][row] (Unicode block 2800: dots 1 2 3 7 left, 4 5 6 8 right).
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/** Lines of one chart, `columns` wide and `rows` high without its title, with the range of the axis on the left. */
export function renderCurve(series: Series, columns: number, rows: number): string[] {
  const bounds = boundsOf([series]);
  if (!bounds) return [`${series.name}: no values`];
  const labels = [formatMetric(bounds.y1), formatMetric(bounds.y0)];
  const labelWidth = Math.max(...labels.map((label) => label.length));
  const width = Math.max(8, columns - labelWidth - 3);
  const cells = Array.from({ length: rows }, () => new Uint8Array(width));
  drawLine(series.points, bounds, width * 2, rows * 4, (x, y) => {
    const row = cells[y >> 2] as Uint8Array;
    row[x >> 1] = (row[x >> 1] ?? 0) | DOTS[(x & 1) as 0 | 1][(y & 3) as 0 | 1 | 2 | 3];
  });
  const body = cells.map((row, i) => {
    const label = i === 0 ? labels[0] : i === rows - 1 ? labels[1] : '';
    return `${(label ?? '').padStart(labelWidth)} ┤${String.fromCodePoint(...Array.from(row, (dots) => 0x2800 + dots))}`;
  });
  const axis = `${' '.repeat(labelWidth)} └${'─'.repeat(width)}`;
  return [series.name, ...body, axis, `${' '.repeat(labelWidth + 2)}step ${bounds.x0} to ${bounds.x1}`];
}

/** Visits every dot on the way from point to point; gaps (NaN) stay gaps. */
function drawLine(
  points: readonly Point[],
  bounds: Bounds,
  width: number,
  height: number,
  dot: (x: number, y: number) => void,
): void {
  let last: readonly [number, number] | undefined;
  for (const point of points) {
    if (!Number.isFinite(point.y)) {
      last = undefined;
      continue;
    }
    const x = Math.round(((point.x - bounds.x0) / (bounds.x1 - bounds.x0)) * (width - 1));
    const y = Math.round(((bounds.y1 - point.y) / (bounds.y1 - bounds.y0)) * (height - 1));
    const [fromX, fromY] = last ?? [x, y];
    const steps = Math.max(Math.abs(x - fromX), Math.abs(y - fromY), 1);
    for (let i = 0; i <= steps; i++) {
      dot(Math.round(fromX + ((x - fromX) * i) / steps), Math.round(fromY + ((y - fromY) * i) / steps));
    }
    last = [x, y];
  }
}

const CHART = { width: 640, height: 260, left: 64, right: 16, top: 36, bottom: 40 } as const;
const COLOURS = ['#1f6feb', '#d1242f', '#1a7f37', '#9a6700', '#8250df'] as const;

/** One chart below the other (for example loss, then accuracy), each with its lines, axes and a legend. */
export function renderCurvesSvg(charts: readonly { title: string; series: readonly Series[] }[]): string {
  const drawn = charts.filter(({ series }) => boundsOf(series));
  const height = Math.max(1, drawn.length) * CHART.height;
  const parts = drawn.map(
    (chart, i) => `<g transform="translate(0 ${i * CHART.height})">${chartSvg(chart)}</g>`,
  );
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${CHART.width} ${height}" width="${CHART.width}" height="${height}" ` +
    `font-family="system-ui, sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#ffffff"/>\n${parts.join('\n')}\n</svg>\n`
  );
}

function chartSvg({ title, series }: { title: string; series: readonly Series[] }): string {
  const bounds = boundsOf(series) as Bounds;
  const { left, right, top, bottom } = CHART;
  const [x1, y1] = [CHART.width - right, CHART.height - bottom];
  const px = (x: number) => (left + ((x - bounds.x0) / (bounds.x1 - bounds.x0)) * (x1 - left)).toFixed(1);
  const py = (y: number) => (top + ((bounds.y1 - y) / (bounds.y1 - bounds.y0)) * (y1 - top)).toFixed(1);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const y = bounds.y0 + part * (bounds.y1 - bounds.y0);
    return (
      `<line x1="${left}" x2="${x1}" y1="${py(y)}" y2="${py(y)}" stroke="#d0d7de" stroke-width="0.5"/>` +
      `<text x="${left - 6}" y="${py(y)}" text-anchor="end" dominant-baseline="middle" fill="#57606a">${formatMetric(y)}</text>`
    );
  });
  const lines = series.map(({ points }, i) => {
    const finite = points.filter(({ y }) => Number.isFinite(y));
    const path = finite.map(({ x, y }) => `${px(x)},${py(y)}`).join(' ');
    const dots =
      finite.length > 1
        ? ''
        : finite
            .map(
              ({ x, y }) =>
                `<circle cx="${px(x)}" cy="${py(y)}" r="3" fill="${COLOURS[i % COLOURS.length]}"/>`,
            )
            .join('');
    return `<polyline points="${path}" fill="none" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="1.5"/>${dots}`;
  });
  const legend = series.map(
    ({ name }, i) => `<tspan dx="12" fill="${COLOURS[i % COLOURS.length]}">${escapeXml(name)}</tspan>`,
  );
  return [
    `<text x="${left}" y="20" font-weight="600" fill="#24292f">${escapeXml(title)}${legend.join('')}</text>`,
    ...grid,
    ...lines,
    `<text x="${left}" y="${CHART.height - 14}" fill="#57606a">step ${bounds.x0}</text>`,
    `<text x="${x1}" y="${CHART.height - 14}" text-anchor="end" fill="#57606a">step ${bounds.x1}</text>`,
  ].join('\n');
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
