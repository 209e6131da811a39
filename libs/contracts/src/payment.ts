import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { money, orderId } from './values.js';

export const paymentEvents = topic('payment.events.v1', '/payment', {
  PaymentAuthorized: z.object({ orderId, amount: money }).describe('The money is held.'),
  PaymentDeclined: z.object({ orderId, reason: z.string() }).describe('The provider refused; no money is held.'),
  PaymentCaptured: z.object({ orderId, amount: money }).describe('The money has been taken.'),
  PaymentReturned: z
    .object({ orderId, outcome: z.enum(['voided', 'refunded', 'nothing-held']) })
    .describe('The order holds no money, and none will be taken.'),
  PaymentRefused: z
    .object({ orderId, step: z.enum(['capture', 'refund']), reason: z.string() })
    .describe('The provider does not do it. It is not tried again until somebody asks for it.'),
});

export type PaymentMessage = MessageOf<typeof paymentEvents>;
