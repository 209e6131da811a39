/** What became of each order of a world, in the form in which the console shows the orders of a shop. */
import type { Story, StoryTrouble } from '../../apps/gateway/src/api.js';
import { type Service, services, shop } from '../../apps/shop.js';
import { idOf, MemoryEventStore } from '#event-store';
import { byTime, storyOf } from '#service';
import { describe, type Item } from './plan.js';
import type { Servers } from './process.js';
import { type Scheduler, VirtualClock } from './scheduler.js';

interface Told {
  readonly servers: Readonly<Record<Service, Servers>>;
  readonly scheduler: Scheduler;
  /** When items of the plan had an effect for the first time, by their numbers. */
  readonly struckMs: ReadonlyMap<number, number>;
}

/** In the order in which the orders were placed. */
export async function storiesOf(world: Told, items: readonly Item[]): Promise<Story[]> {
  const placed = world.servers.order.events.all.filter(({ type }) => type === 'OrderPlaced');
  const troubles = troublesOf(world, items);
  return Promise.all(placed.map(({ stream }) => storyIn(world, idOf(stream), troubles)));
}

async function storyIn({ servers, scheduler }: Told, orderId: string, all: readonly StoryTrouble[]): Promise<Story> {
  const clock = new VirtualClock(scheduler);
  const parts = await Promise.all(
    services.map((service) => {
      const { events, tables } = servers[service];
      const store = new MemoryEventStore(clock, events);
      return storyOf(shop[service], { store, tables, clock }, orderId);
    }),
  );
  const facts = byTime(parts.flatMap((part) => part.facts));
  const ahead = parts.find((part) => part.ahead)?.ahead;
  const exchanges = parts.find((part) => part.exchanges)?.exchanges;
  const story: Story = {
    orderId,
    at: clock.now().toISOString(),
    complete: true,
    missing: [],
    facts,
    ...(ahead && { ahead }),
    ...(exchanges && { exchanges }),
  };
  return withTroubles(story, all);
}

/**
 * A story with those of the troubles that struck while it went on. What is over has its end on the right, and not the time
 * that passed until it was told: in a world, the days in which something more might have happened.
 */
export function withTroubles({ ahead, ...story }: Story, all: readonly StoryTrouble[]): Story {
  const shown = story.facts.flatMap((fact) => Object.values(fact.shown));
  const instants = [...story.facts.map(({ recordedAt }) => recordedAt), ...shown.filter((at) => at !== null)];
  const [first, last] = [story.facts[0]!.recordedAt, instants.reduce((latest, at) => (at > latest ? at : latest))];
  const isOver = !ahead?.awaits.length && ahead?.deadlineAt === undefined && !shown.includes(null);
  const at = isOver ? last : story.at;
  const troubles = all.filter((trouble) => trouble.at >= first && trouble.at <= at);
  return { ...story, at, ...(!isOver && ahead && { ahead }), troubles };
}

/** What people want is no trouble, though they may want it at the wrong moment. */
const WISHES: readonly Item['kind'][] = [
  'order',
  'cancel',
  'erasure',
  'receipt',
  'recount',
  'price',
  'operator',
  'inboxes',
  'second-instance',
];

export const isTrouble = ({ kind }: Item): boolean => !WISHES.includes(kind);

function troublesOf({ struckMs }: Told, items: readonly Item[]): StoryTrouble[] {
  const struck = items.flatMap((item) => {
    const ms = struckMs.get(item.n);
    if (ms === undefined || !isTrouble(item)) return [];
    const service = whereOf(item);
    return [{ at: new Date(Math.floor(ms)).toISOString(), ...(service && { service }), what: describe(item) }];
  });
  return struck.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

function whereOf(item: Item): Service | undefined {
  if ('service' in item) return item.service;
  if ('at' in item) return item.at.service;
  return item.kind === 'leap' ? undefined : 'payment'; // The provider is asked by payment alone.
}
