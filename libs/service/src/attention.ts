/** The attention inbox of a service: what the program may not decide alone, and what a person decides about it. */
import { z } from 'zod';
import { line, money, orderId } from '#contracts';
import { NotFound } from '#decider';
import type { Cause } from '#event-store';

const choice = z.enum(['retry', 'call-off']);

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
  actor: z.string().trim().min(1).max(200).describe('Who decides'),
  reason: z.string().trim().min(1).max(2_000).describe('Why; it is kept with the events that follow'),
});

export type Resolution = z.infer<typeof resolution>;

/** What the composition of a service does for its inbox. */
export interface Attention {
  /** What waits for a person, longest first, at most `limit`. */
  inbox(limit: number): Promise<AttentionItem[]>;
  /**
   * Carries a decision out. The same again changes nothing. Returns the position of what was written, if anything was.
   * @throws DomainError when there is no such order here, or when the decision does not apply any more
   */
  resolve(orderId: string, decision: Resolution, cause: Cause): Promise<{ position: bigint } | undefined>;
}

/** The inbox of a service in which nothing waits for a person. */
export const emptyInbox: Attention = {
  inbox: async () => [],
  resolve: async () => {
    throw new NotFound('order-not-found', 'No order waits for a decision in this service.');
  },
};
