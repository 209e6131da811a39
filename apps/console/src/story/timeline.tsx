/** The picture of a story: layout.ts says what stands where. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Ahead, Story } from '../../../gateway/src/api.js';
import { duration, timeOf } from '../format.js';
import { type Asking, isMoving, layOut, type Layout, type Point } from './layout.js';

/** What is drawn to the left and right of what is seen, so that scrolling finds it there. */
const MARGIN = 600;
/** What is to come stands this far to the right of now. */
const AHEAD_STEP = 130;
const RIGHT = 48;

interface Props {
  readonly story: Story;
  /** The instant that is looked at; undefined is now. */
  readonly at: string | undefined;
  readonly selected: string | undefined;
  readonly onSelect: (factId: string) => void;
}

export function Timeline({ story, at, selected, onSelect }: Props) {
  const layout = useMemo(() => layOut(story), [story]);
  const scroller = useRef<HTMLDivElement>(null);
  const [left, right] = useVisible(scroller);
  const marks = useMemo(() => marksOf(story.ahead, layout), [story, layout]);
  const width = Math.max(layout.nowX, ...marks.map(({ x }) => x)) + RIGHT + (marks.length > 0 ? 80 : 0);
  const cutX = at === undefined ? undefined : layout.xOf(at);
  useFollowed(scroller, layout, cutX, story);

  const isSeen = (x: number, other = x) => Math.max(x, other) > left - MARGIN && Math.min(x, other) < right + MARGIN;
  const isLater = (instant: string | undefined) => at !== undefined && (instant === undefined || instant > at);
  const points = layout.points.filter(({ x }) => isSeen(x));
  // One point takes part in the order of the Tab key; arrows lead from there to the others.
  const entry = points.find(({ fact }) => fact.id === selected) ?? points[0];

  const move = (event: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || layout.points.length === 0) return;
    event.preventDefault();
    const index = layout.points.findIndex(({ fact }) => fact.id === (selected ?? entry?.fact.id));
    const next = layout.points[Math.min(Math.max(index + step, 0), layout.points.length - 1)]!;
    onSelect(next.fact.id);
    scroller.current?.scrollTo({ left: next.x - scroller.current.clientWidth / 2 });
    requestAnimationFrame(() =>
      scroller.current?.querySelector<SVGElement>('[tabindex="0"]')?.focus({ preventScroll: true }),
    );
  };

  return (
    <div class="timeline">
      <div class="lane-names" aria-hidden="true" style={{ height: `${layout.height}px` }}>
        {layout.lanes.map(({ name, center, readModels }) => (
          <div key={name}>
            <strong style={{ top: `${center}px` }}>{name}</strong>
            {readModels.map((each) => (
              <span key={each.name} style={{ top: `${each.y}px` }}>
                {each.name}
              </span>
            ))}
          </div>
        ))}
      </div>
      <div class="scroller" ref={scroller}>
        <svg width={width} height={layout.height} role="group" aria-label="What happened, by time" onKeyDown={move}>
          {layout.lanes.map(({ name, y, height }) => (
            <rect key={name} class="lane" x={0} y={y} width={width} height={height} data-lane={name} />
          ))}
          {layout.gaps.map(({ from, to, ms }) => (
            <g key={from} class="gap">
              <rect x={from + 14} y={24} width={to - from - 28} height={layout.height - 32} />
              <text x={(from + to) / 2} y={16}>
                {duration(ms)}
              </text>
            </g>
          ))}
          {layout.strikes
            .filter(({ x, untilX }) => isSeen(x, untilX))
            .map(({ trouble, x, untilX, y }) => (
              <g key={`${trouble.at} ${trouble.what}`} class="strike" data-later={isLater(trouble.at)}>
                {untilX !== undefined && <line x1={x} y1={y} x2={untilX} y2={y} />}
                <path d={`M${x - 5} ${y - 5} l10 10 m0 -10 l-10 10`} />
                <title>{trouble.what}</title>
              </g>
            ))}
          {layout.showings
            .filter(({ point, x }) => isSeen(point.x, x))
            .map(({ point, x, y, readModel, at: shownAt }) => (
              <g
                key={`${point.fact.id} ${readModel}`}
                class={shownAt === undefined ? 'showing missing' : 'showing'}
                data-later={isLater(shownAt)}
                data-selected={point.fact.id === selected}
              >
                <line x1={point.x} y1={point.y} x2={x} y2={y} />
                <circle cx={x} cy={y} r={3} />
                <title>
                  {shownAt === undefined
                    ? `${readModel} does not show ${point.fact.type} yet`
                    : `${readModel} shows ${point.fact.type} after ${duration(Date.parse(shownAt) - Date.parse(point.fact.recordedAt))}`}
                </title>
              </g>
            ))}
          {layout.links
            .filter(({ from, to }) => isSeen(from.x, to.x))
            .map(({ from, to, bus }) => (
              <g
                key={to.fact.id}
                class="link"
                data-later={isLater(to.fact.recordedAt)}
                data-selected={to.fact.id === selected || from.fact.id === selected}
              >
                <line x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
                {bus && (
                  <rect x={bus.x - 4} y={bus.y - 4} width={8} height={8} transform={`rotate(45 ${bus.x} ${bus.y})`}>
                    <title>
                      {to.fact.message
                        ? `${to.fact.message.topic}, partition ${to.fact.message.partition}, offset ${to.fact.message.offset}`
                        : `A message of ${from.fact.service}`}
                    </title>
                  </rect>
                )}
              </g>
            ))}
          {layout.askings.map((asking) => (
            <AskingView
              key={`${asking.exchange.asked} ${asking.exchange.answer}`}
              of={asking}
              nowX={cutX ?? layout.nowX}
              isLater={isLater}
            />
          ))}
          {points.map((point) => (
            <PointView
              key={point.fact.id}
              of={point}
              isSelected={point.fact.id === selected}
              isEntry={point === entry}
              isLater={isLater(point.fact.recordedAt)}
              onSelect={onSelect}
            />
          ))}
          <g class="now">
            <line x1={cutX ?? layout.nowX} y1={24} x2={cutX ?? layout.nowX} y2={layout.height - 8} />
            <text x={cutX ?? layout.nowX} y={16}>
              {cutX === undefined ? 'now' : timeOf(at!)}
            </text>
          </g>
          {at === undefined &&
            marks.map(({ x, y, label, kind }) => (
              <g key={`${kind} ${label}`} class="mark" data-kind={kind}>
                {kind === 'awaited' ? (
                  <>
                    <line x1={layout.nowX} y1={y} x2={x} y2={y} />
                    <circle cx={x} cy={y} r={7} />
                    <text x={x} y={y - 18}>
                      {label}
                    </text>
                  </>
                ) : (
                  <>
                    <line x1={x} y1={24} x2={x} y2={layout.height - 8} />
                    <text x={x} y={16}>
                      {label}
                    </text>
                  </>
                )}
              </g>
            ))}
        </svg>
      </div>
    </div>
  );
}

