/**
 * Where a story's facts stand. Time goes to the right, and not in proportion: what happens within milliseconds has to be
 * told apart, and an hour in which nothing happens must not fill the screen. A distance grows with the logarithm of the
 * time, up to a limit, and a gap says how long it was.
 *
 *   order      ●───────────────●         facts, with a row below for each read model: a line leads from a fact
 *     summary   ╲─○             ╲─○      to the instant at which it was shown
 *   bus             ◆       ◆            messages, where a line from a cause to its effect crosses
 *   inventory          ●
 *   payment               ●───●
 *   provider              ├───┤          what payment asked it, until the answer: one that is still awaited is open
 */
import type { Exchange, Story, StoryFact, StoryTrouble } from '../../../gateway/src/api.js';

export interface Point {
  readonly fact: StoryFact;
  readonly label: string;
  readonly x: number;
  readonly y: number;
}

export interface Lane {
  readonly name: string;
  readonly y: number;
  readonly height: number;
  /** Where its facts, or messages, stand. */
  readonly center: number;
  readonly readModels: readonly { readonly name: string; readonly y: number }[];
}

export interface Link {
  readonly from: Point;
  readonly to: Point;
  /** Where it crosses the bus. */
  readonly bus?: { readonly x: number; readonly y: number };
}

/** A read model's row has the fact from `at` on; undefined while it has not. */
export interface Showing {
  readonly point: Point;
  readonly y: number;
  readonly readModel: string;
  readonly at: string | undefined;
  readonly x: number;
}

/** Something that went wrong, in the lane of the service that it struck, or above all. */
export interface Strike {
  readonly trouble: StoryTrouble;
  readonly x: number;
  /** Where it was over, if that is told. */
  readonly untilX?: number;
  readonly y: number;
}

/** Something that the provider was asked, or told: `from` the fact that asks, `to` the one that is the answer. */
export interface Asking {
  readonly exchange: Exchange;
  readonly label: string;
  readonly from: Point | undefined;
  readonly to: Point | undefined;
  readonly y: number;
}

export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly ms: number;
}

export interface Layout {
  readonly lanes: readonly Lane[];
  readonly points: readonly Point[];
  readonly links: readonly Link[];
  readonly showings: readonly Showing[];
  readonly gaps: readonly Gap[];
  readonly strikes: readonly Strike[];
  readonly askings: readonly Asking[];
  /** When something happened, or was shown, in order; the last is now. */
  readonly instants: readonly string[];
  readonly nowX: number;
  readonly height: number;
  xOf(at: string): number;
}

const TOP = 34;
const FACT_ROW = 62;
const READ_MODEL_ROW = 22;
const LANE_PADDING = 12;
const LANE_GAP = 8;
const LEFT = 64;
/** What a letter of a label takes at most, and what is left free between two. */
const LETTER = 6.8;
const LABEL_GAP = 14;
const MIN_STEP = 22;
const MAX_STEP = 130;
/** How far below the upper edge of a lane what struck there stands. */
const STRIKE_BELOW = 10;
/** What stands out as a gap. */
const GAP_MS = 1_000;

const BUS = 'bus';
const PROVIDER = 'provider';
/** Askings of one order can overlap: they take turns in two rows. */
const ASKING_ROW = 24;

export function layOut(story: Story): Layout {
  const { facts } = story;
  const lanes = lanesOf(story);
  const laneOf = new Map(lanes.map((lane) => [lane.name, lane]));
  const { xs, anchors, gaps } = spread(facts, story.at);
  const xOf = (at: string) => between(anchors, Date.parse(at));
  const points = facts.map((fact, i) => ({
    fact,
    label: labelOf(fact),
    x: xs[i]!,
    y: laneOf.get(fact.service)!.center,
  }));

  const byId = new Map(points.map((point) => [point.fact.id, point]));
  const bus = laneOf.get(BUS);
  const links = points.flatMap((to) => {
    const from = byId.get(to.fact.causationId ?? '');
    return from && from !== to ? [linkOf(from, to, bus)] : [];
  });

  const showings = points.flatMap((point) =>
    laneOf.get(point.fact.service)!.readModels.flatMap(({ name, y }): Showing[] => {
      const at = point.fact.shown[name];
      if (at === undefined) return [];
      const nowX = anchors.at(-1)!.x;
      if (at === null) return [{ point, y, readModel: name, at: undefined, x: nowX }];
      return [{ point, y, readModel: name, at, x: Math.max(point.x, Math.min(xOf(at), nowX)) }];
    }),
  );

  const provider = laneOf.get(PROVIDER);
  const askings = (story.exchanges ?? []).flatMap((exchange, i): Asking[] => {
    const [from, to] = [exchange.asked, exchange.answer].map((id) => byId.get(id ?? ''));
    if (!provider || !(from ?? to)) return [];
    const label = from ? exchange.what : labelOf(to!.fact);
    return [{ exchange, label, from, to, y: provider.y + (1 + (i % 2)) * ASKING_ROW }];
  });

  const strikes = (story.troubles ?? []).map((trouble) => {
    const lane = laneOf.get(trouble.service ?? '');
    const untilX = trouble.until === undefined ? {} : { untilX: xOf(trouble.until) };
    return { trouble, x: xOf(trouble.at), ...untilX, y: lane ? lane.y + STRIKE_BELOW : TOP - STRIKE_BELOW };
  });

  const happened = facts.flatMap(({ recordedAt, shown }) => [
    recordedAt,
    ...Object.values(shown).filter((at) => at !== null),
  ]);
  const instants = [...new Set(happened)].filter((at) => at < story.at).sort();
  const last = lanes.at(-1);
  return {
    lanes,
    points,
    links,
    showings,
    gaps,
    strikes,
    askings,
    instants: [...instants, story.at],
    nowX: anchors.at(-1)!.x,
    height: last ? last.y + last.height + LANE_GAP : TOP,
    xOf,
  };
}

