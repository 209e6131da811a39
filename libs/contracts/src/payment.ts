import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { money, orderId } from './values.js';

export const paymentEvents = topic('payment.events.v1', '/payment', {
  PaymentAuthorized: z.object({ orderId, amount: money }).describe('The money is held: authorized, but not captured.'),
  PaymentDeclined: z
    .object({ orderId, reason: z.string() })
    .describe('The provider declined the payment; no money is held.'),
  PaymentCaptured: z.object({ orderId, amount: money }).describe('The money has been captured.'),
  PaymentReturned: z
    .object({ orderId, outcome: z.enum(['voided', 'refunded', 'nothing-held']) })
    .describe('The order holds no money, and none will be captured.'),
  PaymentRefused: z
    .object({
      orderId,
      step: z.enum(['capture', 'refund']),
      reason: z.string(),
      number: z.int().min(1).optional().describe('Counts the refusals of this payment; absent: 1'),
    })
    .describe('The provider refuses this step. It is not retried until it is requested again.'),
});

export type PaymentMessage = MessageOf<typeof paymentEvents>;