/** How long something is drawn that nobody waits for and nobody has answered. */
const DROPPED = 24;

/** From what asks to what answers, and to now while the answer is awaited. */
function AskingView({
  of: { exchange, label, from, to, y },
  nowX,
  isLater,
}: {
  of: Asking;
  nowX: number;
  isLater: (instant: string) => boolean;
}) {
  const answer = to && !isLater(to.fact.recordedAt) ? to : undefined;
  const isAwaited = from !== undefined && !answer && !exchange.dropped;
  const beginX = (from ?? to)!.x;
  const endX = answer?.x ?? (isAwaited ? Math.max(nowX, beginX) : beginX + DROPPED);
  return (
    <g class={isAwaited ? 'asking missing' : 'asking'} data-later={isLater((from ?? to)!.fact.recordedAt)}>
      {[from, answer].map(
        (point) => point && <line key={point.fact.id} x1={point.x} y1={point.y} x2={point.x} y2={y} />,
      )}
      {from && <rect x={beginX} y={y - 3} width={endX - beginX} height={6} rx={3} />}
      {answer && <circle cx={answer.x} cy={y} r={4} />}
      <text x={beginX + 6} y={y - 8}>
        {isAwaited ? `${label}: no answer yet` : label}
      </text>
    </g>
  );
}

