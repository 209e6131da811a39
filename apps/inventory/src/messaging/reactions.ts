/** What inventory does when an order speaks: its messages → our commands. */
import type { OrderMessage } from '#contracts';
import type { ReservationLine } from '../domain/reservation.js';

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
      return wanted(message.data);
    case 'OrderStockReserved':
    case 'OrderCompleted':
    case 'OrderSettled':
      return undefined;
  }
}

function wanted({
  wants,
  lines,
}: Extract<OrderMessage, { type: 'OrderReminder' }>['data']): CheckoutCommand | undefined {
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
