/** What happened in a world, as a person reads it. */

/** The id of the order that item `n` of the plan places, and back. */
export function orderIdOf(n: number): string {
  return `00000000-0000-4000-a000-${n.toString(16).padStart(12, '0')}`;
}

export function orderOf(orderId: string): number {
  return Number.parseInt(orderId.slice(-12), 16);
}

export interface Told {
  /** Virtual milliseconds since the beginning. */
  readonly atMs: number;
  readonly who: string;
  readonly text: string;
  /** The ids of the orders that it is about; none when it concerns all. */
  readonly orders: readonly string[];
}

/** The lines that concern these orders (all, when none is named), with times and names in columns. */
export function timeline(story: readonly Told[], orders: ReadonlySet<string>): string[] {
  const concerned = story.filter(
    (told) => told.orders.length === 0 || orders.size === 0 || told.orders.some((id) => orders.has(id)),
  );
  const width = Math.max(0, ...concerned.map(({ who }) => who.length));
  return concerned.map(({ atMs, who, text }) => `${timeOf(atMs).padStart(14)}  ${who.padEnd(width)}  ${inWords(text)}`);
}

/** Orders are called by the number of the item that placed them. */
export function inWords(text: string): string {
  return text.replace(
    /(?:(o|O)rder )?(?:\w+-)?(00000000-0000-4000-a000-[0-9a-f]{12})/g,
    (_, first: string | undefined, id: string) => `${first ?? 'o'}rder ${orderOf(id)}`,
  );
}

export function timeOf(ms: number): string {
  const days = Math.floor(ms / 86_400_000);
  const clock = new Date(Math.floor(ms)).toISOString().slice(11, 23);
  return days > 0 ? `${days} d ${clock}` : clock;
}