/** What a saga does when something goes wrong. */
const IS_TROUBLE = /Rejected|Cancelled|Refused|Declined|Blocked|Moved|HeldTwice|Miscaptured|InPart/;

function PointView({
  of: { fact, label, x, y },
  isSelected,
  isEntry,
  isLater,
  onSelect,
}: {
  of: Point;
  isSelected: boolean;
  isEntry: boolean;
  isLater: boolean;
  onSelect: (factId: string) => void;
}) {
  return (
    <g
      class="point"
      role="button"
      tabindex={isEntry ? 0 : -1} // Of an SVG element the name has to be written so.
      aria-pressed={isSelected}
      aria-label={`${label}, ${fact.service}: ${fact.type}, ${timeOf(fact.recordedAt)}`}
      data-later={isLater}
      data-trouble={IS_TROUBLE.test(fact.type)}
      onClick={() => onSelect(fact.id)}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        onSelect(fact.id);
      }}
    >
      <circle class="reach" cx={x} cy={y} r={18} />
      <circle class="dot" cx={x} cy={y} r={isSelected ? 9 : 7} />
      <text x={x} y={y - 18}>
        {label}
      </text>
    </g>
  );
}

interface Mark {
  readonly kind: 'awaited' | 'reminder' | 'deadline';
  readonly label: string;
  readonly x: number;
  readonly y: number;
}

/** What is to come: what is awaited in the lane that it comes from, then reminders and the deadline in their order. */
function marksOf(ahead: Ahead | undefined, { lanes, nowX }: Layout): Mark[] {
  if (!ahead) return [];
  const heights = new Map(lanes.map(({ name, center }) => [name, center]));
  const awaited = ahead.awaits.flatMap(({ what, from }): Mark[] => {
    const y = heights.get(from);
    return y === undefined ? [] : [{ kind: 'awaited', label: what, x: nowX + AHEAD_STEP / 2, y }];
  });
  const reminders = ahead.awaits.flatMap(({ reminderAt }) => reminderAt ?? []);
  const times = [
    ...[...new Set(reminders)].map((at) => ({ kind: 'reminder' as const, at })),
    ...(ahead.deadlineAt === undefined ? [] : [{ kind: 'deadline' as const, at: ahead.deadlineAt }]),
  ].sort((a, b) => (a.at < b.at ? -1 : 1));
  const marks = times.map(({ kind, at }, i) => ({
    kind,
    label: `${kind} ${timeOf(at).slice(0, 8)}`,
    x: nowX + AHEAD_STEP * (i + 1.2),
    y: 0,
  }));
  return [...awaited, ...marks];
}

/** From where to where the picture is seen. */
function useVisible(scroller: { readonly current: HTMLDivElement | null }): readonly [left: number, right: number] {
  const [visible, setVisible] = useState<readonly [number, number]>([0, 2_000]);
  useLayoutEffect(() => {
    const element = scroller.current!;
    const look = () => setVisible([element.scrollLeft, element.scrollLeft + element.clientWidth]);
    look();
    element.addEventListener('scroll', look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      observer.disconnect();
    };
  }, []);
  return visible;
}

/**
 * Keeps what is new in sight, as long as the end was in sight before, and the instant that is looked at. A story that has
 * ended is read from its beginning.
 */
function useFollowed(
  scroller: { readonly current: HTMLDivElement | null },
  { nowX }: Layout,
  cutX: number | undefined,
  story: Story,
): void {
  const { orderId } = story;
  const seen = useRef<{ orderId: string; nowX: number } | undefined>(undefined);
  useEffect(() => {
    const element = scroller.current!;
    const before = seen.current;
    seen.current = { orderId, nowX };
    if (cutX !== undefined) {
      element.scrollTo({ left: cutX - element.clientWidth / 2 });
    } else if (
      isMoving(story) &&
      (before?.orderId !== orderId || element.scrollLeft + element.clientWidth >= before.nowX)
    ) {
      element.scrollTo({ left: nowX - element.clientWidth * 0.6 });
    }
  }, [nowX, cutX, orderId]);
}
