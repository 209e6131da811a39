import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { money, orderId } from './values.js';

export const paymentEvents = topic('payment.events.v1', '/payment', {
  PaymentAuthorized: z.object({ orderId, amount: money }).describe('The money is held: authorized, but not captured.'),
  PaymentDeclined: z
    .object({
      orderId,
      reason: z.string(),
      held: money.optional().describe('What the provider holds instead of what was asked for: it is given back'),
    })
    .describe('The payment is declined; no money is held, but for `held`: its return is published when it is done.'),
  PaymentCaptured: z.object({ orderId, amount: money }).describe('The money has been captured.'),
  PaymentReturned: z
    .object({ orderId, outcome: z.enum(['voided', 'refunded', 'nothing-held']) })
    .describe('The order holds no money, and none will be captured.'),
  PaymentRefused: z
    .object({
      orderId,
      step: z.enum(['capture', 'refund']),
      reason: z.string(),
      moved: money.optional().describe('All that was captured, or refunded, instead of what was asked for'),
      number: z.int().min(1).optional().describe('Counts the refusals of this payment; absent: 1'),
    })
    .describe(
      'The provider refuses this step, or has done it with another sum. It is not retried until it is requested again.',
    ),
  PaymentMovedByProvider: z
    .object({
      orderId,
      how: z.enum(['captured', 'refunded', 'voided', 'disputed']),
      amount: money.describe('All that the provider moved so'),
    })
    .describe('The provider did this without having been asked. Money of an order that is off goes back by itself.'),
});

export type PaymentMessage = MessageOf<typeof paymentEvents>;
