/**
 * The last ten minutes of the shop's figures, as this browser has seen them: one reading after another. What was not known
 * at a reading is a hole in its line, and so is the time in which nobody read.
 */
import type { CircuitState, Flow } from '../../../gateway/src/api.js';

export const KEPT_MS = 600_000;
/** Two readings that are further apart have something between them that nobody has seen. */
const GAP_MS = 6_000;
/** Readings come every other second; more are asked for when much happens to the page. */
const LEAST_MS = 1_000;

const PLOTS = ['orders', 'times', 'relays', 'consumers', 'readModels', 'circuits'] as const;

export type PlotName = (typeof PLOTS)[number];

/** By the name of a line, its value. One that is not there is not known. */
type Values = Readonly<Record<string, number>>;

export type Figures = Readonly<Record<PlotName, Values>>;

export interface Reading {
  /** By the clock of this browser. */
  readonly atMs: number;
  /** Absent where nothing is known. */
  readonly figures?: Figures;
}

/** From closed to open, so that trouble is up. */
export const CIRCUIT_STATES: readonly CircuitState[] = ['closed', 'half-open', 'open'];

export function figuresOf({ services, instances }: Flow): Figures {
  const orders = services.find((each) => each.orders)?.orders;
  const { medianMs, p99Ms } = orders?.toSettle ?? {};
  const perService = (valueOf: (each: Flow['services'][number]) => number | undefined) =>
    known(services.map((each) => [each.service, valueOf(each)]));
  return {
    orders: known([
      ['placed', orders && orders.placed / orders.seconds],
      ['settled', orders && orders.settled / orders.seconds],
    ]),
    times: known([
      ['median', medianMs],
      ['99th percentile', p99Ms],
    ]),
    relays: perService(({ relay }) => relay?.seconds),
    consumers: perService(({ consumer }) => consumer?.unread),
    readModels: perService(({ readModels }) => longest(readModels?.map(({ seconds }) => seconds))),
    circuits: known(
      instances.flatMap(({ name, circuits = {} }) =>
        Object.entries(circuits).map(([to, state]) => [`${to}, from ${name}`, CIRCUIT_STATES.indexOf(state)]),
      ),
    ),
  };
}

function known(values: readonly (readonly [name: string, value: number | undefined])[]): Values {
  return Object.fromEntries(values.filter((each): each is [string, number] => each[1] !== undefined));
}

/** Unknown as soon as one is: it may be the longest. */
function longest(seconds: readonly (number | undefined)[] | undefined): number | undefined {
  return seconds && seconds.every((each) => each !== undefined) ? Math.max(0, ...seconds) : undefined;
}

/** The readings with one more, and without those that are too old. */
export function withReading(readings: readonly Reading[], figures: Figures, atMs: number): readonly Reading[] {
  // Whose clock was set back has seen nothing after now.
  const kept = readings.filter((each) => each.atMs < atMs && each.atMs >= atMs - KEPT_MS);
  const last = kept.at(-1);
  if (last && atMs - last.atMs < LEAST_MS) return kept;
  const gap = last && atMs - last.atMs > GAP_MS ? [{ atMs: last.atMs + 1 }] : [];
  return [...kept, ...gap, { atMs, figures }];
}

export interface Line {
  readonly name: string;
  /** At each reading; null where it is not known. */
  readonly values: readonly (number | null)[];
}

/** What a plot draws: a line for every name that had a value meanwhile. */
export function linesOf(readings: readonly Reading[], plot: PlotName): Line[] {
  const names = new Set(readings.flatMap(({ figures }) => Object.keys(figures?.[plot] ?? {})));
  return [...names].map((name) => ({ name, values: readings.map(({ figures }) => figures?.[plot][name] ?? null) }));
}

/** The last value, if the last reading has it, and the highest. */
export function summaryOf({ values }: Line): { readonly now: number | undefined; readonly highest: number } {
  return { now: values.at(-1) ?? undefined, highest: Math.max(...values.filter((each) => each !== null)) };
}
