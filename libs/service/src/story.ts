/** What a service tells of an order: the events of the order's own streams, and since when its read models show each. */
import { z } from 'zod';
import { orderId } from '#contracts';
import { categoryOf, type EventMetadata, type RecordedEvent, withUpcasters } from '#event-store';
import type { ServiceDefinition } from './definition.js';
import type { ServicePorts } from './ports.js';

const instant = z.iso.datetime();

export const storyFact = z
  .object({
    id: z.string(),
    service: z.string(),
    stream: z.string(),
    revision: z.int(),
    position: z.string().describe('Decimal digits'),
    type: z.string(),
    data: z.looseObject({}).describe('Without what is sealed'),
    recordedAt: instant,
    correlationId: z.string(),
    causationId: z.string(),
    traceparent: z.string().optional(),
    actor: z.string().optional(),
    reason: z.string().optional(),
    message: z
      .object({ topic: z.string(), partition: z.int(), offset: z.string() })
      .optional()
      .describe('The message that led to it; absent when a request or a loop did, and for old events'),
    shown: z
      .record(z.string(), instant.nullable())
      .describe(
        'By read model: since when it shows the event; null while it does not. One whose instant is not kept is left out',
      ),
  })
  .meta({ id: 'StoryFact' });

export type StoryFact = z.infer<typeof storyFact>;

/** What is to come of an order, and what a person's decision would do now. */
export const ahead = z
  .object({
    awaits: z.array(z.object({ what: z.string(), from: z.string(), since: instant, reminderAt: instant.optional() })),
    deadlineAt: instant.optional(),
    choices: z.array(
      z.object({
        name: z.string(),
        allowed: z.boolean(),
        code: z.string().optional().describe('Of the refusal, when it is not allowed'),
        detail: z.string(),
      }),
    ),
  })
  .meta({ id: 'Ahead' });

export type Ahead = z.infer<typeof ahead>;

/** What was asked of somebody outside of the shop, by the events that say so. */
export const exchange = z
  .object({
    what: z.string().describe('What was asked for; `tell` where the other side told something by itself'),
    asked: z.string().optional().describe('The id of the fact that asks'),
    answer: z.string().optional().describe('The id of the fact that is the answer; absent as long as there is none'),
    by: z.enum(['call', 'webhook']).optional().describe('How the answer came'),
    dropped: z.literal(true).optional().describe('Nobody waits for the answer any longer'),
  })
  .meta({ id: 'Exchange' });

export type Exchange = z.infer<typeof exchange>;

export const orderStory = z
  .object({
    orderId,
    facts: z.array(storyFact),
    ahead: ahead.optional(),
    exchanges: z.array(exchange).optional().describe('With the payment provider, in the payment service'),
  })
  .meta({ id: 'OrderStory' });

export type OrderStory = z.infer<typeof orderStory>;

/**
 * Fields of events that nobody can read, sealed payment tokens, recipients and digests, or that nobody should: a token of an
 * old order is as good as money. No answer shows them.
 */
const SEALED = new Set(['token', 'paymentToken', 'tokenDigest', 'recipient', 'recipientDigest']);

export function withoutSealed(data: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).filter(([name]) => !SEALED.has(name)));
}

/**
 * The story of an order as far as a service knows it. The streams that it publishes are about one order each.
 * @throws NotFound when the service says of its orders what is ahead, and there is no such order
 */
export async function storyOf(
  definition: ServiceDefinition,
  ports: Pick<ServicePorts, 'store' | 'tables' | 'clock'>,
  orderId: string,
): Promise<OrderStory> {
  const store = withUpcasters(ports.store, definition.upcasters);
  const events: RecordedEvent[] = [];
  for (const category of definition.relays) {
    for await (const event of store.read(`${category}-${orderId}`)) events.push(event);
  }
  const ahead = definition.ahead(events, ports.clock.now());
  const shown = await shownOf(definition, ports, events);
  const facts = events.map((event) => ({ ...factOf(definition.name, event), shown: shown.get(event)! }));
  const exchanges = definition.exchanges(events);
  return { orderId, facts, ...(ahead && { ahead }), ...(exchanges && { exchanges }) };
}

/** By event, what `StoryFact.shown` says. */
async function shownOf(
  { projections }: ServiceDefinition,
  { tables }: Pick<ServicePorts, 'tables'>,
  events: readonly RecordedEvent[],
): Promise<Map<RecordedEvent, Record<string, string | null>>> {
  const shown = new Map<RecordedEvent, Record<string, string | null>>(events.map((event) => [event, {}]));
  const followed = projections.map(async (projection) => {
    const about = events.filter(
      (event) => projection.categories.includes(categoryOf(event.stream)) && projection.key(event) !== undefined,
    );
    if (about.length === 0) return;
    const checkpoint = await tables.checkpoint(projection); // Before the instants: what it has not reached may have one by then.
    const instants = await tables.shownAt(
      projection,
      about.map(({ position }) => position),
    );
    for (const event of about) {
      const at = instants.get(event.position)?.toISOString() ?? (event.position > checkpoint ? null : undefined);
      if (at !== undefined) shown.get(event)![projection.name] = at;
    }
  });
  await Promise.all(followed);
  return shown;
}

/** An event of a service as it is shown to whoever may see it. */
export function factOf(service: string, event: RecordedEvent): Omit<StoryFact, 'shown'> {
  const { id, stream, revision, position, type, data, recordedAt, metadata } = event;
  const { schema: _, message, ...cause } = metadata;
  return {
    id,
    service,
    stream,
    revision,
    position: String(position),
    type,
    data: withoutSealed(data),
    recordedAt,
    ...cause,
    ...(message !== undefined && { message: placeOf(message) }),
  };
}

/** `order.events.v1/3/4711`, taken apart. */
function placeOf(message: NonNullable<EventMetadata['message']>): NonNullable<StoryFact['message']> {
  const [topic, partition, offset] = message.split('/') as [string, string, string];
  return { topic, partition: Number(partition), offset };
}

/** By time; those of one service stay in the order of its store, whatever its instances' clocks say. */
export function byTime<F extends Pick<StoryFact, 'service' | 'recordedAt'>>(facts: readonly F[]): F[] {
  const latest = new Map<string, string>();
  const timed = facts.map((fact) => {
    const before = latest.get(fact.service) ?? '';
    const at = fact.recordedAt > before ? fact.recordedAt : before;
    latest.set(fact.service, at);
    return { fact, at };
  });
  return timed.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ fact }) => fact);
}
