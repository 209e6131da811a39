/**
 * The plot of docs/performance.md: a line for each goal, and on it how much better than the goal the measured value is,
 * on a logarithmic axis. What is at the right of the goal is met, and its mark is full; what is at the left is not, and
 * its mark is hollow and square, so that it is seen without colour too. The bar shows what the rounds found.
 */
import { figure, type Result, type Results } from './results.js';

const LINE = 24;
const HEAD = 64;
const FOOT = 44;
const WIDTH = 1_080;
/** Where the axis begins and ends; the rest is text. */
const LEFT = 500;
const RIGHT = 860;
/** How many times better or worse than a goal can be shown; what is further is put at the end. */
const REACH = 100;
const TICKS = [0.01, 0.1, 0.25, 0.5, 1, 2, 4, 10, 100];

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .quiet { fill: #59636e }
  .grid { stroke: #d1d9e0 }
  .goal { stroke: #1f2328; stroke-width: 1.5 }
  .met { fill: #1a7f37; stroke: #1a7f37; stroke-width: 2 }
  .missed { fill: #ffffff; stroke: #bc4c00; stroke-width: 2 }
  .strong { font-weight: 600 }
  .ground { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .goal { stroke: #f0f6fc }
    .met { fill: #3fb950; stroke: #3fb950 }
    .missed { fill: #0d1117; stroke: #f0883e }
    .ground { fill: #0d1117 }
  }`;

/** An SVG document. */
export function plot({ rows }: Results): string {
  const height = HEAD + rows.length * LINE + FOOT;
  const scores = rows.flatMap((row) => [row.value, ...row.rounds].map((value) => score(row, value)));
  const furthest = Math.max(2, ...scores.filter(Number.isFinite).map((s) => Math.exp(Math.abs(Math.log(s)))));
  const reach = Math.min(REACH, furthest * 1.15);
  const x = (s: number) => {
    const clamped = Math.min(reach, Math.max(1 / reach, s));
    return round(LEFT + ((Math.log(clamped) / Math.log(reach) + 1) / 2) * (RIGHT - LEFT));
  };
  const bottom = HEAD + rows.length * LINE;
  const met = rows.filter((row) => row.met).length;
  const ticks = TICKS.filter((tick) => tick >= 1 / reach && tick <= reach);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title desc">
<title id="title">Larder's goals: ${met} of ${rows.length} met</title>
<desc id="desc">${rows.map((row) => escaped(`${row.id}, ${row.compared}: ${figure(row.value, row.unit)}, goal ${row.goal}, ${verdict(row)}.`)).join(' ')}</desc>
<style>${STYLE}
</style>
<rect class="ground" width="${WIDTH}" height="${height}"/>
<text class="title" x="16" y="26">${met} of ${rows.length} goals met</text>
<text class="quiet" x="16" y="46">Median of the rounds, against the goal; the bar spans the rounds. Logarithmic.</text>
<text class="quiet" x="${x(1) - 8}" y="46" text-anchor="end">◀ worse</text>
<text class="quiet" x="${x(1) + 8}" y="46">better than the goal ▶</text>
${ticks.map((tick) => `<line class="${tick === 1 ? 'goal' : 'grid'}" x1="${x(tick)}" y1="${HEAD - 8}" x2="${x(tick)}" y2="${bottom}"/>`).join('\n')}
${ticks.map((tick) => `<text class="quiet" x="${x(tick)}" y="${bottom + 18}" text-anchor="middle">${tick === 1 ? 'goal' : `${tick} ×`}</text>`).join('\n')}
${rows.map((row, i) => line(row, rows[i - 1]?.id !== row.id, HEAD + i * LINE + LINE / 2, x)).join('\n')}
<circle class="met" cx="${LEFT}" cy="${bottom + 32}" r="5"/><text class="quiet" x="${LEFT + 12}" y="${bottom + 36}">met</text>
<rect class="missed" x="${LEFT + 55}" y="${bottom + 27}" width="10" height="10"/><text class="quiet" x="${LEFT + 72}" y="${bottom + 36}">not met</text>
</svg>
`;
}

function line(row: Result, first: boolean, y: number, x: (score: number) => number): string {
  const scores = row.rounds.map((value) => score(row, value)).filter(Number.isFinite);
  const kind = row.met ? 'met' : 'missed';
  const at = score(row, row.value);
  const bar = `<line class="${kind}" x1="${x(Math.min(...scores))}" y1="${y}" x2="${x(Math.max(...scores))}" y2="${y}"/>`;
  const mark = row.met
    ? `<circle class="met" cx="${x(at)}" cy="${y}" r="5"/>`
    : `<rect class="missed" x="${x(at) - 5}" y="${y - 5}" width="10" height="10"/>`;
  return [
    first ? `<text class="strong" x="16" y="${y + 4}">${row.id}</text>` : '',
    `<text x="56" y="${y + 4}">${escaped(row.compared)}</text>`,
    Number.isFinite(at) ? bar + mark : '',
    `<text x="${RIGHT + 16}" y="${y + 4}"${row.met ? '' : ' class="strong"'}>${escaped(figure(row.value, row.unit))}<tspan class="quiet"> (${escaped(row.goal)}) ${verdict(row)}</tspan></text>`,
  ].join('');
}

function verdict({ met, value }: Result): string {
  if (met) return 'met';
  return value === null ? 'failed' : 'not met';
}

/** How many times better than the goal: 1 is just met. NaN when it was not measured. */
function score({ atLeast, atMost }: Result, value: number | null): number {
  if (value === null) return NaN;
  const better = atLeast === undefined ? Infinity : value / atLeast;
  const lower = atMost === undefined ? Infinity : atMost / value;
  return Math.min(better, lower);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
