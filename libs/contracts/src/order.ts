import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { line, money, orderId } from './values.js';

const paymentToken = z
  .string()
  .describe(
    "The customer's means of payment, sealed for the payment service alone: a compact JWE, which is only good for this order. Plain in messages from before tokens were sealed; empty in a reminder that does not want payment",
  );

const customerId = z
  .string()
  .optional()
  .describe(
    'Whose payment it is, so that one customer does not slow down another. Absent in older messages, and in a reminder that does not want payment',
  );

export const orderEvents = topic('order.events.v1', '/order', {
  OrderPlaced: z
    .object({ orderId, lines: z.array(line).min(1) })
    .describe('A customer has placed an order. Requests its stock.'),
  OrderStockReserved: z
    .object({ orderId, total: money, paymentToken, customerId })
    .describe('The stock is reserved. Requests the payment.'),
  OrderConfirmed: z
    .object({ orderId, nothingToPay: z.literal(true).optional().describe('Its total is 0: there is no payment') })
    .describe('The pivot: stock and money are held. Requests shipment and capture.'),
  OrderCompleted: z.object({ orderId }).describe('The order is shipped and paid.'),
  OrderRejected: z
    .object({ orderId, reason: z.enum(['out-of-stock', 'payment-declined']) })
    .describe('The order is called off. Requests the return of everything it holds.'),
  OrderCancelled: z
    .object({ orderId, reason: z.enum(['customer', 'deadline', 'operator']) })
    .describe(
      'The order is called off. Requests the return of everything it holds; with the reason `operator`, even of what was shipped or captured.',
    ),
  OrderReminder: z
    .object({
      orderId,
      wants: z.enum(['stock', 'payment', 'fulfilment', 'return']),
      lines: z.array(line).min(1),
      total: money,
      paymentToken,
      customerId,
      refusalsKnown: z
        .int()
        .min(0)
        .optional()
        .describe('The number of the last PaymentRefused that the order has noted: a later one is published again'),
    })
    .describe(
      'The order is still waiting. The service that `wants` concerns does the work, unless it is done already, and publishes its last answer again.',
    ),
  OrderSettled: z.object({ orderId }).describe('A rejected or cancelled order no longer holds anything.'),
});

export type OrderMessage = MessageOf<typeof orderEvents>;
/** What a reminder carries: everything that is needed to do what the order waits for. */
export type OrderReminder = Extract<OrderMessage, { type: 'OrderReminder' }>['data'];
