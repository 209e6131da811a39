/** The attention inbox of a service: cases that the program may not decide alone, and what a person decides about them. */
import { z } from 'zod';
import { line, money, orderId } from '#contracts';
import { NotFound } from '#decider';
import type { Cause, RecordedEvent } from '#event-store';
import type { Attended, Projection, Tables } from '#projections';
import { decisionReason } from './free-text.js';

const choice = z.enum(['retry', 'call-off', 'accept']);

export const attentionItem = z.object({
  orderId,
  since: z.iso.datetime().describe('Since when a person is waited for'),
  happened: z.string(),
  held: z
    .object({
      lines: z.array(line.extend({ state: z.string().describe('reserved, shipped, released, …') })),
      money: money.extend({ state: z.string().describe('held, captured, given back, …') }).optional(),
    })
    .describe('What the order holds, as far as this service knows'),
  tried: z.array(z.object({ at: z.iso.datetime(), what: z.string() })),
  choices: z.array(z.object({ decision: choice, effect: z.string() })),
});

export type AttentionItem = z.infer<typeof attentionItem>;

export const resolution = z.strictObject({
  decision: choice.describe('One of the choices of the item'),
  ...decisionReason,
});

export type Resolution = z.infer<typeof resolution>;

export const pastCase = z
  .object({
    orderId,
    at: z.iso.datetime().describe('When a person decided last, or when it left the inbox by itself'),
    decisions: z
      .array(z.object({ at: z.iso.datetime(), decision: choice, by: z.string(), reason: z.string() }))
      .describe('Oldest first; none when it ended by itself'),
    became: z.string().describe('What became of the order, as of now and as far as this service knows'),
    isOver: z.boolean().describe('Whether nothing more will happen'),
  })
  .meta({ id: 'PastCase' });

export type PastCase = z.infer<typeof pastCase>;

/** The place of a case in the inbox: since when its row is there, and its order. */
export interface InboxPlace {
  /** ISO 8601. */
  readonly since: string;
  readonly orderId: string;
}

/** The place of a case among those that are past. */
export interface PastPlace {
  /** ISO 8601. */
  readonly at: string;
  readonly orderId: string;
}

/** What a service offers for its inbox. */
export interface Attention {
  /**
   * The cases that wait for a person, longest first, of at most `limit` rows: one that has just ended is left out. `next`
   * is where the next page begins, if there is one.
   */
  inbox(page: { readonly limit: number; readonly after?: InboxPlace | undefined }): Promise<{
    readonly items: readonly AttentionItem[];
    readonly next?: InboxPlace;
  }>;
  /** The cases that a person decided about, or that ended by themselves, latest first; those that follow `after`. */
  past(page: { readonly limit: number; readonly after?: PastPlace | undefined }): Promise<readonly PastCase[]>;
  /** How many cases wait. */
  count(): Promise<number>;
  /**
   * Carries out a decision of `cause.actor`. Repeating it changes nothing. Returns the position of what was written, if anything was.
   * @throws DomainError when this service knows no such order, or when the decision no longer applies
   */
  resolve(orderId: string, decision: Resolution, cause: Cause): Promise<{ position: bigint } | undefined>;
}

/** The inbox of a service in which nothing waits for a person. */
export const emptyInbox: Attention = {
  inbox: async () => ({ items: [] }),
  past: async () => [],
  count: async () => 0,
  resolve: async () => {
    throw new NotFound('order-not-found', 'No order waits for a decision in this service.');
  },
};

interface InboxRow extends Attended {
  order_id: string;
}

/**
 * The inbox of what is due in a to-do list. `itemOf` describes a row for a person; undefined when what the row is about has
 * ended, and the row will leave the inbox. `pastOf` describes one that was attended to.
 */
export function inboxOf<R extends InboxRow>(
  tables: Tables,
  projection: Projection<R, any>,
  dueUntil: () => Date,
  itemOf: (row: R) => Promise<AttentionItem | undefined>,
  pastOf: (row: R) => Promise<PastCase>,
): Pick<Attention, 'inbox' | 'past' | 'count'> {
  return {
    async inbox({ limit, after }) {
      const place = after && ({ attention_at: after.since, order_id: after.orderId } as Partial<R>);
      const found = await tables.due(projection, 'attention_at', dueUntil(), limit + 1, place);
      const rows = found.slice(0, limit);
      const items = (await Promise.all(rows.map(itemOf))).filter((item) => item !== undefined);
      const last = found.length > limit ? rows.at(-1) : undefined;
      return { items, ...(last && { next: { since: last.attention_at!, orderId: last.order_id } }) };
    },

    async past({ limit, after }) {
      const place = after && ({ attended_at: after.at, order_id: after.orderId } as Partial<R>);
      return Promise.all((await tables.latest(projection, 'attended_at', limit, place)).map(pastOf));
    },

    count: () => tables.countDue(projection, 'attention_at', dueUntil()),
  };
}

/** What people decided, oldest first, by the events that the decisions led to; `decisionOf` a type of event. */
export function decisionsIn(
  events: readonly RecordedEvent[],
  decisionOf: (type: string) => Resolution['decision'] | undefined,
): PastCase['decisions'] {
  return events.flatMap(({ type, recordedAt: at, metadata: { actor, reason } }) => {
    const decision = decisionOf(type);
    return decision && actor !== undefined && reason !== undefined ? [{ at, decision, by: actor, reason }] : [];
  });
}
