/** The picture of a lab, drawn from a run: a lane for each participant, what each customer does there, and who waits. */
import { customerOf, customers, type Scene } from './scene.js';
import { participants } from './way.js';

export interface Panel {
  readonly title: string;
  readonly scene: Scene;
}

const WIDTH = 960;
const LEFT = 110;
const ROW = 22;
const HEAD = 46;
const FOOT = 34;
const COLOURS = { anna: '#2563a8', ben: '#b45309' } as const;
/** Narrower, and its name would not be read. */
const NAMED_FROM = 60;

export function draw(panels: readonly Panel[]): string {
  let top = 34;
  const drawn = panels.map((panel) => {
    const { svg, height } = drawPanel(panel, top);
    top += height;
    return svg;
  });
  const legend = customers
    .map(
      (who, i) =>
        `<rect x="${LEFT + i * 90}" y="8" width="12" height="12" fill="${COLOURS[who]}"/>${text(LEFT + 18 + i * 90, 18, who)}`,
    )
    .join('');
  const held = `<rect x="${LEFT + 190}" y="8" width="24" height="12" class="hold"/>${text(LEFT + 220, 18, 'holds the jar, undecided')}`;
  const wait = `<rect x="${LEFT + 400}" y="8" width="24" height="12" class="wait"/>${text(LEFT + 430, 18, 'waits for a lock')}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" role="img">
<style>text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:14px}.in{fill:#fff}.hold{fill:#f3e3a2;stroke:#c9a227}.wait{fill:#fbdada;stroke:#c0392b;stroke-dasharray:4 3}.lane{stroke:#ddd}.kill{stroke:#c0392b;stroke-width:2}</style>
<rect width="100%" height="100%" fill="#fff"/>
${legend}${held}${wait}
${drawn.join('\n')}
</svg>
`;
}

function drawPanel({ title, scene }: Panel, top: number): { svg: string; height: number } {
  const { spans, holds, waits, killed, ends } = scene;
  const lanes = participants.filter((each) => spans.some(({ at }) => at === each));
  const beganMs = Math.min(...spans.map(({ fromMs }) => fromMs));
  const tookMs = Math.max(...spans.map(({ toMs }) => toMs)) - beganMs;
  const x = (ms: number) => LEFT + ((ms - beganMs) / tookMs) * (WIDTH - LEFT - 20);
  const rowOf = (lane: string, who: string) =>
    top + HEAD + (lanes.indexOf(lane as (typeof lanes)[number]) * 2 + customers.indexOf(who as 'anna')) * ROW;
  const bar = (fromMs: number, toMs: number, y: number, paint: string, name: string, shade = 'in') => {
    const [from, wide] = [x(fromMs), Math.max(2, x(toMs) - x(fromMs))];
    const label = wide > NAMED_FROM ? text(from + 4, y + 14, name, shade) : '';
    const rect = `<rect x="${round(from)}" y="${y + 2}" width="${round(wide)}" height="${ROW - 5}" ${paint}>`;
    return `${rect}<title>${name}: ${Math.round(fromMs - beganMs)} to ${Math.round(toMs - beganMs)} ms</title></rect>${label}`;
  };
  const parts = [text(10, top + 22, title, 'title')];
  for (const lane of lanes) {
    const y = rowOf(lane, 'anna');
    parts.push(text(10, y + 20, lane), `<path d="M10 ${y - 1}H${WIDTH - 20}" class="lane"/>`);
  }
  for (const { orderId, fromMs, toMs } of holds)
    parts.push(bar(fromMs, toMs, rowOf('inventory', customerOf(orderId)), 'class="hold"', 'held', ''));
  for (const { name, at, orderId, fromMs, toMs } of spans) {
    const who = customerOf(orderId);
    parts.push(bar(fromMs, toMs, rowOf(at, who), `fill="${COLOURS[who]}"`, name));
  }
  // Upon the step that took so long because it waited.
  for (const { who, forWhom, fromMs, toMs } of waits)
    parts.push(bar(fromMs, toMs, rowOf('inventory', who), 'class="wait"', `waits for ${forWhom}`, ''));
  if (killed) {
    const end = top + HEAD + lanes.length * 2 * ROW;
    for (const [ms, words] of [
      [killed.atMs, 'killed'],
      [killed.untilMs, 'there again'],
    ] as const)
      parts.push(
        `<path d="M${round(x(ms))} ${top + HEAD - 8}V${end}" class="kill"/>`,
        text(x(ms), top + HEAD - 12, words),
      );
  }
  const foot = top + HEAD + lanes.length * 2 * ROW + 16;
  parts.push(
    text(LEFT, foot, `${Math.round(tookMs)} ms. anna: ${ends.anna.split(',')[0]}; ben: ${ends.ben.split(',')[0]}`),
  );
  return { svg: parts.join('\n'), height: HEAD + lanes.length * 2 * ROW + FOOT };
}

const round = (n: number) => n.toFixed(1);
const text = (x: number, y: number, words: string, className = '') =>
  `<text x="${round(x)}" y="${y}"${className && ` class="${className}"`}>${words}</text>`;
