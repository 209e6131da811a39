/** What payment does when an order speaks: its messages → our commands. */
import type { OrderMessage } from '#contracts';
import type { PaymentCommand } from '../domain/payment.js';

export function paymentReaction(message: OrderMessage): PaymentCommand | undefined {
  switch (message.type) {
    case 'OrderStockReserved':
      return { type: 'Request', amount: message.data.total, token: message.data.paymentToken };
    case 'OrderConfirmed':
      return { type: 'Capture' };
    case 'OrderCancelled':
      return { type: 'Return' };
    case 'OrderReminder':
      return wanted(message.data);
    case 'OrderRejected': // Out of stock, it was never asked to pay; declined, nothing was taken.
    case 'OrderPlaced':
    case 'OrderCompleted':
    case 'OrderSettled':
      return undefined;
  }
}

function wanted(data: Extract<OrderMessage, { type: 'OrderReminder' }>['data']): PaymentCommand | undefined {
  switch (data.wants) {
    case 'payment':
      return { type: 'Request', amount: data.total, token: data.paymentToken };
    case 'fulfilment':
      return { type: 'Capture' };
    case 'return':
      return { type: 'Return' };
    case 'stock':
      return undefined;
  }
}
