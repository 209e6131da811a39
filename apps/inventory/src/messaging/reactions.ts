/** What inventory does about an order's messages: each message → our command, if any. */
import type { OrderMessage, OrderReminder } from '#contracts';
import type { ReservationLine } from '../domain/reservation.js';

/** What an order may ask of inventory. */
export type CheckoutCommand =
  { type: 'Reserve'; lines: readonly ReservationLine[] } | { type: 'Release' } | { type: 'Ship' };

export function inventoryReaction(message: OrderMessage): CheckoutCommand | undefined {
  switch (message.type) {
    case 'OrderPlaced':
      return { type: 'Reserve', lines: message.data.lines };
    case 'OrderConfirmed':
      return { type: 'Ship' };
    case 'OrderRejected':
    case 'OrderCancelled':
      return { type: 'Release' };
    case 'OrderReminder':
      return reactionToReminder(message.data);
    case 'OrderStockReserved':
    case 'OrderCompleted':
    case 'OrderSettled':
      return undefined;
  }
}

/** The command that the first request led to. */
function reactionToReminder({ wants, lines }: OrderReminder): CheckoutCommand | undefined {
  switch (wants) {
    case 'stock':
      return { type: 'Reserve', lines };
    case 'fulfilment':
      return { type: 'Ship' };
    case 'return':
      return { type: 'Release' };
    case 'payment':
      return undefined;
  }
}
