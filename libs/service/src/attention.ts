/** The attention inbox of a service: cases that the program may not decide alone, and what a person decides about them. */
import { z } from 'zod';
import { line, money, orderId } from '#contracts';
import { NotFound } from '#decider';
import type { Cause } from '#event-store';
import { decidedBy } from './free-text.js';

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
  ...decidedBy,
});

export type Resolution = z.infer<typeof resolution>;

/** What a service offers for its inbox. */
export interface Attention {
  /** The cases that wait for a person, longest first, at most `limit`. */
  inbox(limit: number): Promise<AttentionItem[]>;
  /**
   * Carries out a decision. Repeating it changes nothing. Returns the position of what was written, if anything was.
   * @throws DomainError when this service knows no such order, or when the decision no longer applies
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
