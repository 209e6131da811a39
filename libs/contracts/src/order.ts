import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { line, money, orderId } from './values.js';

export const orderEvents = topic('order.events.v1', '/order', {
  OrderPlaced: z.object({ orderId, lines: z.array(line).min(1) }).describe('A customer ordered: stock is asked for.'),
  OrderStockReserved: z
    .object({ orderId, total: money, paymentToken: z.string() })
    .describe('The stock is held: payment is asked for.'),
  OrderConfirmed: z.object({ orderId }).describe('The pivot: stock and money are held, now ship and capture.'),
  OrderCompleted: z.object({ orderId }).describe('Shipped and paid.'),
  OrderRejected: z
    .object({ orderId, reason: z.enum(['out-of-stock', 'payment-declined']) })
    .describe('The order is off: give back what it holds.'),
  OrderCancelled: z
    .object({ orderId, reason: z.enum(['customer', 'deadline', 'operator']) })
    .describe('The order is off: give back what it holds. `operator`: even what was shipped or captured.'),
  OrderReminder: z
    .object({
      orderId,
      wants: z.enum(['stock', 'payment', 'fulfilment', 'return']),
      lines: z.array(line).min(1),
      total: money,
      paymentToken: z.string(),
    })
    .describe('The order still waits: whoever is meant does it, unless it is done, and says again what it said.'),
  OrderSettled: z.object({ orderId }).describe('A rejected or cancelled order holds nothing any more.'),
});

export type OrderMessage = MessageOf<typeof orderEvents>;
/** What a reminder carries: everything that is needed to do what the order waits for. */
export type OrderReminder = Extract<OrderMessage, { type: 'OrderReminder' }>['data'];
