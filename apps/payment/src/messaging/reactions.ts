/** What payment does about an order's messages: each message → our command, if any. */
import type { OrderMessage, OrderReminder } from '#contracts';
import type { PaymentCommand } from '../domain/payment.js';

export function paymentReaction(message: OrderMessage): PaymentCommand | undefined {
  switch (message.type) {
    case 'OrderStockReserved':
      return requestOf(message.data);
    case 'OrderConfirmed':
      return message.data.nothingToPay ? undefined : { type: 'Capture' };
    case 'OrderCancelled':
      return { type: 'Return' };
    case 'OrderReminder':
      return reactionToReminder(message.data);
    case 'OrderRejected': // Out of stock: payment was never requested. Declined: what is held all the same goes back.
    case 'OrderPlaced':
    case 'OrderCompleted':
    case 'OrderSettled':
      return undefined;
  }
}

function requestOf({ total, paymentToken, customerId }: Omit<OrderReminder, 'wants' | 'lines'>): PaymentCommand {
  return { type: 'Request', amount: total, token: paymentToken, customerId };
}

/** The command that the first request led to. */
function reactionToReminder(reminder: OrderReminder): PaymentCommand | undefined {
  // An order service from before refusals were counted reminds of a refused step only when a person has decided so.
  const { wants, total, refusalsKnown = Infinity } = reminder;
  switch (wants) {
    case 'payment':
      return requestOf(reminder);
    case 'fulfilment':
      return total.amountMinor === 0 ? undefined : { type: 'Capture', refusalsKnown };
    case 'return':
      return { type: 'Return', refusalsKnown };
    case 'stock':
      return undefined;
  }
}