function lanesOf({ facts, exchanges = [] }: Story): Lane[] {
  const services = [...new Set(facts.map(({ service }) => service))].sort();
  const serviceOf = new Map(facts.map(({ id, service }) => [id, service]));
  const hasCrossed = ({ message, causationId, service }: StoryFact) =>
    message !== undefined || (serviceOf.get(causationId ?? '') ?? service) !== service;
  // The order tells the whole saga, and messages go from it or to it: between it and the others they cross the bus.
  const names = [
    ...services.filter((name) => name === 'order'),
    ...(facts.some(hasCrossed) ? [BUS] : []),
    ...services.filter((name) => name !== 'order'),
    ...(exchanges.length > 0 ? [PROVIDER] : []),
  ];
  let y = TOP;
  return names.map((name) => {
    const ofIt = facts.filter(({ service }) => service === name);
    const readModels = [...new Set(ofIt.flatMap(({ shown }) => Object.keys(shown)))].sort();
    const row = ROWS.get(name) ?? FACT_ROW;
    const height = row + readModels.length * READ_MODEL_ROW + LANE_PADDING;
    const lane = {
      name,
      y,
      height,
      center: y + (ROWS.has(name) ? height / 2 : 44),
      readModels: readModels.map((name, i) => ({ name, y: y + row + (i + 0.5) * READ_MODEL_ROW })),
    };
    y += height + LANE_GAP;
    return lane;
  });
}

/** The heights of lanes that have no facts of their own. */
const ROWS: ReadonlyMap<string, number> = new Map([
  [BUS, READ_MODEL_ROW],
  [PROVIDER, 2.5 * ASKING_ROW],
]);

interface Anchor {
  readonly ms: number;
  readonly x: number;
}

/** Where each fact stands, and now. */
function spread(facts: readonly StoryFact[], at: string) {
  const gaps: Gap[] = [];
  const anchors: Anchor[] = [];
  /** Where the last label of each lane ends. */
  const endOf = new Map<string, number>();
  const place = (ms: number, lane: string, label: string) => {
    const previous = anchors.at(-1);
    // A clock that was set back must not lead to the left.
    const passed = previous ? Math.max(ms - previous.ms, 0) : 0;
    const after = previous ? previous.x + stepOf(passed) : LEFT;
    const half = (label.length * LETTER) / 2;
    const x = Math.max(after, (endOf.get(lane) ?? -LABEL_GAP) + LABEL_GAP + half);
    if (previous && passed >= GAP_MS) gaps.push({ from: previous.x, to: x, ms: passed });
    anchors.push({ ms: Math.max(ms, previous?.ms ?? ms), x });
    endOf.set(lane, x + half);
    return x;
  };
  const xs = facts.map((fact) => place(Date.parse(fact.recordedAt), fact.service, labelOf(fact)));
  place(Date.parse(at), 'now', 'now');
  return { xs, anchors, gaps };
}

const stepOf = (ms: number) => Math.min(MIN_STEP + 16 * Math.log2(1 + ms / 4), MAX_STEP);

/** Within a gap, too, early milliseconds get more room than late ones: a read model shows a fact soon after it. */
function between(anchors: readonly Anchor[], ms: number): number {
  let low = 0;
  let high = anchors.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (anchors[middle]!.ms <= ms) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [anchors[low - 1], anchors[low]];
  if (!before) return anchors[0]!.x;
  if (!after) return before.x;
  const part = Math.log1p((ms - before.ms) / 4) / Math.log1p((after.ms - before.ms) / 4);
  return before.x + (after.x - before.x) * part;
}

function linkOf(from: Point, to: Point, bus: Lane | undefined): Link {
  if (!bus || from.fact.service === to.fact.service) return { from, to };
  const part = (bus.center - from.y) / (to.y - from.y);
  const x = part > 0 && part < 1 ? from.x + (to.x - from.x) * part : (from.x + to.x) / 2;
  return { from, to, bus: { x, y: bus.center } };
}

/** `OrderStockReserved` of the stream `order-…` is `Stock reserved`: its lane says whose it is. */
export function labelOf({ type, stream }: Pick<StoryFact, 'type' | 'stream'>): string {
  const category = stream.split('-', 1)[0]!;
  const own =
    type.toLowerCase().startsWith(category) && type.length > category.length ? type.slice(category.length) : type;
  const spaced = own.replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** What was known at an instant: how many facts there were, and how many of those that it shows each read model showed. */
export function knownAt(
  { facts }: Story,
  at: string,
): {
  readonly facts: number;
  readonly readModels: readonly { readonly name: string; readonly shown: number; readonly of: number }[];
} {
  const known = facts.filter(({ recordedAt }) => recordedAt <= at);
  const names = [...new Set(known.flatMap(({ shown }) => Object.keys(shown)))].sort();
  const readModels = names.map((name) => {
    const instants = known.map(({ shown }) => shown[name]).filter((shownAt) => shownAt !== undefined);
    return { name, shown: instants.filter((shownAt) => shownAt !== null && shownAt <= at).length, of: instants.length };
  });
  return { facts: known.length, readModels };
}

/** Whether something is still to come of itself. */
export function isMoving({ ahead }: Pick<Story, 'ahead'>): boolean {
  return ahead !== undefined && ahead.awaits.length > 0;
}
