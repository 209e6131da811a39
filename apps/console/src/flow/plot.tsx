/** A figure over the last ten minutes: a plot for eyes, and a table that says the same of now. */
import { useEffect, useRef } from 'preact/hooks';
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { KEPT_MS, type Line, linesOf, type PlotName, type Reading, summaryOf } from './history.js';

const HEIGHT = 180;
/** Where nothing has a value above that, it is the top. */
const LEAST_TOP = 1;
/** Lines differ by more than their colour. */
const DASHES = [[], [8, 4], [2, 4], [12, 4, 2, 4]];

interface Props {
  readonly title: string;
  readonly readings: readonly Reading[];
  readonly plot: PlotName;
  /** A value, as people read it. */
  readonly say: (value: number) => string;
  /** The values at its side, when there are but a few. */
  readonly steps?: readonly number[];
  /** Why there is nothing. */
  readonly empty: string;
}

export function Plot({ title, readings, plot, say, steps, empty }: Props) {
  const lines = linesOf(readings, plot);
  if (lines.length === 0) return <p class="muted small">{empty}</p>;
  return (
    <>
      <Canvas key={lines.map(({ name }) => name).join()} lines={lines} readings={readings} say={say} steps={steps} />
      <table class="figures">
        <caption class="hidden">{title}</caption>
        <thead>
          <tr>
            <th scope="col">
              <span class="hidden">Line</span>
            </th>
            <th scope="col" class="number">
              Now
            </th>
            <th scope="col" class="number">
              Highest
            </th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line, i) => {
            const { now, highest } = summaryOf(line);
            return (
              <tr key={line.name}>
                <th scope="row">
                  <Sample of={i} /> {line.name}
                </th>
                <td class="number">{now === undefined ? <span class="warn">not known</span> : say(now)}</td>
                <td class="number">{say(highest)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </>
  );
}

/** How a line looks. */
function Sample({ of }: { of: number }) {
  return (
    <svg class="sample" width={28} height={10} aria-hidden="true" data-line={of % DASHES.length}>
      <line x1={0} y1={5} x2={28} y2={5} stroke-dasharray={dashOf(of).join(' ')} />
    </svg>
  );
}

const dashOf = (line: number) => DASHES[line % DASHES.length]!;

function Canvas({
  lines,
  readings,
  say,
  steps,
}: Pick<Props, 'readings' | 'say'> & { readonly lines: readonly Line[]; readonly steps: Props['steps'] }) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | undefined>(undefined);
  const data: UPlot.AlignedData = [
    readings.map(({ atMs }) => atMs / 1_000),
    ...lines.map(({ values }) => values as (number | null)[]),
  ];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const draw = () => {
      plot.current?.destroy();
      plot.current = new UPlot(optionsOf(element.current!, lines, say, steps), latest.current, element.current!);
    };
    draw();
    const fit = new ResizeObserver(() =>
      plot.current!.setSize({ width: element.current!.clientWidth, height: HEIGHT }),
    );
    fit.observe(element.current!);
    scheme.addEventListener('change', draw); // What is painted has its colours for good.
    return () => {
      scheme.removeEventListener('change', draw);
      fit.disconnect();
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(data), [readings]);
  return <div class="plot" ref={element} aria-hidden="true" />;
}

function optionsOf(
  element: HTMLElement,
  lines: readonly Line[],
  say: (value: number) => string,
  steps: Props['steps'],
): UPlot.Options {
  const colour = (name: string) => getComputedStyle(element).getPropertyValue(name);
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { range: ({ data: [times] }) => spanOf(times) },
      y: { range: (_plot, _least, most) => [0, steps ? steps.length - 1 : Math.max(most * 1.1, LEAST_TOP)] },
    },
    axes: [
      {
        ...axis,
        values: (_plot, splits, _axis, _space, step) =>
          splits.map((at) => (step < 60 ? withSeconds : minutes).format(at * 1_000)),
      },
      {
        ...axis,
        size: 64,
        values: (_plot, splits) => splits.map(say),
        ...(steps && { splits: () => [...steps] }),
      },
    ],
    series: [
      {},
      ...lines.map(({ name }, i) => ({
        label: name,
        stroke: colour(`--line-${i % DASHES.length}`),
        width: 2,
        dash: dashOf(i),
        points: { show: false },
        ...(steps && { paths: UPlot.paths.stepped!({ align: 1 }) }),
      })),
    ],
  };
}

/** From when to when: as long as there have been readings, and a minute at least. */
function spanOf(times: ArrayLike<number>): [from: number, to: number] {
  const now = times[times.length - 1] ?? 0;
  return [Math.max(now - KEPT_MS / 1_000, Math.min(times[0] ?? now, now - 60)), now];
}

const minutes = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const withSeconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
