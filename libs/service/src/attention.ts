/** The attention inbox of a service: cases that the program may not decide alone, and what a person decides about them. */
import { z } from 'zod';
import { line, money, orderId } from '#contracts';
import { NotFound } from '#decider';
import type { Cause } from '#event-store';
import type { Projection, Tables } from '#projections';
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

/** The place of a case in the inbox: since when its row is there, and its order. */
export interface InboxPlace {
  /** ISO 8601. */
  readonly since: string;
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
  count: async () => 0,
  resolve: async () => {
    throw new NotFound('order-not-found', 'No order waits for a decision in this service.');
  },
};

/**
 * The inbox of what is due in a to-do list. `itemOf` describes a row for a person; undefined when what the row is about has
 * ended, and the row will go.
 */
export function inboxOf<R extends { order_id: string }>(
  tables: Tables,
  projection: Projection<R, any>,
  column: keyof R & string,
  dueUntil: () => Date,
  itemOf: (row: R) => Promise<AttentionItem | undefined>,
): Pick<Attention, 'inbox' | 'count'> {
  return {
    async inbox({ limit, after }) {
      const place = after && ({ [column]: after.since, order_id: after.orderId } as unknown as Partial<R>);
      const found = await tables.due(projection, column, dueUntil(), limit + 1, place);
      const rows = found.slice(0, limit);
      const items = (await Promise.all(rows.map(itemOf))).filter((item) => item !== undefined);
      const last = found.length > limit ? rows.at(-1) : undefined;
      return { items, ...(last && { next: { since: last[column] as string, orderId: last.order_id } }) };
    },

    count: () => tables.countDue(projection, column, dueUntil()),
  };
}
